"""Whether a queue was still growing when the last request arrived: the load is more than the service can take.

The number in the system, waiting or in service, is read at the ends of blocks of equal length from a quarter of the
span of the arrivals on. It grows where its steps from one end to the next are above 0 on average, by a t test. That
test is exact for a queue at the edge (a random walk, whose steps are independent) and errs to the safe side for a
stable one (what comes must go: its steps cancel), so that bursts do not set it off. Besides, so many must have stayed
that the service falls short of the load by more than a rate that drifts would explain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_ARRIVALS = 100
"""With fewer requests nothing is claimed."""
BLOCKS = 20
"""Steps of the number in the system that are tested."""
T_QUANTILE = 2.539
"""Student's t with `BLOCKS` - 1 degrees of freedom at a level of 1 %, one-sided."""
SHORTFALL = 0.05
"""Least share of the arrivals that the service does not keep up with."""
RAMP_SHARE = 0.25
"""Share of the span at its start that is not looked at: the number in the system rises there in any case."""
SLOWER = 2.0
"""Where requests take longer than that start, the number rises for longer, and late requests must besides take so many
times as long as early ones."""


@dataclass(frozen=True, slots=True)
class Overload:
    """By how much the load was too much, over the part of the run that was looked at."""

    offered_per_s: float
    """Requests that arrived per second."""
    served_per_s: float
    """Requests that were answered per second."""
    in_system: int
    """Requests waiting or in service when the last one arrived."""


def overload(arrival_s: NDArray[np.float64], finish_s: NDArray[np.float64]) -> Overload | None:
    """Return by how much a service was overloaded; None where it was not, or where that cannot be told.

    Parameters
    ----------
    arrival_s, finish_s
        Shape (n,), one entry per request, in any order. A request that was not answered finishes at infinity.
    """
    if len(arrival_s) < LEAST_ARRIVALS:
        return None
    order = np.argsort(arrival_s, kind="stable")
    arrival_s, finish_s = arrival_s[order], finish_s[order]
    span_s = float(arrival_s[-1] - arrival_s[0])
    if span_s <= 0.0:
        return None
    ends_s = np.linspace(arrival_s[0] + RAMP_SHARE * span_s, arrival_s[-1], BLOCKS + 1)
    arrived = np.searchsorted(arrival_s, ends_s, side="right")
    left = np.searchsorted(np.sort(finish_s), ends_s, side="right")
    steps = np.diff(arrived - left)
    offered, served = int(arrived[-1] - arrived[0]), int(left[-1] - left[0])
    if steps.sum() < SHORTFALL * offered:
        return None
    if steps.mean() < T_QUANTILE * steps.std(ddof=1) / math.sqrt(BLOCKS):
        return None
    if _still_filling(arrival_s, finish_s, span_s):
        return None
    seen_s = (1.0 - RAMP_SHARE) * span_s
    return Overload(offered / seen_s, served / seen_s, int(arrived[-1] - left[-1]))


def _still_filling(arrival_s: NDArray[np.float64], finish_s: NDArray[np.float64], span_s: float) -> bool:
    """Whether the number in the system may rise only because the first requests have not been answered yet."""
    took_s = finish_s - arrival_s
    quarter, tenth = len(took_s) // 4, len(took_s) // 10
    if took_s[:tenth].max() <= RAMP_SHARE * span_s:
        return False
    early_s, late_s = np.median(took_s[:quarter]), np.median(took_s[-quarter:])
    return not (math.isfinite(late_s) and late_s >= SLOWER * early_s)
