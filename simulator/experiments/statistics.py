"""Means with intervals: over independent replications, and over one run's requests by batch means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of every interval."""
BATCHES = 20
"""Batches of consecutive requests."""
BATCH_REQUESTS = 10
"""Least number of requests per batch: with fewer there are fewer batches."""
LEAST_BATCHES = 5
"""With fewer batches no interval is claimed."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how well it is known."""

    mean: float | None
    """The mean; None where there are no values."""
    half_width: float | None
    """Half the width of the 95 % interval around it; None where the values do not allow one."""
    values: int
    """How many independent values it stands on (replications or batches)."""

    def as_data(self) -> dict[str, float | int | None]:
        """Return mean, low, high and the number of values, ready for JSON."""
        low = high = None
        if self.mean is not None and self.half_width is not None:
            low, high = self.mean - self.half_width, self.mean + self.half_width
        return {"mean": self.mean, "low": low, "high": high, "values": self.values}


def over_replications(values: Sequence[float | None]) -> Estimate:
    """Return the mean of independent values with its Student t interval; None does not count."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return Estimate(None, None, 0)
    return Estimate(float(known.mean()), _half_width(known), len(known))


def batch_means(values: NDArray[np.float64]) -> Estimate:
    """Return the mean of values that follow one another in time, with an interval by batch means.

    Neighbours in a queue resemble one another, so that an interval over single requests would be far too
    narrow. The means of long batches of neighbours are nearly independent. That holds where a batch is long
    against the queue's memory; the interval is too narrow near saturation.

    Parameters
    ----------
    values
        Shape (n,), in order of arrival, without NaN.
    """
    batches = min(BATCHES, len(values) // BATCH_REQUESTS)
    if not len(values):
        return Estimate(None, None, 0)
    mean = float(values.mean())
    if batches < LEAST_BATCHES:
        return Estimate(mean, None, batches)
    means = np.array([batch.mean() for batch in np.array_split(values, batches)])
    return Estimate(mean, _half_width(means), batches)


def _half_width(values: NDArray[np.float64]) -> float | None:
    count = len(values)
    if count < 2:
        return None
    from scipy.special import stdtrit  # noqa: PLC0415 (slow import)

    quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    return quantile * float(values.std(ddof=1)) / math.sqrt(count)
