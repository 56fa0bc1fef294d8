"""What the results of a notebook have in common: frames with units in the names of columns, and how they look."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from devices.quantity import number_and_unit
from devices.sourced import unknown_name
from simulator.experiments.statistics import (
    SIGNIFICANCE,
    Difference,
    Estimate,
    holm,
    over_replications,
    paired,
)
from simulator.experiments.tables import MARK

if TYPE_CHECKING:
    import pandas

ABOUT = ("replication", "status", "failure")
"""Columns of a frame of runs that are neither an axis nor a figure."""

HALF_WIDTH = ".half_width"
"""Ending of the column with half the width of a figure's 95 % interval."""

P, P_ADJUSTED, NARROWER_BY = ".p", ".p_adjusted", ".narrower_by"
"""Endings of the further columns of a paired difference: p-value, the same after the correction for many comparisons,
and how many times as wide the interval would be without pairing."""

ENDINGS = (HALF_WIDTH, P, P_ADJUSTED, NARROWER_BY)
"""Of all columns beside a figure's own."""

HEADLINES = (
    "ttft_s.mean",
    "ttft_s.p99",
    "tpot_s.mean",
    "e2e_s.mean",
    "throughput.output_tokens_per_s",
    "qoe.mean",
    "rebuffer_s.mean",
    "bitrate_kbps",
    "energy_per_phone_j.mean",
    "energy_per_ask_j.mean",
)
"""Figures of a service that a table shows; frames have them all."""

MOST_ROWS = 40
"""Rows of a shown table."""


def with_units(frame: pandas.DataFrame, axes: Iterable[str]) -> tuple[pandas.DataFrame, tuple[str, ...]]:
    """Return a frame whose axes are numbers where all values are numbers of one unit, and the axes' columns.

    ``devices.disk.bandwidth`` with ``7 Gbit/s`` and ``32 Gbit/s`` becomes ``devices.disk.bandwidth (Gbit/s)`` with 7.0
    and 32.0. Numbers without a unit that are all whole, such as counts, are integers.
    """
    names = {}
    for axis in axes:
        names[axis] = axis
        parts = [number_and_unit(str(value)) for value in frame[axis]]
        units = {None if it is None else it[1] for it in parts}
        if len(units) == 1 and None not in units:
            (unit,) = units
            numbers: list[float] = [it[0] for it in parts if it is not None]
            whole = not unit and all(it.is_integer() and abs(it) < 2**53 for it in numbers)
            frame = frame.assign(**{axis: [int(it) for it in numbers] if whole else numbers})
            names[axis] = f"{axis} ({unit})" if unit else axis
    return frame.rename(columns=names), tuple(names.values())


def means(frame: pandas.DataFrame, axes: Sequence[str], figures: Sequence[str] = ()) -> pandas.DataFrame:
    """Return one row per point: mean and half the 95 % interval of figures over the replications that succeeded.

    Parameters
    ----------
    frame
        One row per run.
    axes
        Columns that tell the points apart.
    figures
        Columns to show; empty: all.

    Returns
    -------
    pandas.DataFrame
        The axes, ``replications``, and for each figure its column and another one that ends in `HALF_WIDTH`, NaN
        where there are fewer than two values.

    Raises
    ------
    KeyError
        Where a figure is none; the message has the nearest.
    """
    import pandas as pd  # noqa: PLC0415 (slow import)

    known = figures_of(frame, axes, figures)
    groups: Any = frame.groupby(list(axes), sort=False, dropna=False) if axes else [((), frame)]
    rows = []
    for point, runs in groups:
        succeeded = runs[runs["status"] == "succeeded"]
        row = dict(zip(axes, point, strict=True)) | {"replications": len(succeeded)}
        for name in figures or known:
            row |= in_columns(name, over_replications([_number(value) for value in succeeded[name]]))
        rows.append(row)
    return pd.DataFrame(rows)


def figures_of(frame: pandas.DataFrame, axes: Sequence[str], asked: Iterable[str]) -> list[str]:
    """Return the columns of a frame of runs that are figures.

    Raises
    ------
    KeyError
        Where one that is asked for is none; the message has the nearest.
    """
    known = [name for name in frame.columns if name not in (*axes, *ABOUT)]
    for name in asked:
        if name not in known:
            raise KeyError(unknown_name("figure", name, known))
    return known


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def in_columns(name: str, it: Estimate) -> dict[str, float]:
    """Return an estimate as the two columns that it has in a frame."""
    mean, half = (math.nan if value is None else value for value in (it.mean, it.half_width))
    return {name: mean, f"{name}{HALF_WIDTH}": half}


