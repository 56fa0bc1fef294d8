"""One figure of the summary against another, and the variants or points of a sweep that no other one beats in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from devices.errors import Fault, InputError
from simulator.experiments.comparison import flatten
from simulator.metrics.catalogue import HIGHER, LOWER, described
from simulator.viz.bands import INTERVALS, estimates
from simulator.viz.metric_bars import figure_label, find_figure
from simulator.viz.point_labels import name_points
from simulator.viz.runs import Study
from simulator.viz.style import COLOURS, GREY, footnote, legend, log_axis, looks, panels, styled, wide_spread

PRICES = ("accounting.cost_per_hour.total", "users.energy_per_user_j.total", "energy_j.total")
"""What is drawn along x where nothing is asked for: the first of these that is not the same everywhere."""

GOODS = ("qoe.mean", "e2e_s.mean")
"""The same along y: the first of these that a service has and that is not the same everywhere."""

MOST_NAMED = 12
"""With more points only those of the front have a name and a look of their own."""


def pareto_of(study: Study, x: str | None, y: str | None) -> Figure:
    """Draw two figures of the variants of a folder (see `pareto`)."""
    rows = [{"name": label, **flatten(run.summary)} for label, runs in study.variants.items() for run in runs]
    return pareto_of_runs(pd.DataFrame(rows), study.folder, x, y)


def pareto_of_runs(runs: pd.DataFrame, folder: Path, x: str | None, y: str | None) -> Figure:
    """Draw two figures of runs.

    Parameters
    ----------
    runs
        One row per run: ``name`` of its variant or point, and every figure by its path.
    folder
        Where they come from, for messages.
    x, y
        Which figures (see `simulator.viz.metric_bars.find_figure`); None: one of `PRICES`, of `GOODS`.

    Raises
    ------
    InputError
        Where there is no such figure, it has no better direction, or there are not two points to compare.
    """
    figures = [str(name) for name in runs if name != "name"]
    paths = (_figure(runs, figures, x, PRICES, folder), _figure(runs, figures, y, GOODS, folder))
    for path in paths:
        if not described(path).better:
            message = f"of {path} neither higher nor lower values are better; allowed: figures of which that is known"
            raise InputError(Fault(f"{message} (hetsim list metrics)", file=str(folder)))
    runs = runs[runs[paths[0]].notna() & runs[paths[1]].notna()]
    if runs["name"].nunique() < 2:
        said = "less than two variants or points have both"
        raise InputError(
            Fault(f"pareto compares them by {paths[0]} and {paths[1]}: {said}", file=str(folder))
        )
    points = estimates(runs.assign(x=runs[paths[0]]), ["name"], "x").merge(
        estimates(runs.assign(y=runs[paths[1]]), ["name"], "y"), on="name"
    )
    return pareto(
        points, *(figure_label(path, figures) for path in paths), *(described(path).better for path in paths)
    )


def front(x: ArrayLike, y: ArrayLike, x_better: str, y_better: str) -> NDArray[np.bool_]:
    """Tell of each point whether it is Pareto optimal: no other one is as good in both figures and better in one.

    Parameters
    ----------
    x, y
        Shape (n,). The two figures of each point.
    x_better, y_better
        Which values of them are better: `simulator.metrics.catalogue.HIGHER` or `LOWER`.
    """
    across, up = (
        np.asarray(values, float) * (-1.0 if it == HIGHER else 1.0)
        for values, it in ((x, x_better), (y, y_better))
    )
    best = np.zeros(len(across), dtype=bool)
    last = (np.inf, np.inf)
    for place in np.lexsort((up, across)):  # what comes earlier is as good along x
        here = (float(across[place]), float(up[place]))
        if here[1] < last[1] or here == last:  # equal points do not beat one another
            best[place], last = True, here
    return best


@styled
def pareto(points: pd.DataFrame, x_label: str, y_label: str, x_better: str, y_better: str) -> Figure:
    """Draw points with their intervals, and the front of those that no other one beats in both figures.

    Parameters
    ----------
    points
        One row per variant or point: ``name``; ``x`` and ``y`` with ``..._low`` and ``..._high`` (NaN where there is no
        interval).
    x_label, y_label
        What they are.
    x_better, y_better
        Which values are better: `simulator.metrics.catalogue.HIGHER` or `LOWER`.
    """
    best = front(points["x"], points["y"], x_better, y_better)
    few = len(points) <= MOST_NAMED
    styles = looks(points["name"]) if few else {}
    figure, [[axes]] = panels(1, 1, 6.0, 3.9)
    for row, on_front in zip(points.to_dict("records"), best, strict=True):
        look = styles.get(row["name"])
        colour = look.colour if look else COLOURS["blue"] if on_front else GREY
        bars = [
            None
            if np.isnan(row[f"{of}_low"])
            else [[row[of] - row[f"{of}_low"]], [row[f"{of}_high"] - row[of]]]
            for of in ("x", "y")
        ]
        axes.errorbar(
            row["x"], row["y"], xerr=bars[0], yerr=bars[1], color=colour, marker=look.marker if look else "o",
            markersize=7.0 if few or on_front else 4.0, markerfacecolor=colour if on_front else "white",
            markeredgecolor="white" if on_front else colour, markeredgewidth=0.6 if on_front else 1.2,
            elinewidth=1.0, capsize=2.0, linestyle="", zorder=4 if on_front else 3,
        )  # fmt: skip
    axes.margins(x=0.16, y=0.16)
    for which in ("x", "y"):
        if wide_spread(points[which], ratio=12.0):
            log_axis(axes, which)
    corners = _draw_front(axes, points[best], x_better, y_better)
    axes.set_xlabel(f"{x_label}   {'→' if x_better == HIGHER else '←'} better")
    axes.set_ylabel(f"{y_label}   {'→' if y_better == HIGHER else '←'} better")
    keys: list[Artist] = [Line2D([], [], color=GREY, linewidth=1.2, label="Pareto front")]
    if not best.all():
        keys.append(_key("on it", "#333333"))
        keys.append(_key("beaten by another", "white"))
    if points[["x_low", "y_low"]].notna().any(axis=None):
        keys.append(Line2D([], [], color="#333333", linewidth=1.0, label=INTERVALS))
        footnote(figure, "The front is that of the means.")
    legend(figure, keys)
    figure.draw_without_rendering()  # so that points have places
    name_points(axes, points, None if few else best.tolist(), list(pairwise(corners)))
    return figure


def _key(label: str, inside: str) -> Line2D:
    return Line2D([], [], color="#333333", marker="o", linestyle="", markerfacecolor=inside, label=label)


def _draw_front(axes: Axes, points: pd.DataFrame, x_better: str, y_better: str) -> list[tuple[float, float]]:
    """Draw the border of what the points of the front beat, as far as the panel goes; return its corners."""
    ordered = points.sort_values("x", ascending=x_better == LOWER)
    x, y = ordered["x"].tolist(), ordered["y"].tolist()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    x_end, y_end = (right, low) if x_better == LOWER else (left, low)
    if y_better == LOWER:
        y_end = high
    corners = [(x[0], y_end)]  # from the best in x, step by step, to the best in y
    for number, at in enumerate(y):
        corners += [(x[number], at), (x[number + 1] if number + 1 < len(x) else x_end, at)]
    axes.plot(*zip(*corners, strict=True), color=GREY, linewidth=1.2, zorder=2.0)
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    return corners


def _figure(
    runs: pd.DataFrame, figures: Sequence[str], asked: str | None, defaults: Iterable[str], folder: Path
) -> str:
    if asked is not None:
        return find_figure(figures, asked, folder)
    there = [path for it in defaults for path in figures if it in (path, described(path).inner)]
    telling = [path for path in there if runs.groupby("name")[path].mean().nunique() > 1]
    if not there:
        message = f"has none of {', '.join(defaults)}; allowed: others, by --x and --y"
        raise InputError(Fault(message, file=str(folder)))
    return (telling or there)[0]
