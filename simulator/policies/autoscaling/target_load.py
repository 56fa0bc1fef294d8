"""As many replicas as keep the requests under way on each at a target."""

from __future__ import annotations

import math
from dataclasses import dataclass

from devices.quantity import Count, NonNegativeCount, Period, Seconds
from simulator.policies.autoscaling.protocol import PoolView
from simulator.policies.registry import register


@register("autoscaling", "target_load")
@dataclass(frozen=True, slots=True)
class TargetLoad:
    """Requests that are not answered over the target, rounded up."""

    requests: Count = 16
    """Requests under way per replica, waiting ones included."""
    minimum: NonNegativeCount = 1
    """Replicas that are always on; with 0 the first request after a pause waits for a cold start."""
    period: Period = 10.0
    """Time between two decisions."""
    settle: Seconds = 300.0
    """Time for which fewer must have been wanted before one is switched off."""

    def replicas(self, view: PoolView) -> int:
        """Return the replicas that the requests under way need."""
        return min(view.most, max(self.minimum, math.ceil(view.outstanding_requests / self.requests)))
