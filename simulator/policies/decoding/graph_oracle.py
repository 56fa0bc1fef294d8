"""An oracle that knows the dependency graph and needs no plan."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.decoding.autoregressive import OneService
from simulator.policies.decoding.protocol import Generation, Question, continued
from simulator.policies.registry import register


@register("decoding", "graph_oracle")
@dataclass(frozen=True, slots=True)
class GraphOracle(OneService):
    """Every node starts when its parents are done, without plan or instructions: a bound for planners."""

    def generations(self, question: Question) -> list[Generation]:
        """Return one generation per node."""
        graph = question.graph
        generations: list[Generation] = []
        for node, parents in enumerate(graph.parents):
            generations.append(
                Generation(
                    continued(generations, parents) if parents else question.opening("", 0),
                    graph.node_tokens[node],
                    after=tuple((parent, graph.node_tokens[parent]) for parent in parents),
                    nodes=(node,),
                )
            )
        return generations
