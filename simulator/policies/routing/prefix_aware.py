"""The replica that holds the longest part of the prompt's prefix, unless it is too busy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "prefix_aware")
@dataclass(frozen=True, slots=True)
class PrefixAware:
    """Least outstanding tokens after what the replica's prefix cache saves is taken off."""

    prefix_weight: float = 1.0
    """Outstanding tokens that one resident token is worth; 0 is least_loaded."""

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the replica with the least work left, counting the prefix that it need not compute."""
        n = len(replicas)

        def load(i: int) -> tuple[float, int]:
            replica = replicas[i]
            saved = replica.resident_prefix_tokens(request.hash_ids) if request.hash_ids else 0
            return replica.outstanding_tokens - self.prefix_weight * saved, (i - routed) % n

        return min(range(n), key=load)
