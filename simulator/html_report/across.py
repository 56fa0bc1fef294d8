"""What services of unlike kinds, and whole clusters, are weighed by: one table, all of it shown at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from simulator.experiments.statistics import Estimate
from simulator.html_report.figures import figures
from simulator.html_report.tables import Cell, Column, Table, all_paths, table_of_figures, table_of_one
from simulator.metrics.catalogue import HIGHER, across, described

TITLE = "Across services"

PLOTS = ("pareto",)
"""Kinds of plots that stand with the table."""


def table_across(
    heads: Sequence[Column], keys: Sequence[Sequence[Cell]], rows: Sequence[Mapping[str, Estimate]]
) -> Table | None:
    """Return the table of variants or points; None where there is nothing to weigh.

    Parameters
    ----------
    heads, keys
        Columns before the figures, and their texts per row; without any the only row is turned upright.
    rows
        Estimates by dotted path, per row.
    """
    paths = across(all_paths(rows))
    if not paths:
        return None
    chosen = [{path: row[path] for path in paths if path in row} for row in rows]
    if not heads:
        return table_of_one(TITLE, chosen[0])
    table = table_of_figures(TITLE, heads, keys, chosen)
    titles = {f"{it.path} – {it.definition}": _title(it.path) for it in figures(paths)}
    columns = [replace(it, group="", title=titles.get(it.hint, it.title)) for it in table.columns]
    return replace(table, columns=columns, note="↑: higher is better; ↓: lower is better.")


def _title(path: str) -> str:
    it = described(path)
    title = f"{it.service}: {it.title}" if it.service else it.title
    return f"{title} {'↑' if it.better == HIGHER else '↓'}"
