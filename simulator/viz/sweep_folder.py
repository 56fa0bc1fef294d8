"""From the table of a sweep to the data of a plot: which axis, which figure, which runs form a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pandas as pd
from matplotlib.figure import Figure

from devices.errors import Fault, InputError
from devices.quantity import UNITS, number_and_unit
from simulator.experiments.stored_sweep import StoredSweep, load_sweep_folder
from simulator.viz.bands import estimates
from simulator.viz.effects import effects_of
from simulator.viz.metric_bars import figure_label, find_figure
from simulator.viz.pareto import pareto_of_runs
from simulator.viz.runs import word_of
from simulator.viz.style import footnote
from simulator.viz.sweeps import Axis, sweep_effects, sweep_lines

MOST_LINES = 12
"""Lines that a person can tell apart."""


def _lines(sweep: StoredSweep, x: str | None, y: str | None) -> Figure:
    runs, figure, label = _runs(sweep, y)
    path = _axis_path(sweep, runs, x)
    axis = axis_of(path, runs[path].tolist())
    runs = runs.assign(x=axis.places(runs[path].tolist()))
    others = [name for name in sweep.axes if name != path]
    runs["line"] = [_label(others, values) or label for values in runs[others].itertuples(index=False)]
    count = runs["line"].nunique()
    if count > MOST_LINES:
        raise _fault(
            sweep,
            f"{count} lines against {path}, one per combination of the other axes; allowed: at most {MOST_LINES}. "
            "Draw sweep_effects, or sweep fewer values",
        )
    return sweep_lines(
        estimates(runs, ["line", "x"], figure).rename(columns=lambda name: str(name).replace(figure, "y", 1)),
        axis,
        label,
    )


def _effects(sweep: StoredSweep, x: str | None, y: str | None) -> Figure:
    runs, figure, label = _runs(sweep, y)
    chosen = sweep.axes if x is None else (_axis_path(sweep, runs, x),)
    axes = [axis_of(path, runs[path].tolist()) for path in chosen]
    places = {axis.path: axis.places(runs[axis.path].tolist()) for axis in axes}
    return sweep_effects(pd.DataFrame(places), runs[figure].astype(float), axes, label)


def _pareto(sweep: StoredSweep, x: str | None, y: str | None) -> Figure:
    names = [_label(sweep.axes, values) for values in sweep.frame[list(sweep.axes)].itertuples(index=False)]
    runs = sweep.frame[sweep.frame["status"] == "succeeded"]
    figures = runs[_figures(sweep)].assign(name=pd.Series(names)).reset_index(drop=True)
    return pareto_of_runs(figures, sweep.folder, x, y)


def _factorial(sweep: StoredSweep, _: str | None, y: str | None) -> Figure:
    known = _figures(sweep)
    asked = [None] if y is None else [name.strip() for name in y.split(",")]
    return effects_of(sweep, [find_figure(known, name, sweep.folder) for name in asked], known)


SWEEP_FIGURES: Final[Mapping[str, Callable[[StoredSweep, str | None, str | None], Figure]]] = (
    MappingProxyType(
        {"sweep_lines": _lines, "sweep_effects": _effects, "effects": _factorial, "pareto": _pareto}
    )
)
"""What can be drawn of a sweep."""


def draw_sweep(folder: Path, kind: str, x: str | None, y: str | None) -> Figure:
    """Return one of `SWEEP_FIGURES`.

    Parameters
    ----------
    folder
        The sweep's folder.
    kind
        Which figure.
    x
        Axis to draw against; None: the first one of numbers (``sweep_lines``), all (``sweep_effects``). ``pareto``: a
        figure, as `y` is.
    y
        Figure, as a path of the summary, or below the only service that has it; None: see `find_figure`, and
        `simulator.viz.pareto.pareto_of_runs`. ``effects``: also several, with commas between them.

    Raises
    ------
    InputError
        Where the folder is no sweep that has ended, or lacks what is asked for.
    """
    sweep = load_sweep_folder(folder)
    figure = SWEEP_FIGURES[kind](sweep, x, y)
    if failed := int((sweep.frame["status"] != "succeeded").sum()):
        footnote(figure, f"Without {failed} of {len(sweep.frame)} runs, which failed.")
    return figure


def axis_of(path: str, values: Sequence[object]) -> Axis:
    """Return what an axis's values are: numbers, numbers of one kind of unit, or names in their order."""
    if all(isinstance(value, int | float) for value in values):
        return Axis(path, "", {})
    pairs = [number_and_unit(str(value)) for value in values]
    known = [pair for pair in pairs if pair is not None]
    if len(known) == len(values):
        unit = known[0][1]
        for multiples in UNITS.values():
            if all(it in multiples for _, it in known):
                # 12 digits: a factor between units must not keep equal values apart
                places = [
                    float(f"{number * float(multiples[it] / multiples[unit]):.12g}") for number, it in known
                ]
                return Axis(path, unit, dict(zip(map(str, values), places, strict=True)))
    names = list(dict.fromkeys(map(str, values)))
    return Axis(path, "", {name: float(place) for place, name in enumerate(names)}, named=True)


def _runs(sweep: StoredSweep, y: str | None) -> tuple[pd.DataFrame, str, str]:
    """Return the runs that have the figure, the figure's column, and what an axis calls it."""
    frame, figures = sweep.frame, _figures(sweep)
    figure = find_figure(figures, y, sweep.folder)
    runs = frame[frame[figure].notna()].reset_index(drop=True)
    if runs.empty:
        raise _fault(sweep, f"no run has {figure}")
    return runs, figure, figure_label(figure, figures)


def _figures(sweep: StoredSweep) -> list[str]:
    """Return the columns that are figures."""
    return [it for it in map(str, sweep.frame) if it not in (*sweep.axes, "replication", "status", "failure")]


def _axis_path(sweep: StoredSweep, runs: pd.DataFrame, x: str | None) -> str:
    if x is not None:
        if x not in sweep.axes:
            raise _fault(sweep, f"has no axis {x!r}; allowed: {', '.join(sweep.axes)}")
        return x
    numbers = [path for path in sweep.axes if not axis_of(path, runs[path].tolist()).named]
    several = [path for path in numbers if runs[path].nunique() > 1]
    return (several or numbers or sweep.axes)[0]


def _label(paths: Sequence[str], values: Sequence[object]) -> str:
    words = []
    for path, value in zip(paths, values, strict=True):
        number = isinstance(value, float) and math.isfinite(value)
        words.append(word_of(path, f"{value:.6g}" if number else str(value)))
    return ", ".join(words)


def _fault(sweep: StoredSweep, message: str) -> InputError:
    return InputError(Fault(message, file=str(sweep.folder)))
