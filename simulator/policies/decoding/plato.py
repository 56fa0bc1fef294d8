"""Plato (Jin et al., COLM 2025): a planner writes a dependency graph, nodes are decoded as soon as they can be."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Count, NonNegativeCount, Ratio, Seconds
from simulator.policies.decoding.protocol import Generation, Piece, Question, continued, own_text
from simulator.policies.registry import register


@register("decoding", "plato")
@dataclass(frozen=True, slots=True)
class Plato:
    """Nodes start when their plan entry is written and their parents are done, while the planner goes on.

    A node's prompt goes on where that of a parent, with its answer, ended (of several, the one with most text before
    it), so that only the plan entry, the other parents' answers and the instructions are prefilled. One without parents
    goes on where the planner is.

    The lengths of the prompts are assumed: as those of Skeleton-of-Thought.
    """

    pipelined: bool = True
    """Nodes may start before the plan is complete."""
    kv_reuse: bool = True
    """Generations share KV blocks; without it, each prefills its whole prompt."""
    plan_prompt_tokens: NonNegativeCount = 158
    """Instructions of planner and nodes."""
    node_tail_tokens: Count = 30
    """Instructions at the end of a node's prompt, which name the node."""
    easy_below: Ratio = 0.0
    """Nodes whose difficulty is below this are decoded by `easy_service` (version 1 of the paper); 0: none."""
    easy_service: str = ""
    """LLM service with a smaller model for easy nodes; empty: there is none."""
    call_overhead: Seconds = 0.0
    """Time between the moment when a node could start and its arrival at the engine (assumed 0)."""

    def __post_init__(self) -> None:
        if (self.easy_below > 0.0) is not bool(self.easy_service):
            raise ValueError("easy_below and easy_service go together; one of them is not set")

    @property
    def services(self) -> tuple[str, ...]:
        """The one for easy nodes, if there is one."""
        return (self.easy_service,) if self.easy_service else ()

    def generations(self, question: Question) -> list[Generation]:
        """Return the planner and the nodes."""
        graph = question.graph
        opening = question.opening("plato", self.plan_prompt_tokens)
        planner = Generation(opening, sum(graph.plan_tokens), plans=True, shares_kv=self.kv_reuse)
        written = [0]
        for tokens in graph.plan_tokens:
            written.append(written[-1] + tokens)
        generations = [planner]
        for node, parents in enumerate(graph.parents):
            read = written[node + 1]
            needed = [parent + 1 for parent in parents]  # generation 0 is the planner
            if self.kv_reuse and needed:
                prompt = continued(generations, needed)
                seen = max(piece.start + piece.tokens for piece in prompt if piece.source == 0)
                prompt += (Piece(0, read - seen, seen),)
            else:
                prompt = (*opening, Piece(0, read), *(Piece(it, generations[it].tokens) for it in needed))
            generations.append(
                Generation(
                    (*prompt, Piece(own_text(node + 1), self.node_tail_tokens)),
                    graph.node_tokens[node],
                    after=(
                        (0, read if self.pipelined else planner.tokens),
                        *((it, generations[it].tokens) for it in needed),
                    ),
                    nodes=(node,),
                    shares_kv=self.kv_reuse,
                    service=self.easy_service if graph.difficulty[node] < self.easy_below else "",
                )
            )
        return generations


@register("decoding", "plato_no_pipeline")
@dataclass(frozen=True, slots=True)
class PlatoNoPipeline(Plato):
    """Plato whose nodes wait for the whole plan."""

    pipelined: bool = False
    """Nodes may start before the plan is complete."""


@register("decoding", "plato_no_kv_reuse")
@dataclass(frozen=True, slots=True)
class PlatoNoKvReuse(Plato):
    """Plato in which every generation prefills its whole prompt."""

    kv_reuse: bool = False
    """Generations share KV blocks; without it, each prefills its whole prompt."""
