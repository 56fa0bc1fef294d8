"""Tables of text for terminals: aligned, within a width, the same bytes for the same figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100
"""Columns of a terminal that tables stay within; one group of columns may be wider."""

MARK = "*"
"""Behind numbers that the text below a table speaks of."""

_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "B": ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "J": ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ"), (1.0, "J")),
    "share": ((0.01, "%"),),
    "": ((1.0, ""),),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """One column of numbers in SI units."""

    title: str
    """What it is."""
    values: Sequence[float | None]
    """One value per row; None where there is none."""
    half_widths: Sequence[float | None] = ()
    """Half the interval's width per row, None where there is none; empty: no row has one."""
    unit: str = ""
    """``s``, ``B``, ``J`` or ``share``: the column is scaled to its greatest value; any other stands as it is."""
    signed: bool = False
    """A plus sign stands before what is above zero: the column holds differences."""
    marked: Sequence[bool] = ()
    """Whether `MARK` stands behind the number, per row; empty: behind none."""


@dataclass(frozen=True, slots=True)
class Group:
    """Columns under a common heading, never torn apart and all in one scale."""

    title: str
    """The heading; the unit is added."""
    columns: Sequence[Figures]
    """Its columns, of one unit."""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return rows of texts as an aligned table: the first `left` columns to the left, the rest to the right.

    Examples
    --------
    >>> print(text_table(["device", "count"], [["gpu", "8"], ["disk", "10"]]), end="")
    device  count
    gpu         8
    disk       10
    """
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        parts = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip() + "\n")
    return "".join(lines)


def figure_tables(labels: Sequence[str], groups: Sequence[Group], corner: str = "") -> str:
    """Return figures as one or more tables below one another, each within `WIDTH`.

    Parameters
    ----------
    labels
        Name of each row.
    groups
        The columns, in order; as many groups as fit stand side by side.
    corner
        What stands above the labels.
    """
    label_width = max(len(corner), *(len(label) for label in labels)) if labels else len(corner)
    blocks: list[list[list[str]]] = []
    rendered = [_render(group) for group in groups]
    line_width = 0
    for lines in rendered:
        width = len(lines[0]) + 3
        if not blocks or line_width + width > WIDTH:
            blocks.append([])
            line_width = label_width
        blocks[-1].append(lines)
        line_width += width
    tables = []
    for block in blocks:
        names = ["", corner, *labels]
        tables.append(
            "".join(
                "   ".join([name.ljust(label_width), *(lines[number] for lines in block)]).rstrip() + "\n"
                for number, name in enumerate(names)
            )
        )
    return "\n".join(tables)


def _render(group: Group) -> list[str]:
    """Return the lines of a group: heading, titles, one per row; all of one width."""
    scale, symbol = scale_of(group.columns)
    columns = []
    for column in group.columns:
        texts = [column.title, *cells(column, scale)]
        width = max(6, *(len(text) for text in texts))
        columns.append([text.rjust(width) for text in texts])
    lines = ["  ".join(texts) for texts in zip(*columns, strict=True)]
    heading = f"{group.title} ({symbol})" if symbol else group.title
    width = max(len(heading), len(lines[0]))
    return [heading.ljust(width), *(line.rjust(width) for line in lines)]


def scale_of(columns: Sequence[Figures]) -> tuple[float, str]:
    """Return divisor and symbol of the unit that suits the greatest value of columns of one unit."""
    unit = columns[0].unit
    largest = max(
        (abs(value) for column in columns for value in column.values if value is not None), default=0.0
    )
    scales = _SCALES.get(unit, ((1.0, unit),))
    if unit == "s" and largest == 0.0:
        return scales[0]
    return next((entry for entry in scales if entry[0] <= largest), scales[-1])


def cells(column: Figures, scale: float) -> list[str]:
    """Return the text of each row of a column in units of `scale`."""
    decimals = _decimals(column.values, scale)
    return [_cell(column, row, scale, decimals) for row in range(len(column.values))]


def _decimals(values: Sequence[float | None], scale: float) -> int:
    """Return how many decimals show four digits of a column's greatest value and two of its least.

    Whole numbers need none.
    """
    shown = [abs(value) / scale for value in values if value]
    if not shown or all(value == round(value) for value in shown):
        return 0
    digits = max(3 - math.floor(math.log10(max(shown))), 1 - math.floor(math.log10(min(shown))))
    return min(max(digits, 0), 4)


def _cell(column: Figures, row: int, scale: float, decimals: int) -> str:
    value = column.values[row]
    if value is None:
        return "-"
    half_width = column.half_widths[row] if column.half_widths else None
    if half_width:  # two digits of the interval decide how many of the value mean something
        decimals = max(decimals, min(1 - math.floor(math.log10(half_width / scale)), decimals + 2))
    text = f"{value / scale:{'+' if column.signed else ''},.{decimals}f}"
    if half_width is not None:
        text += f" ± {half_width / scale:,.{decimals}f}"
    if any(column.marked):  # a blank keeps numbers without a mark in line
        text += MARK if column.marked[row] else " "
    return text
