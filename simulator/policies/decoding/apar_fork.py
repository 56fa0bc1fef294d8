"""Forking in the manner of APAR (Liu et al., arXiv 2401.06761): a model that decides by itself where its text parts."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Ratio
from simulator.policies.decoding.autoregressive import OneService
from simulator.policies.decoding.protocol import Generation, Piece, Question, own_text
from simulator.policies.registry import register


@register("decoding", "apar_fork")
@dataclass(frozen=True, slots=True)
class AparFork(OneService):
    """A trunk writes the heads of all nodes one after the other; at each head's end its rest is forked off.

    A fork inherits the KV of the trunk so far and sees no other fork. There is no plan: heads are part of the answer.
    Which answers the model forks is taken from the label of whether their points can be written without each other.
    """

    head_share: Ratio = 0.2
    """Share of a node's tokens that the trunk writes before it forks (assumed)."""
    forks_all: bool = False
    """Fork every answer, whatever depends on what."""

    def generations(self, question: Question) -> list[Generation] | None:
        """Return the trunk and the forks; None where the answer is not forked."""
        graph = question.graph
        if not (graph.suitable or self.forks_all):
            return None
        heads = [max(1, round(self.head_share * tokens)) for tokens in graph.node_tokens]
        whole = tuple(node for node, head in enumerate(heads) if head >= graph.node_tokens[node])
        opening = question.opening("", 0)
        generations = [Generation(opening, sum(heads), nodes=whole)]
        written = 0
        for node, (head, tokens) in enumerate(zip(heads, graph.node_tokens, strict=True)):
            written += head
            if head < tokens:
                generations.append(
                    Generation(
                        (
                            *opening,
                            Piece(0, written),
                            Piece(own_text(len(generations)), 1),
                        ),  # the token that forks
                        tokens - head,
                        after=((0, written),),
                        nodes=(node,),
                    )
                )
        return generations
