"""Figures of a sweep: a figure of the summary against the values that were varied."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from simulator.viz.bands import BAND, INTERVALS, band_key, line_key, line_with_band
from simulator.viz.speedup import by_factors
from simulator.viz.style import COLOURS, GREY, legend, log_axis, looks, panels, styled, ticks_at, wide_spread

GROUPS = 8
"""Groups of equally many runs that the median is drawn over."""

MOST_COLUMNS = 3
"""Panels side by side before the next row starts."""

MOST_TICKS = 8
"""Values that each get a tick."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Values that a sweep has varied, as places on an axis."""

    path: str
    """Path of the scenario."""
    unit: str
    """Unit of the places."""
    place_of: Mapping[str, float]
    """Place of each value as it is written; empty where the values are numbers themselves."""
    named: bool = False
    """Values are names, and places their numbers in order."""

    def places(self, values: Sequence[object]) -> list[float]:
        """Return the place of each value."""
        return [self.place_of[str(value)] if self.place_of else float(str(value)) for value in values]

    def show(self, axes: Axes, places: Sequence[float]) -> None:
        """Put ticks and label on the x axis of a panel."""
        axes.set_xlabel(f"{self.path} ({self.unit})" if self.unit else self.path)
        if self.named:
            axes.xaxis.set_major_locator(FixedLocator(list(self.place_of.values())))
            names = {place: name for name, place in self.place_of.items()}
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(value, "")))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.margins(x=0.12)
            return
        if by_factors(list(places)):
            log_axis(axes, "x")
        if len(set(places)) <= MOST_TICKS:
            ticks_at(axes, places)


@styled
def sweep_lines(frame: pd.DataFrame, axis: Axis, label: str) -> Figure:
    """Draw a figure's mean against one axis, a line for each combination of the others.

    Parameters
    ----------
    frame
        One row per line and place: ``line``, ``x``, ``y``, ``y_low``, ``y_high`` (NaN where there is no interval).
    axis
        What ``x`` is.
    label
        What ``y`` is.
    """
    styles = looks(frame["line"])
    figure, [[axes]] = panels(1, 1, 6.2, 3.3)
    for line, look in styles.items():
        line_with_band(axes, frame[frame["line"] == line], "x", "y", look)
    axis.show(axes, frame["x"].tolist())
    if wide_spread(frame["y"], ratio=12.0):
        log_axis(axes, "y")
    elif frame["y"].min() >= 0.0:
        axes.set_ylim(bottom=0.0)
    axes.set_ylabel(label)
    keys: list[Artist] = [line_key(line, look) for line, look in styles.items()] if len(styles) > 1 else []
    if frame["y_low"].notna().any():
        keys.append(band_key(INTERVALS))
    legend(figure, keys)
    return figure


@styled
def sweep_effects(places: pd.DataFrame, values: pd.Series[float], axes: Sequence[Axis], label: str) -> Figure:
    """Draw a figure against every axis, a panel each: all runs as points, and median and quartiles along the axis.

    What lies between the quartiles at one place is what the other axes and the replications do.

    Parameters
    ----------
    places
        One row per run, one column per axis: where its value stands.
    values
        The figure of each run.
    axes
        What the columns are.
    label
        What the figure is.
    """
    columns = min(MOST_COLUMNS, len(axes))
    figure, grid = panels(math.ceil(len(axes) / columns), columns, 3.4, 2.7, sharey=True)
    cells = [panel for row in grid for panel in row]
    for panel in cells[len(axes) :]:
        panel.remove()
    colour = COLOURS["blue"]
    for place, (panel, axis) in enumerate(zip(cells, axes, strict=False)):
        at = places[axis.path].to_numpy(dtype=float)
        panel.plot(at, values, linestyle="", marker=".", markersize=4.0, color=GREY, alpha=0.5, zorder=2)
        middle = _quartiles(at, values.to_numpy(dtype=float))
        line = "-"
        if axis.named:  # there is nothing between two names
            line = ""
            panel.vlines(middle["x"], middle["low"], middle["high"], color=colour, alpha=0.3, linewidth=9.0)
        else:
            panel.fill_between(middle["x"], middle["low"], middle["high"], color=colour, **BAND)  # type: ignore[arg-type]
        panel.plot(
            middle["x"], middle["median"], color=colour, linestyle=line, marker="o", markeredgecolor="white", zorder=3
        )  # fmt: skip
        axis.show(panel, at.tolist())
        if place % columns == 0:
            panel.set_ylabel(label)
    if wide_spread(values, ratio=12.0):
        log_axis(cells[0], "y")
    legend(
        figure,
        [
            Line2D([], [], linestyle="", marker=".", color=GREY, label="a run"),
            Line2D([], [], color=colour, marker="o", markeredgecolor="white", label="median"),
            Patch(color=colour, label="half of the runs", **BAND),  # type: ignore[arg-type]
        ],
    )
    return figure


def _quartiles(at: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Return median and quartiles by place; where there are many places, by groups of equally many runs."""
    frame = pd.DataFrame({"x": at, "y": values})
    by: object = frame["x"]
    if frame["x"].nunique() > GROUPS:
        by = pd.qcut(frame["x"].rank(method="first"), GROUPS, labels=False)
    grouped = frame.groupby(by, sort=True)  # type: ignore[call-overload]
    return pd.DataFrame(
        {
            "x": grouped["x"].median(),
            "median": grouped["y"].median(),
            "low": grouped["y"].quantile(0.25),
            "high": grouped["y"].quantile(0.75),
        }
    )
