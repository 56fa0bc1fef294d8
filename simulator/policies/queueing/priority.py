"""What matters most goes first."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.queueing.protocol import WaitingRequest
from simulator.policies.registry import register


@register("queueing", "priority")
@dataclass(frozen=True, slots=True)
class Priority:
    """Requests of the greatest priority (`slo.priority` of their workload; without it 0) are admitted first.

    Nobody is thrown out for them, but where memory runs out those of the least priority are preempted.
    """

    def key(self, request: WaitingRequest) -> float:
        """Return the priority, the greatest first."""
        return -request.slo.priority if request.slo is not None else 0.0
