"""The slowest replica that is fast enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.quantity import Seconds
from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "slo_aware")
@dataclass(frozen=True, slots=True)
class SloAware:
    """Of the replicas that are expected to keep the objective the slowest kind, so that fast ones stay free.

    Of one kind the one with the least work ahead. Where none is expected to keep it, the one that misses it least. The
    objective is the request's own; what that leaves open is this policy's.
    """

    ttft: Seconds = 1.0
    """Objective for the time to the first token of requests without one."""
    tpot: Seconds = 0.1
    """Objective for the time per further token of requests without one."""

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the slowest replica that keeps the objective, else the one that comes nearest to it."""
        n = len(replicas)
        slo = request.slo
        ttft_s = self.ttft if slo is None or slo.ttft is None else slo.ttft
        tpot_s = self.tpot if slo is None or slo.tpot is None else slo.tpot

        def rank(i: int) -> tuple[bool, float, float, int]:
            forecast = replicas[i].forecast
            missed = max(_over(forecast.ttft_s(request), ttft_s), _over(forecast.tpot_s(request), tpot_s))
            if missed > 1.0:
                return True, missed, 0.0, (i - routed) % n
            return False, -forecast.work_s(request), forecast.ahead_s(request), (i - routed) % n

        return min(range(n), key=rank)


def _over(time_s: float, objective_s: float) -> float:
    """Return a time as a multiple of its objective; one of 0 s is missed by any time."""
    return time_s / objective_s if objective_s else (float("inf") if time_s else 0.0)
