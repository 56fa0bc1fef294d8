"""What is due first goes first."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.queueing.protocol import WaitingRequest
from simulator.policies.registry import register


@register("queueing", "earliest_deadline")
@dataclass(frozen=True, slots=True)
class EarliestDeadline:
    """Requests whose first token is due soonest (arrival + `slo.ttft`) are admitted first; those without come last."""

    def key(self, request: WaitingRequest) -> float:
        """Return the deadline of the first token, in s of simulated time."""
        slo = request.slo
        return float("inf") if slo is None or slo.ttft is None else request.arrival_s + slo.ttft