def differences(
    frame: pandas.DataFrame, axes: Sequence[str], axis: str, baseline: object, figures: Sequence[str]
) -> pandas.DataFrame:
    """Return what runs with each value of one axis differ by from those with a baseline value, all else being equal.

    Parameters
    ----------
    frame
        One row per run.
    axes
        Columns that tell the points apart.
    axis
        One of them.
    baseline
        A value of it.
    figures
        Columns to show.

    Returns
    -------
    pandas.DataFrame
        One row per combination of the other axes and further value of the axis, without those whose combination lacks
        the baseline: the axes, and for each figure the columns of a difference, paired by replication. P-values are
        adjusted for all differences of the table.
    """
    import pandas as pd  # noqa: PLC0415 (slow import)

    runs: dict[tuple[Any, ...], dict[int, Any]] = {}
    for place, point in enumerate(frame[list(axes)].itertuples(index=False, name=None)):
        if frame["status"].iloc[place] == "succeeded":
            runs.setdefault(point, {})[int(frame["replication"].iloc[place])] = place
    at = list(axes).index(axis)
    rows: list[tuple[dict[str, Any], dict[str, Difference]]] = []
    for point, others in runs.items():
        first = runs.get((*point[:at], baseline, *point[at + 1 :]))
        if point[at] == baseline or first is None:
            continue
        both = sorted(first.keys() & others.keys())
        found = {
            name: paired(*([_number(frame[name].iloc[it[k]]) for k in both] for it in (first, others)))
            for name in figures
        }
        rows.append((dict(zip(axes, point, strict=True)), found))
    tested = [it.p for _, found in rows for it in found.values() if it.p is not None]
    adjusted = iter(holm(tested))
    table = []
    for row, found in rows:
        table.append(row)
        for name, it in found.items():
            p_adjusted = None if it.p is None else next(adjusted)
            table[-1] |= in_columns(name, it) | tests_in_columns(name, it, p_adjusted)
    return pd.DataFrame(table)


def tests_in_columns(name: str, it: Difference, p_adjusted: float | None) -> dict[str, float]:
    """Return what is known of a difference besides its size, as columns of a frame; NaN where it is not known."""
    known = {P: it.p, P_ADJUSTED: p_adjusted, NARROWER_BY: it.narrower_by}
    return {f"{name}{ending}": math.nan if value is None else value for ending, value in known.items()}


def headlines(names: Iterable[str]) -> list[str]:
    """Return the figures that a table shows, in the order of `HEADLINES` within that of the services."""
    found = [name for name in names if name.startswith("services.")]
    shown = [
        (service, HEADLINES.index(figure), name)
        for name in found
        for service, figure in [name.removeprefix("services.").split(".", 1)]
        if figure in HEADLINES
    ]
    order = list(dict.fromkeys(service for service, *_ in shown))
    picked = [name for *_, name in sorted(shown, key=lambda it: (order.index(it[0]), it[1]))]
    return picked + [name for name in names if name == "energy_j.total"]


def html_table(
    frame: pandas.DataFrame, figures: Sequence[str], caption: str, notes: Iterable[str] = ()
) -> str:
    """Return a frame as an HTML table, everything escaped: its figures with their intervals in one column each.

    Parameters
    ----------
    frame
        Figures in columns, and beside them perhaps others that end in `HALF_WIDTH`, or in those of paired differences:
        what then differs from 0 after the correction for many comparisons is marked.
    figures
        Which of its columns are figures.
    caption
        What stands above.
    notes
        Lines below.
    """
    import pandas as pd  # noqa: PLC0415 (slow import)

    beside = {f"{name}{ending}" for name in figures for ending in ENDINGS}
    others = [name for name in frame.columns if name not in figures and name not in beside]
    cells = {name: [_text(value) for value in frame[name]] for name in others}
    for name in figures:
        unknown = [math.nan] * len(frame)
        half, p = (frame.get(f"{name}{ending}", unknown) for ending in (HALF_WIDTH, P_ADJUSTED))
        cells[name] = [
            with_interval(mean, width) + (f" {MARK}" if p_adjusted < SIGNIFICANCE else "")
            for mean, width, p_adjusted in zip(frame[name], half, p, strict=True)
        ]
    table = pd.DataFrame(cells).rename(columns=_headings(others, figures))
    left_out = len(table) - MOST_ROWS
    lines = [*notes, *([f"{left_out:,} rows more"] if left_out > 0 else [])]
    # columns as they are, however long a value: a shortened policy would be another one
    with pd.option_context("display.max_colwidth", None):
        body = table.head(MOST_ROWS).to_html(index=False, escape=True, border=0, justify="left")
    below = "".join(f"<div><small>{html.escape(line)}</small></div>" for line in lines)
    return f"<div><b>{html.escape(caption)}</b></div>{body}{below}"


def _headings(axes: Sequence[str], figures: Sequence[str]) -> dict[str, str]:
    """Return what stands above each column: an axis by the end of its path where no other ends like it."""
    ends = [axis.rpartition(".")[2] if axis.count(".") > 1 else axis for axis in axes]
    short = {axis: end if ends.count(end) == 1 else axis for axis, end in zip(axes, ends, strict=True)}
    return short | {name: name.removeprefix("services.") for name in figures}


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_interval(mean: float, half_width: float) -> str:
    """Return a figure with its interval: two digits of the interval, and as many of the figure as it lets stand.

    Examples
    --------
    >>> with_interval(12.3456, 0.0512)
    '12.346 ± 0.051'
    >>> with_interval(12.3456, math.nan)
    '12.35'
    """
    if math.isnan(mean):
        return "-"
    if math.isnan(half_width):
        return f"{mean:,.4g}" if abs(mean) < 1e4 else f"{mean:,.0f}"
    if half_width == 0.0:
        return f"{mean:,.4g} ± 0"
    decimals = min(max(1 - math.floor(math.log10(half_width)), 0), 9)
    return f"{mean:,.{decimals}f} ± {half_width:,.{decimals}f}"
