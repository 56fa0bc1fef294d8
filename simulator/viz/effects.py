"""What two-level factors of a sweep do to figures: alone, on average, to one another, and together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from devices.document import read_document
from devices.errors import Fault, InputError
from simulator.experiments.factorial import design_values, factorial_effects, together
from simulator.experiments.statistics import Estimate
from simulator.experiments.stored_sweep import StoredSweep
from simulator.metrics.catalogue import HIGHER, NEITHER, described
from simulator.viz.bands import INTERVALS
from simulator.viz.metric_bars import figure_label
from simulator.viz.runs import word_of
from simulator.viz.style import COLOURS, GREY, footnote, legend, panels, rounded, styled, wrapped

MOST_FACTORS = 4
"""Factors whose 15 effects a person can still read."""

TOGETHER = "all together"
"""What the row of all factors is called."""

_NONE = Estimate(None, None, 0)


def effects_of(sweep: StoredSweep, figures: Sequence[str], known: Sequence[str]) -> Figure:
    """Draw what the axes of a sweep, each off or on, do to figures (see `effects`).

    Parameters
    ----------
    sweep
        A sweep over every combination of axes of two values; the first value of each is off.
    figures
        Which figures, a panel each.
    known
        All figures that there are.

    Raises
    ------
    InputError
        Where an axis has more than two values, there are too many, or no replication has all combinations.
    """
    levels = _levels(sweep)
    rows = [(path, [_worded(path, value) for value in order]) for path, order in levels]
    on = [order[1] for _, order in rows]
    frames, labels, better, counts = [], [], [], set()
    for figure in figures:
        values = design_values(sweep.frame, levels, figure)
        if not len(values):
            message = f"no replication has {figure} at every combination of the axes"
            raise InputError(Fault(message, file=str(sweep.folder)))
        counts.add(len(values))
        frames.append(_table(values, on))
        labels.append(figure_label(figure, known))
        better.append(described(figure).better)
    drawn = effects(frames, labels, better)
    footnote(drawn, "; ".join(f"{one}: instead of {off}" for _, (off, one) in rows))
    planned = sweep.frame["replication"].nunique()
    if min(counts) < planned:
        footnote(drawn, f"On {min(counts)} of {planned} replications: the others lack a run.")
    return drawn


def _levels(sweep: StoredSweep) -> list[tuple[str, list[object]]]:
    found = [(path, list(dict.fromkeys(sweep.frame[path]))) for path in sweep.axes]
    varied = [(path, order) for path, order in found if len(order) > 1]
    for path, order in varied:
        if len(order) > 2:
            message = f"effects shows axes of two values, off and on; {path} has {len(order)}"
            raise InputError(Fault(message, file=str(sweep.folder)))
    if not 1 <= len(varied) <= MOST_FACTORS:
        message = f"effects shows 1 to {MOST_FACTORS} axes of two values, not {len(varied)}"
        raise InputError(Fault(message, file=str(sweep.folder)))
    return varied


def _worded(path: str, value: object) -> str:
    """Return a value as a reader would say it: a policy by its name and its parameters."""
    text = str(value)
    if not text.startswith("{"):
        return word_of(path, text)
    data = read_document(text, path).data
    return ", ".join(str(it) if key == "name" else f"{key} {it}" for key, it in data.items())


def _table(values: NDArray[np.float64], names: Sequence[str]) -> pd.DataFrame:
    rows = [
        (" × ".join(names[place] for place in it.factors), it.alone, it.average)
        for it in factorial_effects(values)
    ]
    rows[-1] = (*rows[-1][:2], _NONE)  # with no others to average over the two are the same
    if len(names) > 1:
        rows.append((TOGETHER, together(values), _NONE))
    columns = [f"{name}{end}" for name in ("alone", "average") for end in ("", "_low", "_high")]
    table = [(label, *_ends(alone), *_ends(average)) for label, alone, average in rows]
    return pd.DataFrame(table, columns=["effect", *columns]).astype(dict.fromkeys(columns, float))


def _ends(it: Estimate) -> list[float | int | None]:
    data = it.as_data()
    return [data["mean"], data["low"], data["high"]]


@styled
def effects(frames: Sequence[pd.DataFrame], labels: Sequence[str], better: Sequence[str]) -> Figure:
    """Draw effects with their intervals, a row each, and a panel per figure.

    Parameters
    ----------
    frames
        By panel, one row per effect, the same ones in each: ``effect``; ``alone`` and ``average`` with ``..._low`` and
        ``..._high`` (NaN where there is none). The last one is of all factors together where there are several.
    labels
        What the figures are.
    better
        Which values of them are better: `simulator.metrics.catalogue.HIGHER`, `LOWER` or `NEITHER`.
    """
    names = list(frames[0]["effect"])
    places = [-float(place) - 0.4 * (name == TOGETHER) for place, name in enumerate(names)]
    columns = min(len(frames), 3)
    rows = -(-len(frames) // columns)
    figure, grid = panels(rows, columns, 3.4, 0.5 + 0.36 * len(names), sharey=True)
    cells = [cell for row in grid for cell in row]
    for cell in cells[len(frames) :]:
        cell.remove()
    for cell, frame, label, direction in zip(cells, frames, labels, better, strict=False):
        _panel(cell, frame, places, direction)
        cell.set_xlabel(f"Change of {label}")
    cells[0].set_yticks(places, [wrapped(name) for name in names])
    keys: list[Artist] = []
    if len(names) > 1:
        keys += [_key("with the others off", "o", "#333333"), _key("mean over the others", "D", "white")]
    if any(it != NEITHER for it in better):
        colours = (
            ("better", COLOURS["blue"]),
            ("worse", COLOURS["vermillion"]),
            ("not told from 0", GREY),
        )
        keys += [Line2D([], [], color=colour, linewidth=3.0, label=label) for label, colour in colours]
    if any(frame["alone_low"].notna().any() for frame in frames):
        keys.append(Line2D([], [], color="#333333", linewidth=1.0, label=INTERVALS))
    legend(figure, keys)
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, places: Sequence[float], direction: str) -> None:
    axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=2.0)
    if frame["effect"].iloc[-1] == TOGETHER:
        axes.axhline(places[-1] + 0.7, color=GREY, linewidth=0.6)
    for place, row in zip(places, frame.to_dict("records"), strict=True):
        for name, marker, off in (("alone", "o", 0.0), ("average", "D", -0.28)):
            value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
            if np.isnan(value):
                continue
            colour = _colour(value, low, high, direction)
            axes.errorbar(
                value, place + off, xerr=None if np.isnan(low) else [[value - low], [high - value]],
                color=colour, marker=marker, markersize=5.5 if marker == "o" else 4.0,
                markerfacecolor=colour if marker == "o" else "white", elinewidth=1.1, capsize=2.0, zorder=3,
            )  # fmt: skip
            if name == "alone":
                spread = "" if np.isnan(low) else f" ± {rounded((high - low) / 2.0)}"
                axes.annotate(
                    f"{rounded(value)}{spread}".replace("-", "−"), (1.0, place), (-2, 3),
                    xycoords=axes.get_yaxis_transform(), textcoords="offset points", ha="right", fontsize=7.0,
                )  # fmt: skip
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.42 * (high - low))  # room for the numbers
    axes.set_ylim(places[-1] - 0.6, 0.6)
    axes.grid(visible=False, axis="y")


def _colour(value: float, low: float, high: float, direction: str) -> str:
    if np.isnan(low) or low <= 0.0 <= high:
        return GREY
    if direction == NEITHER:
        return "#333333"
    return COLOURS["blue"] if (value > 0.0) == (direction == HIGHER) else COLOURS["vermillion"]


def _key(label: str, marker: str, inside: str) -> Line2D:
    return Line2D([], [], color="#333333", marker=marker, linestyle="", markerfacecolor=inside, label=label)
