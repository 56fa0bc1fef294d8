"""The replica that will be done first with all that it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "least_work")
@dataclass(frozen=True, slots=True)
class LeastWork:
    """Least work ahead in seconds of the replica's own, this request included; ties go round.

    Where all replicas are alike this is least_loaded with tokens of prompts and answers weighed by what they cost.
    """

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the replica whose work, with this request, takes it the least time."""
        n = len(replicas)

        def work(i: int) -> tuple[float, int]:
            forecast = replicas[i].forecast
            return forecast.ahead_s(request) + forecast.work_s(request), (i - routed) % n

        return min(range(n), key=work)
