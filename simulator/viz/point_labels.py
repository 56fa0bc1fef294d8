"""Names beside points, where they hide as little as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from simulator.viz.style import GREY

_OFFSETS = [
    (x * far, y * far)
    for far in (1.0, 1.6, 2.4, 3.4)
    for x, y in ((8, 0), (-8, 0), (7, 8), (-7, 8), (7, -8), (-7, -8), (0, 11), (0, -11))
]
"""Where a label may stand, in points from its own; the nearest first."""

Line = tuple[tuple[float, float], tuple[float, float]]
"""From one point to another."""


def name_points(
    axes: Axes,
    points: pd.DataFrame,
    named: Sequence[bool] | None = None,
    lines: Sequence[Line] = (),
) -> None:
    """Write a name beside points, where it hides as little as can be: no point, no other name, no bar.

    The figure must have been drawn once (`Figure.draw_without_rendering`), so that points have places.

    Parameters
    ----------
    points
        One row per point, numbered from 0: ``name``, ``x`` and ``y`` with ``..._low`` and ``..._high`` (NaN where there
        is none).
    named
        Which points get their name; None: all.
    lines
        Level and upright lines that names should not stand on, from one end to the other.
    """
    x, y = points["x"], points["y"]
    bars = [  # every box that is taken, from corner to corner, with what it costs to stand on it
        (x, y, x, y, 7.0, 20),
        (points["x_low"], y, points["x_high"], y, 2.0, 3),
        (x, points["y_low"], x, points["y_high"], 2.0, 3),
    ]
    window = axes.get_window_extent()
    taken: list[tuple[Bbox, int]] = []
    for left, low, right, high, pad, cost in bars:
        near, far = (
            axes.transData.transform(np.column_stack([across, up]))
            for across, up in ((left, low), (right, high))
        )
        for corner, other in zip(near, far, strict=True):
            if np.isfinite([corner, other]).all():
                taken.append((Bbox.from_extents(*(corner - pad), *(other + pad)), cost))
    for start, end in lines:
        ends = axes.transData.transform([start, end])
        taken.append((Bbox.from_extents(*(ends.min(axis=0) - 1.0), *(ends.max(axis=0) + 1.0)), 1))
    drawn = axes.transData.transform(np.column_stack([x, y]))
    for number, (name, at) in enumerate(zip(points["name"], zip(x, y, strict=True), strict=True)):
        if named is not None and not named[number]:
            continue
        text = axes.annotate(name, at, (0.0, 0.0), textcoords="offset points", fontsize=8.0, va="center")
        costs = []
        for shift in _OFFSETS:
            box = _moved(text, shift)
            inside = (
                window.x0 <= box.x0 and box.x1 <= window.x1 and window.y0 <= box.y0 and box.y1 <= window.y1
            )
            away = [_distance(box, it) for it in drawn]
            nearest = away[number] <= min(away) + 1.0  # else it would seem to belong to another point
            costs.append(
                (0 if nearest else 4)
                + sum(cost for other, cost in taken if box.overlaps(other))
                + (0 if inside else 1000)
            )
        shift = _OFFSETS[costs.index(min(costs))]
        taken.append((_moved(text, shift), 50))
        if abs(shift[0]) + abs(shift[1]) > 24.0:  # far from its point: a line leads there
            axes.annotate(
                "", at, shift, textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0.0, "shrinkB": 4.0},
            )  # fmt: skip


def _distance(box: Bbox, point: NDArray[np.float64]) -> float:
    """Return how far a point is from a box."""
    beside = np.maximum(0.0, np.maximum(box.min - point, point - box.max))
    return float(np.hypot(*beside))


def _moved(text: Annotation, shift: tuple[float, float]) -> Bbox:
    """Put a label somewhere else, and return what it covers there."""
    text.set_position(shift)
    text.set_horizontalalignment("left" if shift[0] > 0.0 else "right" if shift[0] < 0.0 else "center")
    return text.get_window_extent()
