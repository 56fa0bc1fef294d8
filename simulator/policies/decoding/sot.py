"""Skeleton-of-Thought (Ning et al., arXiv 2307.15337): a skeleton first, then all points at once."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Count, NonNegativeCount, Seconds
from simulator.policies.decoding.protocol import Generation, Piece, Question, own_text
from simulator.policies.registry import register


@register("decoding", "sot")
@dataclass(frozen=True, slots=True)
class SkeletonOfThought:
    """A skeleton of short points, then each point by itself in one batch; none sees another.

    Where the length of a prompt is not published, it is that of the public prompt in characters, at as many characters
    per token as the published skeleton prompt has.
    """

    shared_prefix: bool = True
    """The points share the KV of what their prompts have in common; the first one is prefilled before the others."""
    router: bool = False
    """Send questions whose points depend on each other to autoregressive decoding (by the human labels: a perfect
    router, which takes no time)."""
    length_ratio: float = 1.5
    """Tokens of all points over those of a normal answer. Published: 1 to 2; the middle is assumed."""
    outline_tokens: Count = 6
    """Tokens of a point of the skeleton: its number and 3 to 5 words."""
    skeleton_prompt_tokens: NonNegativeCount = 158
    """Instructions for the skeleton: 171 prefilled tokens less a question of 12.5 (published)."""
    point_prompt_tokens: NonNegativeCount = 29
    """Instructions for a point that stand before the skeleton (148 characters)."""
    point_tail_tokens: Count = 30
    """Instructions for a point that stand after it and name the point (160 characters)."""
    call_overhead: Seconds = 0.0
    """Time between the skeleton's end and the points' arrival at the engine (assumed 0)."""

    def __post_init__(self) -> None:
        if not 0.0 < self.length_ratio < 100.0:
            raise ValueError(f"length_ratio is {self.length_ratio}; allowed: above 0, below 100")

    @property
    def services(self) -> tuple[str, ...]:
        """None but the one that was asked."""
        return ()

    def generations(self, question: Question) -> list[Generation] | None:
        """Return the skeleton and the points."""
        graph = question.graph
        if self.router and not graph.suitable:
            return None
        skeleton = Generation(
            question.opening("sot_skeleton", self.skeleton_prompt_tokens),
            self.outline_tokens * len(graph),
            plans=True,
            shares_kv=self.shared_prefix,
        )
        shared = (*question.opening("sot_point", self.point_prompt_tokens), Piece(0, skeleton.tokens))
        tail_tokens = self.point_tail_tokens + self.outline_tokens
        ready = ((0, skeleton.tokens),)
        return [
            skeleton,
            *(
                Generation(
                    (*shared, Piece(own_text(node + 1), tail_tokens)),
                    max(1, round(self.length_ratio * tokens)),
                    after=(*ready, (1, 1)) if self.shared_prefix and node else ready,
                    nodes=(node,),
                    shares_kv=self.shared_prefix,
                )
                for node, tokens in enumerate(graph.node_tokens)
            ),
        ]
