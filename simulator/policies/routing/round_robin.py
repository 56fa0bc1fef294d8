"""Each replica in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "round_robin")
@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Request i goes to replica i modulo the number of replicas."""

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the next replica in turn."""
        return routed % len(replicas)
