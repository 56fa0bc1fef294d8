"""Where the start of a run ends: warm-up removal, by a given time or by MSER-5.

MSER-5 (White 1997; White, Cobb and Spratt 2000): average a series in batches of five, and leave out as many batches at
its start as make the standard error of the rest, taken as if its batches were independent, least. Where that would be
more than the first half, the series is too short or has no steady state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.serving.sequence import COMPLETED

BATCH = 5
"""Values per batch."""
LEAST_BATCHES = 10
"""With fewer batches nothing is left out, and no steady state is claimed."""
LAST_BATCHES = 5
"""So many batches are never left out: the standard error of the very last ones is small by chance."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """What to leave out of a series."""

    left_out: int
    """Values at its start."""
    reached: bool
    """Whether the rest is in a steady state; if not, nothing is left out."""


def mser5(values: NDArray[np.float64]) -> Truncation:
    """Return how much of the start of a series to leave out.

    Parameters
    ----------
    values
        Shape (n,), in order of time. What does not fill a batch at the end does not count.
    """
    batches = len(values) // BATCH
    if batches < LEAST_BATCHES:
        return Truncation(0, False)
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    means = means - means.mean()  # against cancellation in the sums of squares
    left = np.arange(batches, 0, -1)
    sums, squares = (np.cumsum(it[::-1])[::-1] for it in (means, means**2))
    errors = np.maximum(squares - sums**2 / left, 0.0) / left**2
    if errors[0] <= 1e-24 * float(np.square(values).max()):  # a constant series, but for rounding
        return Truncation(0, True)
    best = int(np.argmin(errors[: batches - LAST_BATCHES + 1]))
    return Truncation(best * BATCH, True) if best <= batches // 2 else Truncation(0, False)


@dataclass(frozen=True, slots=True, eq=False)
class SteadyState:
    """Which requests of a service count for its latencies and its throughput."""

    kept: NDArray[np.bool_]
    """Shape (requests,), in the order of the table."""
    from_s: float
    """Arrivals from this time on count."""
    reached: bool
    """By MSER-5: whether a steady state was found (if not, all count). By time: whether any request is left."""

    def as_data(self) -> dict[str, float | int | bool]:
        """Return it ready for the summary."""
        left_out = len(self.kept) - int(np.count_nonzero(self.kept))
        return {"from_s": self.from_s, "left_out": left_out, "reached": self.reached}


def steady_state(requests: Table, warmup: float | str) -> SteadyState:
    """Return which requests come after the warm-up of a run.

    Parameters
    ----------
    requests
        One row per request (`simulator.serving.service.request_schema`).
    warmup
        Time in s before which arrivals do not count; ``mser5``: by the E2E of completed requests in order of arrival;
        ``none``: all count.
    """
    arrival_s = requests.column("arrival_s")
    if warmup == "none":
        return SteadyState(np.ones(len(requests), dtype=bool), 0.0, True)
    if not isinstance(warmup, str):
        kept = arrival_s >= warmup
        return SteadyState(kept, warmup, bool(kept.any()))
    done = requests.column("status") == COMPLETED
    order = np.argsort(arrival_s[done], kind="stable")
    arrivals_s = arrival_s[done][order]
    found = mser5((requests.column("finish_s")[done] - arrival_s[done])[order])
    from_s = float(arrivals_s[found.left_out]) if found.left_out else 0.0
    return SteadyState(arrival_s >= from_s, from_s, found.reached)
