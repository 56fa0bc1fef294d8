"""Tables of the page: columns that know their unit and group, rows of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.experiments.statistics import Estimate
from simulator.experiments.tables import Figures, cells, scale_of
from simulator.html_report.figures import Figure, figures

PAGE_ROWS = 50
"""Rows that are shown at a time; the rest is a button away."""

SHORT = 32
"""Characters of a text that stands in one line."""

NONE = Estimate(None, None, 0)

Cell = str | tuple[str, str]
"""A text; or a text and the address that it leads to."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    """Its heading."""
    unit: str = ""
    """Unit of all its numbers."""
    number: bool = False
    """It holds numbers: to the right, and sorted as such."""
    group: str = ""
    """Columns of one group are shown together; empty: always shown."""
    hint: str = ""
    """What the heading means."""
    mark: bool = False
    """Its texts are kinds or states that stand out."""
    surrogate: bool = False
    """Its numbers are neither measured nor simulated."""
    long: bool = False
    """Its texts are sentences and need room."""
    mixed: bool = False
    """Its numbers have different units: they cannot be sorted."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table."""

    title: str
    """Heading."""
    columns: Sequence[Column]
    """From left to right."""
    rows: Sequence[Sequence[Cell]]
    """Texts, one per column."""
    note: str = ""
    """What a reader must know."""

    @property
    def classes(self) -> list[str]:
        """Class of the cells of each column: numbers, sentences, short texts that need not be broken, others."""

        def one(number: int, column: Column) -> str:
            if column.number or column.long:
                return "n" if column.number else "long"
            texts = (row[number] for row in self.rows)
            return "" if any(not isinstance(it, str) or len(it) > SHORT for it in texts) else "short"

        return [one(number, column) for number, column in enumerate(self.columns)]

    @property
    def groups(self) -> list[str]:
        """Groups of columns, of which one is shown at a time."""
        return list(dict.fromkeys(column.group for column in self.columns if column.group))

    def as_data(self) -> dict[str, Any]:
        """Return what the page's script needs, ready for JSON."""
        return {
            "columns": [
                {"number": column.number, "mark": column.mark, "group": column.group, "class": name}
                for column, name in zip(self.columns, self.classes, strict=True)
            ],
            "rows": self.rows,
            "pageRows": PAGE_ROWS,
        }


def table_of_figures(
    title: str,
    heads: Sequence[Column],
    keys: Sequence[Sequence[Cell]],
    rows: Sequence[Mapping[str, Estimate]],
    note: str = "",
    *,
    signed: bool = False,
    beside: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
) -> Table:
    """Return a table with one column per figure, in the unit that suits its greatest value.

    Parameters
    ----------
    heads, keys
        Columns before the figures, and their texts per row.
    rows
        Estimates by dotted path, per row; an interval is shown where there is one.
    signed
        They are differences: a plus sign stands before what is above zero.
    beside
        Further columns of texts after each figure: heading -> text by path, per row.
    """
    columns, texts = list(heads), [list(key) for key in keys]
    for figure in figures(all_paths(rows)):
        estimates = [row.get(figure.path, NONE) for row in rows]
        if all(estimate.mean is None for estimate in estimates):
            continue
        symbol, cells_of = scaled_texts(figure, estimates, signed=signed)
        columns.append(
            Column(
                figure.title, symbol, True, figure.group,
                " – ".join(filter(None, (figure.path, figure.definition))), surrogate=figure.surrogate,
            )
        )  # fmt: skip
        for row, text in zip(texts, cells_of, strict=True):
            row.append(text)
        for heading, values in (beside or {}).items():
            if any(figure.path in of_row for of_row in values):
                columns.append(Column(f"{figure.title}: {heading}", "", True, figure.group))
                for row, of_row in zip(texts, values, strict=True):
                    row.append(of_row.get(figure.path, "-"))
    return Table(title, columns, texts, note)


def table_of_one(title: str, row: Mapping[str, Estimate], note: str = "") -> Table:
    """Return a table with one row per figure, for what has no variants."""
    columns = [
        Column("figure"), Column("value", "", True, mixed=True), Column("unit"),
        Column("definition", long=True), Column("path"),
    ]  # fmt: skip
    several = any(it.half_width is not None for it in row.values())
    rows: list[list[Cell]] = []
    for figure in figures(list(row)):
        if row[figure.path].mean is None:
            continue
        symbol, [text] = scaled_texts(figure, [row[figure.path]])
        what = f"surrogate: {figure.definition}" if figure.surrogate else figure.definition
        rows.append([figure.title, text, symbol, what, figure.path])
    return Table(title, columns, rows, note if several else "")


def scaled_texts(
    figure: Figure, estimates: Sequence[Estimate], *, signed: bool = False
) -> tuple[str, list[str]]:
    """Return the symbol of the unit that suits a figure's estimates, and their texts."""
    column = Figures(
        figure.title, [it.mean for it in estimates], [it.half_width for it in estimates], figure.unit, signed
    )
    scale, symbol = scale_of([column])
    return symbol, cells(column, scale)


def all_paths(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every path of any row, in the order in which they come."""
    return list(dict.fromkeys(path for row in rows for path in row))
