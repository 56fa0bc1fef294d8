"""Figures of studies of how answers are decoded: speed-up by category and load, and against a surrogate of quality."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from simulator.metrics.quality_surrogate import SHIFT, WHAT
from simulator.viz.bands import band_key, line_key, line_with_band
from simulator.viz.pairs import BASELINE
from simulator.viz.point_labels import name_points
from simulator.viz.speedup import by_factors, crossing, verdict
from simulator.viz.style import (
    GREY,
    Look,
    footnote,
    legend,
    log_axis,
    looks,
    panels,
    styled,
    ticks_at,
    wide_spread,
)

OVER = "E2E speed-up over autoregressive (×)"
"""Axis of the speed-up."""

MOST_COLUMNS = 3
"""Panels side by side before the next row starts."""

Floats = NDArray[np.float64]

_WHISKER: dict[str, Any] = {
    "fmt": "none",
    "ecolor": "#333333",
    "elinewidth": 0.9,
    "capsize": 1.6,
    "zorder": 4,
}
_HALO: dict[str, Any] = {"ecolor": "white", "elinewidth": 2.1, "capsize": 0.0}
_ONE: dict[str, Any] = {"color": "#333333", "linewidth": 1.0, "zorder": 2.5}


@styled
def speedup_by_category(frame: pd.DataFrame, interval: str = "") -> Figure:
    """Draw the speed-up of each policy by category, as groups of bars.

    Parameters
    ----------
    frame
        One row per line and category: ``line``, ``others`` (a panel for each), ``category``, ``requests``, ``speedup``
        with ``..._low`` and ``..._high`` (NaN where there is no interval). Groups stand in the order in which
        categories come first.
    interval
        What the intervals are, for the legend.
    """
    styles = looks(frame["line"])
    groups = list(dict.fromkeys(frame["category"]))
    others = list(dict.fromkeys(frame["others"]))
    width = max(4.6, 0.13 * len(groups) * (len(styles) + 1.5), 0.95 * len(groups))
    figure, grid = panels(len(others), 1, width, 2.9 if len(others) == 1 else 2.1, sharex=True, sharey=True)
    for [axes], other in zip(grid, others, strict=True):
        part = frame[frame["others"] == other]
        for number, (line, look) in enumerate(styles.items()):
            rows = part[part["line"] == line].set_index("category").reindex(groups)
            places = np.arange(len(groups)) + (number - 0.5 * (len(styles) - 1)) * 0.82 / len(styles)
            _bars(axes, places.tolist(), rows, 0.82 / len(styles), look)
        axes.axhline(1.0, **_ONE)
        axes.grid(visible=False, axis="x")
        axes.tick_params(axis="x", length=0)
        axes.set_title(other)
        axes.set_ylabel(OVER if len(others) == 1 else OVER.replace(" over", "\nover"))
    counts = frame.groupby("category")["requests"].max()
    names = [
        "\n".join([*textwrap.wrap(group, 13, break_long_words=False), f"n = {counts[group]}"])
        for group in groups
    ]
    axes.set_xticks(range(len(groups)), names)
    axes.set_xlim(-0.55, len(groups) - 0.45)
    axes.set_ylim(bottom=0.0)
    keys: list[Artist] = [look.swatch(line) for line, look in styles.items()]
    keys.append(Line2D([], [], label=BASELINE, color=_ONE["color"], linewidth=_ONE["linewidth"]))
    if interval and frame["speedup_low"].notna().any():
        keys.append(
            Line2D([], [], color="#333333", marker="|", markersize=5.0, linewidth=0.9, label=interval)
        )
    legend(figure, keys)
    return figure


def _bars(axes: Axes, places: list[float], rows: pd.DataFrame, width: float, look: Look) -> None:
    """Draw the bars of one line with their intervals."""
    middle, low, high = (rows[f"speedup{end}"] for end in ("", "_low", "_high"))
    axes.bar(places, middle, width, color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0.4)
    for under in (_HALO, {}):  # so that it is also seen on a black bar
        axes.errorbar(places, middle, [middle - low, high - middle], **_WHISKER | under)


@styled
def speedup_against_load(frame: pd.DataFrame, axis: str, unit: str, interval: str = "") -> Figure:
    """Draw the speed-up of each policy against the load, and say at which load it stops paying.

    Parameters
    ----------
    frame
        One row per line and load: ``line``, ``load``, ``speedup`` with ``..._low`` and ``..._high`` (NaN where there is
        no interval).
    axis
        What the load is, for the axis.
    unit
        What stands behind a load in the legend.
    interval
        What the bands are, for the legend.
    """
    styles = looks(frame["line"])
    figure, [[axes]] = panels(1, 1, 6.2, 3.1)
    keys: list[Artist] = []
    for line, look in styles.items():
        rows = frame[frame["line"] == line].dropna(subset=["speedup"]).sort_values("load")
        line_with_band(axes, rows, "load", "speedup", look)
        loads, values = rows["load"].tolist(), rows["speedup"].tolist()
        if (at := crossing(loads, values)) is not None:
            axes.plot(
                [at], [1.0], marker="|", markersize=11.0, markeredgewidth=2.0, color=look.colour, zorder=3.5
            )
        keys.append(line_key(f"{line}: {verdict(loads, values, unit)}", look))
    axes.axhline(1.0, **_ONE)
    if by_factors(frame["load"].tolist()):
        log_axis(axes, "x")
    axes.margins(x=0.04)
    ticks_at(axes, frame["load"])
    if wide_spread(frame["speedup"], ratio=12.0):
        log_axis(axes, "y")
    else:
        axes.set_ylim(bottom=0.0)
    axes.set_xlabel(axis)
    axes.set_ylabel(OVER)
    keys.append(Line2D([], [], label=BASELINE, color=_ONE["color"], linewidth=_ONE["linewidth"]))
    if interval and frame["speedup_low"].notna().any():
        keys.append(band_key(interval))
    legend(figure, keys)
    return figure


@styled
def quality_against_speed(frame: pd.DataFrame, interval: str = "") -> Figure:
    """Draw a surrogate of the quality of each policy's answers against its speed-up, a point per policy.

    Parameters
    ----------
    frame
        One row per policy: ``line``, ``others`` (a panel for each); ``speedup`` and ``net_win_rate`` (-1 to 1), each
        with ``..._low`` and ``..._high`` (NaN where there is none).
    interval
        What the intervals of the speed-up are, for the caption.
    """
    styles = looks(frame["line"])
    others = list(dict.fromkeys(frame["others"]))
    rows = math.ceil(len(others) / MOST_COLUMNS)
    columns = math.ceil(len(others) / rows)
    width, height = (5.4, 3.7) if columns == 1 else (4.4, 3.2)
    figure, grid = panels(rows, columns, width, height, sharex=True, sharey=True)
    cells = [axes for row in grid for axes in row]
    for axes in cells[len(others) :]:
        axes.remove()
    parts = {other: frame[frame["others"] == other].reset_index(drop=True) for other in others}
    for place, (axes, (other, part)) in enumerate(zip(cells, parts.items(), strict=False)):
        _points(axes, part, styles)
        axes.set_title(other)
        axes.set_xlabel(OVER)
        axes.set_ylabel("Surrogate net win rate\nover autoregressive (%)")
        axes.label_outer()
        if place + columns >= len(others):
            axes.set_xlabel(OVER)
            axes.tick_params(labelbottom=True)
    cells[0].margins(x=0.14, y=0.16)
    told = f"Quality is a {WHAT}. Vertical bars: anchors moved by ±{100.0 * SHIFT:g} points."
    if interval and frame["speedup_low"].notna().any():
        told += f" Horizontal bars: {interval}."
    footnote(figure, "\n".join(textwrap.wrap(told, int(figure.get_figwidth() * 15.5))))
    figure.draw_without_rendering()  # so that points have places
    for axes, part in zip(cells, parts.values(), strict=False):
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        name_points(axes, _in_percent(part), lines=[((left, 0.0), (right, 0.0)), ((1.0, low), (1.0, high))])
    return figure


def _points(axes: Axes, frame: pd.DataFrame, styles: Mapping[str, Look]) -> None:
    """Draw the points with their intervals."""
    axes.axhline(0.0, color=GREY, linewidth=1.0, zorder=1.5)
    axes.axvline(1.0, color=GREY, linewidth=1.0, zorder=1.5)
    for row in frame.to_dict("records"):
        look = styles[row["line"]]
        rates = [100.0 * row[f"net_win_rate{end}"] for end in ("", "_low", "_high")]
        speeds = [row[f"speedup{end}"] for end in ("", "_low", "_high")]
        axes.errorbar(
            speeds[0], rates[0], xerr=[[speeds[0] - speeds[1]], [speeds[2] - speeds[0]]],
            yerr=[[rates[0] - rates[1]], [rates[2] - rates[0]]], color=look.colour, marker=look.marker, markersize=7.0,
            markeredgecolor="white", elinewidth=1.1, capsize=2.0, zorder=3,
        )  # fmt: skip


def _in_percent(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the points as they are drawn, for their names."""
    columns = {"name": frame["line"]}
    for end in ("", "_low", "_high"):
        columns |= {f"x{end}": frame[f"speedup{end}"], f"y{end}": 100.0 * frame[f"net_win_rate{end}"]}
    return pd.DataFrame(columns)
