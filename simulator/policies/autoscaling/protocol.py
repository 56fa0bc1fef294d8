"""The seam between an LLM service and an autoscaling policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PoolView:
    """What an autoscaling policy may see of a service's replicas at a decision."""

    most: int
    """Replicas that there are, on or off."""
    serving: int
    """Those that take requests now."""
    starting: int
    """Those that are on their way to do so."""
    outstanding_requests: int
    """Requests that have arrived and are not answered."""
    utilisation: float
    """Share of the time since the last decision for which those that serve were computing, their mean."""


class Autoscaling(Protocol):
    """An autoscaling policy: a frozen dataclass, registered with ``@register("autoscaling", NAME)``."""

    @property
    def minimum(self) -> int | None:
        """Replicas that are on at the start, and always; None: all are, and the policy is never asked."""

    @property
    def period(self) -> float:
        """Time between two decisions, in s."""

    @property
    def settle(self) -> float:
        """Time for which fewer must have been wanted before one is switched off, in s."""

    def replicas(self, view: PoolView) -> int:
        """Return how many replicas should be on, starting ones included: from `minimum` to ``view.most``."""
