"""The replica with the least work ahead of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "least_loaded")
@dataclass(frozen=True, slots=True)
class LeastLoaded:
    """Fewest outstanding tokens, prompts and answers; ties go round, not to replica 0."""

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the replica with the fewest outstanding tokens."""
        n = len(replicas)
        return min(range(n), key=lambda i: (replicas[i].outstanding_tokens, (i - routed) % n))
