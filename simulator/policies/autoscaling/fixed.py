"""All replicas, always."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simulator.policies.autoscaling.protocol import PoolView
from simulator.policies.registry import register


@register("autoscaling", "fixed")
@dataclass(frozen=True, slots=True)
class Fixed:
    """No autoscaling."""

    minimum: ClassVar[None] = None
    period: ClassVar[float] = 0.0
    settle: ClassVar[float] = 0.0

    def replicas(self, view: PoolView) -> int:
        """Return all there are."""
        return view.most
