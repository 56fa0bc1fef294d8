"""As many replicas as keep their time in use at a target."""

from __future__ import annotations

import math
from dataclasses import dataclass

from devices.quantity import Count, Period, PositiveRatio, Seconds
from simulator.policies.autoscaling.protocol import PoolView
from simulator.policies.registry import register


@register("autoscaling", "target_utilisation")
@dataclass(frozen=True, slots=True)
class TargetUtilisation:
    """Replicas times utilisation over the target, rounded up (the rule of Kubernetes' horizontal autoscaler).

    An engine that batches is busy with one request as with a hundred: this scales out early, and says little of how far
    a pool is overloaded.
    """

    utilisation: PositiveRatio = 0.7
    """Share of time for which replicas should compute."""
    minimum: Count = 1
    """Replicas that are always on."""
    period: Period = 10.0
    """Time between two decisions."""
    settle: Seconds = 300.0
    """Time for which fewer must have been wanted before one is switched off."""

    def replicas(self, view: PoolView) -> int:
        """Return the replicas that would have had the target utilisation."""
        wanted = math.ceil(view.serving * view.utilisation / self.utilisation)
        return min(view.most, max(self.minimum, wanted))
