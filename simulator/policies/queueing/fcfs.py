"""First come, first served."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.queueing.protocol import WaitingRequest
from simulator.policies.registry import register


@register("queueing", "fcfs")
@dataclass(frozen=True, slots=True)
class Fcfs:
    """Requests are admitted in the order in which they come to the replica."""

    def key(self, request: WaitingRequest) -> float:
        """Treat all alike."""
        return 0.0
