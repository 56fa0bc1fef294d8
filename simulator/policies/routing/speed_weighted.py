"""Each replica in turn, the faster ones as often as they are faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.registry import register
from simulator.policies.routing.protocol import ReplicaView, RequestView


@register("routing", "speed_weighted")
@dataclass(frozen=True, slots=True)
class SpeedWeighted:
    """Weighted round robin: the weight of a replica is the rate at which it completes such requests when full.

    It looks at nothing that happens, only at what the replicas are (weights of a load balancer's configuration).
    """

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the replica for which one more request is the smallest part of its share."""
        return min(
            range(len(replicas)), key=lambda i: (replicas[i].sent + 1) * replicas[i].forecast.work_s(request)
        )
