"""The class of a workload's requests: how much they matter, and what service they are promised."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import NonNegativeCount, Seconds


@dataclass(frozen=True, slots=True)
class SloClass:
    """A service level objective (SLO) and a priority that all requests of a workload have."""

    name: str | None = None
    """Under which the summary tells how often the objective was kept; workloads with the same limits may share
    one. None: that of the workload."""
    priority: NonNegativeCount = 0
    """What matters more has the greater one; only policies that ask for it heed it."""
    ttft: Seconds | None = None
    """Longest time to first token that keeps the objective; None: any does."""
    tpot: Seconds | None = None
    """Longest mean time per further token that keeps the objective; None: any does."""
