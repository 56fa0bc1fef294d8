"""Step functions over time from the spans that they are sums of."""

from __future__ import annotations

from collections.abc import Sequence

Points = list[tuple[float, float]]
"""(time in s, value from then on), in the order of time, one of each time."""


def summed(starts: Sequence[float], ends: Sequence[float], heights: Sequence[float], end_s: float) -> Points:
    """Return at each time the sum of the heights of the spans that are open; 0 at `end_s`, when the run has ended.

    Where none is open it is 0 exactly, whatever rounding would leave.
    """
    changes = [(time, 1, height) for time, height in zip(starts, heights, strict=True)]
    changes += [(time, -1, -height) for time, height in zip(ends, heights, strict=True)]
    changes.sort(key=lambda change: change[0])
    points: Points = [(0.0, 0)]
    spans: int = 0
    value: float = 0
    for time_s, more, height in changes:
        spans += more
        value = value + height if spans else 0
        if points[-1][0] == time_s:
            points[-1] = (time_s, value)
        else:
            points.append((time_s, value))
    points.append((end_s, 0))
    return points


def counted(starts: Sequence[float], ends: Sequence[float], end_s: float) -> Points:
    """Return how many spans are open at each time."""
    return summed(starts, ends, [1] * len(starts), end_s)
