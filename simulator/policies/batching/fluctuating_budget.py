"""Chunked prefill under a token budget that changes from step to step, as other tenants come and go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from devices.quantity import Count
from simulator.policies.registry import register


@register("batching", "fluctuating_budget")
@dataclass(frozen=True, slots=True)
class FluctuatingBudget:
    """Each step's budget is drawn uniformly from ``low..high``; a step costs what it holds.

    It is the setting of the Cake paper's fluctuation experiment (budget from U(0, 512)).
    """

    low: Count = 1
    """Smallest budget."""
    high: Count = 512
    """Largest budget."""
    max_sequences: Count | None = None
    """Most sequences admitted at a time; None: the engine's default."""

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low is {self.low} and high {self.high}; allowed: low up to high")

    @property
    def token_budget(self) -> int:
        """The largest budget, by which chunks are planned."""
        return self.high

    @property
    def varies(self) -> bool:
        """The budget is drawn at each step."""
        return True

    def step_budget(self, rng: np.random.Generator) -> int:
        """Draw the coming step's budget."""
        return int(rng.integers(self.low, self.high + 1))
