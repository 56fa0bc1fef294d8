"""What the engine is meant to keep to, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

from simulator.bench.cases import (
    CAMPUS,
    DAY,
    LONG_PROMPTS,
    MANY_REPLICAS,
    MILLION,
    ONE_REPLICA,
    PHONES,
    Case,
)
from simulator.bench.measure import Row
from simulator.experiments.tables import text_table


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure that is to be no more than something."""

    cases: tuple[Case, ...]
    """What it is of."""
    what: str
    """What it is, in words."""
    figure: Callable[..., float]
    """The figure, of one row per case; NaN where the system does not tell."""
    at_most: float

    def found(self, rows: Mapping[str, Row]) -> float | None:
        """Return the figure, from rows by case; None where a case was not measured."""
        measured = [rows[case.name] for case in self.cases if case.name in rows]
        return self.figure(*measured) if len(measured) == len(self.cases) else None


def _cost(row: Row) -> float:
    return row.timeouts


def _growth(row: Row, smaller: Row) -> float:
    return row.timeouts / smaller.timeouts


def _memory_gib(row: Row) -> float:
    return nan if row.peak_memory_bytes is None else row.peak_memory_bytes / 2**30


def _cpu_s_per_hour(row: Row) -> float:
    return 3600.0 / row.per_cpu_s


LIMITS: Final = (
    Limit((ONE_REPLICA,), "timeouts per request", _cost, 20.0),
    Limit((MANY_REPLICAS,), "timeouts per request", _cost, 20.0),
    Limit((MILLION, MANY_REPLICAS), "cost over that at 50,000", _growth, 1.15),
    Limit((MILLION,), "memory (GiB)", _memory_gib, 1.5),
    Limit((LONG_PROMPTS,), "timeouts per request", _cost, 150.0),
    Limit((PHONES,), "timeouts per chunk and phone", _cost, 25.0),
    Limit((CAMPUS,), "CPU time per simulated hour (s)", _cpu_s_per_hour, 120.0),
    Limit((DAY,), "CPU time per simulated hour (s)", _cpu_s_per_hour, 300.0 / 24.0),
)
"""All limits."""


def judged(rows: Sequence[Row]) -> str:
    """Return a table of the limits whose cases were measured: the figure, the limit, and whether it was kept."""
    by_case = {row.case: row for row in rows}
    cells = [
        [
            limit.cases[0].name,
            limit.what,
            f"{found:.2f}",
            f"{limit.at_most:g}",
            "kept" if found <= limit.at_most else "missed",
        ]
        for limit in LIMITS
        if (found := limit.found(by_case)) is not None
    ]
    return text_table(["limit", "of", "measured", "at most", ""], cells, left=2) if cells else ""
