"""Figures of studies of groups of phones: how many, how unlike, under which policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.viz.bands import band_key, line_key, line_with_band
from simulator.viz.style import (
    COLOURS,
    COMPONENT_COLOURS,
    GREY,
    legend,
    looks,
    panels,
    rounded,
    scaled,
    styled,
    ticks_at,
    wrapped,
)

QOE = "QoE per chunk (Mbit/s)"
"""Axis of the QoE: its quality term is a bitrate."""

_INTERVAL = "#333333"


@styled
def qoe_and_energy_by_phones(
    frame: pd.DataFrame, interval: str = "", bound_label: str = "upper bound"
) -> Figure:
    """Draw QoE and energy per phone against the number of phones.

    With several lines, each has its energy as a line too; a line alone has it as bars, stacked by component.

    Parameters
    ----------
    frame
        One row per line and number of phones: ``line``, ``phones``; ``qoe`` and ``energy_j``, each with ``..._low``
        and ``..._high`` (NaN where there is no interval); ``<component>_j``, mean energy per phone of each component;
        and where it is known ``upper_bound`` of the QoE.
    interval
        What the intervals are, for the legend.
    bound_label
        Which policies the bound holds for, for the legend.
    """
    styles = looks(frame["line"])
    divisor, unit = scaled(float(frame["energy_j"].max()), "J")
    figure, [row] = panels(1, 2, 3.5, 2.9)
    quality, energy = row
    for line, look in styles.items():
        line_with_band(quality, frame[frame["line"] == line], "phones", "qoe", look)
    keys: list[Artist] = [line_key(line, look) for line, look in styles.items()]
    if (bound := frame.dropna(subset=["upper_bound"]) if "upper_bound" in frame else frame[:0]).size:
        best = bound.groupby("phones")["upper_bound"].max()
        quality.plot(best.index, best, color=COLOURS["black"], linewidth=1.0, linestyle=(0, (1.0, 1.2)))
        keys.append(
            Line2D(
                [],
                [],
                color=COLOURS["black"],
                linewidth=1.0,
                linestyle=(0, (1.0, 1.2)),
                label=bound_label,
            )
        )
    if len(styles) > 1:
        for line, look in styles.items():
            line_with_band(energy, frame[frame["line"] == line], "phones", "energy_j", look, divisor=divisor)
        energy.set_ylim(bottom=0.0)
    else:
        keys += _stacked(energy, frame.sort_values("phones"), divisor)
    quality.set_ylabel(QOE)
    energy.set_ylabel(f"Energy per phone ({unit})")
    for axes in row:
        axes.set_xlabel("Phones")
        ticks_at(axes, frame["phones"])
        axes.set_xlim(frame["phones"].min() - 0.5, frame["phones"].max() + 0.5)
    legend(figure, [*keys, *_interval_key(frame, interval, patch=True)])
    return figure


@styled
def stalls_by_skew(frame: pd.DataFrame, of: str, interval: str = "") -> Figure:
    """Draw the mean stall of a viewer against how unlike the phones are.

    Parameters
    ----------
    frame
        One row per line and skew: ``line``, ``skew`` (fastest over slowest phone), ``stall_s`` with ``..._low`` and
        ``..._high`` (NaN where there is no interval).
    of
        What the phones differ by, for the axis.
    interval
        What the intervals are, for the legend.
    """
    styles = looks(frame["line"])
    figure, [[axes]] = panels(1, 1, 4.8, 3.0)
    for line, look in styles.items():
        line_with_band(axes, frame[frame["line"] == line], "skew", "stall_s", look)
    axes.set_ylim(bottom=0.0)
    if axes.get_ylim()[1] < 1e-9:
        axes.set_ylim(0.0, 1.0)
    axes.margins(x=0.04)
    ticks_at(axes, frame["skew"])
    axes.set_xlabel(f"Skew: fastest over slowest phone by {of}")
    axes.set_ylabel("Stall per viewer and session (s)")
    legend(
        figure,
        [
            *(line_key(line, look) for line, look in styles.items()),
            *_interval_key(frame, interval, patch=True),
        ],
    )
    return figure


@styled
def streaming_bars(frame: pd.DataFrame, interval: str = "", bound_label: str = "upper bound") -> Figure:
    """Draw QoE, stalls and energy per phone by component, a row of bars per variant.

    Parameters
    ----------
    frame
        One row per variant: ``variant``; ``qoe``, ``stall_s`` and ``energy_j``, each with ``..._low`` and ``..._high``
        (NaN where there is no interval); ``<component>_j``, mean energy per phone of each component; and where it is
        known ``upper_bound``.
    interval
        What the intervals are, for the legend.
    bound_label
        Which policies the bound holds for, for the legend.
    """
    styles = looks(frame["variant"])
    names = [wrapped(variant) for variant in styles]
    places = np.arange(len(frame))
    lines = sum(max(name.count("\n") + 1, 2) for name in names)
    divisor, unit = scaled(float(frame["energy_j"].max()), "J")
    figure, [row] = panels(1, 3, 3.0, 0.2 * lines + 0.4, sharey=True)
    for axes, (column, title) in zip(row, (("qoe", QOE), ("stall_s", "Stall per viewer (s)")), strict=False):
        axes.barh(places, frame[column], 0.66, color=[look.colour for look in styles.values()])
        _whiskers(axes, frame, column, 1.0)
        axes.axvline(0.0, color="#333333", linewidth=0.8)
        axes.set_xlabel(title)
    row[1].set_xlim(left=0.0)
    if not (frame["stall_s"] > 0.0).any():
        row[1].set_xlim(0.0, 1.0)
    keys = _stacked(row[2], frame, divisor, flat=True)
    if (bound := frame["upper_bound"] if "upper_bound" in frame else pd.Series(dtype=float)).notna().any():
        row[0].plot(
            bound, range(len(frame)), "|", color=COLOURS["black"], markersize=11.0, markeredgewidth=1.4
        )
        keys.append(
            Line2D([], [], color=COLOURS["black"], marker="|", markersize=9.0, markeredgewidth=1.4, linestyle="",
                   label=bound_label)
        )  # fmt: skip
    row[2].set_xlabel(f"Energy per phone ({unit})")
    for axes, column, factor in zip(row, ("qoe", "stall_s", "energy_j"), (1.0, 1.0, divisor), strict=True):
        _numbers(axes, frame, column, factor)
    row[0].set_yticks(range(len(names)), names)
    row[0].set_ylim(len(names) - 0.5, -0.5)
    for axes in row:
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    legend(figure, [*keys, *_interval_key(frame, interval, patch=False)])
    return figure


def components(frame: pd.DataFrame) -> list[str]:
    """Return the columns of a frame that hold components of the energy."""
    return [name for name in map(str, frame) if name.endswith("_j") and name != "energy_j"]


def _stacked(axes: Axes, frame: pd.DataFrame, divisor: float, flat: bool = False) -> list[Artist]:
    """Draw energy by component; return the keys."""
    parts = [name for name in components(frame) if (frame[name] > 0.0).any()]
    places = np.arange(len(frame)) if flat else frame["phones"].to_numpy(dtype=float)
    reached = np.zeros(len(frame))
    shades = [COMPONENT_COLOURS.get(name, GREY) for name in parts]
    for name, shade in zip(parts, shades, strict=True):
        values = frame[name].fillna(0.0).to_numpy(dtype=float) / divisor
        if flat:
            axes.barh(places, values, 0.66, reached, color=shade, edgecolor="white", linewidth=0.4)
        else:
            axes.bar(places, values, 0.66, reached, color=shade, edgecolor="white", linewidth=0.4)
        reached += values
    if flat:
        _whiskers(axes, frame, "energy_j", divisor)
        axes.set_xlim(left=0.0)
    else:
        low, high = frame["energy_j_low"] / divisor, frame["energy_j_high"] / divisor
        middle = frame["energy_j"] / divisor
        axes.errorbar(places, middle, [middle - low, high - middle], **_WHISKER)
        axes.grid(visible=False, axis="x")
    return [
        Patch(color=shade, label=_COMPONENTS.get(name, name.removesuffix("_j")))
        for name, shade in zip(parts, shades, strict=True)
    ]


_COMPONENTS = {"sr_j": "super-resolution", "wlan_j": "WLAN", "rest_j": "rest of the phone"}
_WHISKER: dict[str, Any] = {
    "fmt": "none",
    "ecolor": _INTERVAL,
    "elinewidth": 1.0,
    "capsize": 2.0,
    "zorder": 4,
}


def _whiskers(axes: Axes, frame: pd.DataFrame, column: str, divisor: float) -> None:
    middle, low, high = (frame[column + end] / divisor for end in ("", "_low", "_high"))
    axes.errorbar(middle, np.arange(len(frame)), xerr=[middle - low, high - middle], **_WHISKER)


def _numbers(axes: Axes, frame: pd.DataFrame, column: str, divisor: float) -> None:
    """Write each value beyond the end of its bar and whisker, and make room for it."""
    low, high = axes.get_xlim()
    room = 0.2 * (high - low)
    values = frame[column] / divisor
    if (values < 0.0).any():
        axes.set_xlim(left=low - room)
    if (values >= 0.0).any():
        axes.set_xlim(right=high + room)
    for place, (_, row) in enumerate(frame.iterrows()):
        value = float(row[column]) / divisor
        if not np.isfinite(value):
            continue
        below = value < 0.0
        end = row[f"{column}_low" if below else f"{column}_high"] / divisor
        axes.annotate(
            rounded(value).replace("-", "−"), (end if np.isfinite(end) else value, place), (-4 if below else 4, 0),
            textcoords="offset points", va="center", ha="right" if below else "left", fontsize=7.0,
        )  # fmt: skip


def _interval_key(frame: pd.DataFrame, interval: str, patch: bool) -> Iterable[Artist]:
    if not interval or not any(
        frame[name].notna().any() for name in map(str, frame) if name.endswith("_low")
    ):
        return
    if patch:
        yield band_key(interval)
    else:
        yield Line2D([], [], color=_INTERVAL, marker="|", markersize=5.0, linewidth=1.0, label=interval)
