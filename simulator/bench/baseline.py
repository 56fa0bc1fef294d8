"""The costs that the project has on record: timeouts per unit, by engine and case; machines cancel out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from simulator.bench.measure import Row
from simulator.experiments.tables import text_table

BASELINE: Final = Path(__file__).with_name("baseline.json")
"""Where they stand."""

Costs = Mapping[str, float]
"""Timeouts per unit, by case."""


def read_baseline(file: Path = BASELINE) -> dict[str, Costs]:
    """Return the costs on record, by engine; nothing where there is no file."""
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def write_baseline(measured: Mapping[str, Sequence[Row]], file: Path = BASELINE) -> None:
    """Put what was measured on record, by engine; what was not stays as it was."""
    known = read_baseline(file)
    for engine, rows in measured.items():
        known[engine] = {**known.get(engine, {}), **{row.case: round(row.timeouts, 2) for row in rows}}
    file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def compared(rows: Sequence[Row], baseline: Costs) -> str:
    """Return a table of what cases cost, beside the costs on record."""
    cells = [
        [
            row.case,
            row.unit,
            f"{row.timeouts:,.1f}",
            f"{row.least:,.1f} to {row.most:,.1f}",
            *_beside(row.timeouts, baseline.get(row.case)),
            f"{row.per_cpu_s:,.0f}",
            "-" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 2**20:.0f}",
        ]
        for row in rows
    ]
    header = ["case", "per", "timeouts", "from to", "baseline", "change", "per CPU s", "memory (MiB)"]
    return text_table(header, cells, left=2)


def _beside(cost: float, known: float | None) -> tuple[str, str]:
    return ("-", "-") if known is None else (f"{known:,.1f}", f"{100.0 * (cost / known - 1.0):+.0f} %")
