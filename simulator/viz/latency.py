"""Figures of latency distributions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from simulator.viz.style import GREY, legend, log_axis, looks, panels, styled, wide_spread

STATISTICS = ("mean", "p50", "p90", "p99")
"""Statistics of a latency, in the order of the bars."""

MOST_POINTS = 1500
"""A curve of more answers than this is thinned out; its tail never is."""

_NAMES = {"ttft_s": "TTFT (s)", "tpot_s": "TPOT (s)", "e2e_s": "E2E (s)"}


@styled
def latency_cdf(latency: str, values_s: Mapping[str, ArrayLike]) -> Figure:
    """Draw the cumulative distribution of a latency, one curve per variant, with its p50 and p99.

    Parameters
    ----------
    latency
        ``ttft_s``, ``tpot_s`` or ``e2e_s``.
    values_s
        Variant -> the latency of each answered request in s, shape (requests,).
    """
    values = {label: np.sort(np.asarray(array, dtype=float)) for label, array in values_s.items()}
    figure, [[axes]] = panels(1, 1, 5.6, 3.2)
    handles = []
    for label, look in looks(values).items():
        times = values[label]
        if not len(times):
            handles.append(
                Line2D([], [], color=look.colour, linestyle=look.dash, label=f"{label}: no answers")
            )
            continue
        shown = _thinned(len(times))
        x = np.concatenate([times[:1], times[shown]])
        y = np.concatenate([[0.0], (shown + 1.0) / len(times)])
        axes.plot(x, y, color=look.colour, linestyle=look.dash, drawstyle="steps-post")
        p50, p99 = np.quantile(times, (0.5, 0.99))
        axes.plot([p50, p99], [0.5, 0.99], look.marker, color=look.colour, markeredgecolor="white", zorder=3)
        handles.append(
            Line2D(
                [],
                [],
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker,
                markeredgecolor="white",
                label=f"{label}: p50 {p50:.3g} s, p99 {p99:.3g} s",
            )
        )
    for level, name in ((0.5, "p50"), (0.99, "p99")):
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        axes.annotate(
            name, (1.0, level), (3, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", fontsize=8.0, color="#555555",
        )  # fmt: skip
    spread = [float(q) for times in values.values() if len(times) for q in np.quantile(times, (0.01, 0.99))]
    if wide_spread([*spread, *(float(times[0]) for times in values.values() if len(times))]):
        log_axis(axes, "x")
    else:
        axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel(_NAMES[latency])
    axes.set_ylabel("Share of answered requests")
    legend(figure, handles)
    return figure


def _thinned(count: int) -> NDArray[np.int64]:
    """Return the indices of a sorted sample to draw: evenly spaced, and every one of the last hundred."""
    if count <= MOST_POINTS:
        return np.arange(count)
    body = np.linspace(0, count - 1, MOST_POINTS).round().astype(np.int64)
    return np.union1d(body, np.arange(count - 100, count))


@styled
def latency_bars(
    latencies: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    intervals: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]] | None = None,
) -> Figure:
    """Draw mean, p50, p90 and p99 per variant, one panel per latency.

    Where the values of a panel span more than a factor of 50 it has a log axis, and points instead of bars: a
    bar's length means nothing there.

    Parameters
    ----------
    latencies
        Variant -> latency (``ttft_s``, ``tpot_s``, ``e2e_s``) -> statistic -> value in s, as in a summary.
    intervals
        The same keys -> (low, high) of a confidence interval in s; what is missing has none.
    """
    shown = [
        key
        for key in _NAMES
        if any(value is not None for variant in latencies.values() for value in variant.get(key, {}).values())
    ] or ["ttft_s"]
    figure, [row] = panels(1, len(shown), 3.1, 2.7)
    styles = looks(latencies)
    for axes, key in zip(row, shown, strict=True):
        points = {
            label: [_number(latencies[label].get(key, {}).get(statistic)) for statistic in STATISTICS]
            for label in styles
        }
        log = wide_spread((value for values in points.values() for value in values), ratio=50.0)
        slot = 0.8 / len(styles)
        for i, (label, look) in enumerate(styles.items()):
            x = np.arange(len(STATISTICS)) + (i - (len(styles) - 1) / 2) * slot
            if log:
                axes.plot(x, points[label], look.marker, color=look.colour, markeredgecolor="white")
            else:
                axes.bar(
                    x, points[label], slot * 0.92,
                    color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0.0,
                )  # fmt: skip
            bounds = (intervals or {}).get(label, {}).get(key, {})
            for place, statistic, value in zip(x, STATISTICS, points[label], strict=True):
                if statistic in bounds:
                    low, high = bounds[statistic]
                    axes.errorbar(
                        place, value, [[max(0.0, value - low)], [max(0.0, high - value)]],
                        fmt="none", ecolor="#333333", elinewidth=1.0, capsize=2.0,
                    )  # fmt: skip
        if log:
            axes.margins(y=0.12)
            log_axis(axes, "y")
        axes.set_xticks(range(len(STATISTICS)), STATISTICS)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(_NAMES[key] + (", log scale" if log else ""))
    legend(figure, [look.swatch(label) for label, look in styles.items()])
    return figure


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
