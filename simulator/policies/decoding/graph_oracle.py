"""An oracle that knows the dependency graph and needs no plan."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.decoding.autoregressive import OneService
from simulator.policies.decoding.protocol import Generation, Question, continued
from simulator.policies.registry import register


@register("decoding", "graph_oracle")
@dataclass(frozen=True, slots=True)
class GraphOracle(OneService):
    """Every node starts when its parents are done, without plan or instructions: a bound for planners.

    Where the question's KV may be stored, the first node reads it and the others without parents wait for that.
    """

    def generations(self, question: Question) -> list[Generation]:
        """Return one generation per node."""
        graph = question.graph
        generations: list[Generation] = []
        reads = ((0, 1),) if question.stored else ()
        for node, parents in enumerate(graph.parents):
            generations.append(
                Generation(
                    continued(generations, parents) if parents else question.opening("", 0),
                    graph.node_tokens[node],
                    after=tuple((parent, graph.node_tokens[parent]) for parent in parents)
                    or (reads if node else ()),
                    nodes=(node,),
                )
            )
        return generations
