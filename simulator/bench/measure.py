"""Costs in bare SimPy timeouts of the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import simpy

from simulator.bench.cases import Case
from simulator.experiments.run_store import peak_memory_bytes
from simulator.experiments.tables import text_table

TIMEOUTS = 1_000_000
"""Timeouts of one yardstick."""


def yardstick_s() -> float:
    """Return the CPU time of one bare SimPy timeout, in s."""
    env = simpy.Environment()

    def wait() -> Iterator[simpy.Event]:
        for _ in range(TIMEOUTS):
            yield env.timeout(1)

    env.process(wait())  # type: ignore[arg-type]
    started = time.process_time()
    env.run()
    return (time.process_time() - started) / TIMEOUTS


def measure(repeats: int, measured: Iterable[Case]) -> list[dict[str, Any]]:
    """Return one row per case: medians over `repeats`, each between two yardsticks."""
    rows = []
    for case in measured:
        costs, rates = [], []
        for _ in range(1 if case.once else repeats):
            before = yardstick_s()
            started = time.process_time()
            case.run()
            elapsed = time.process_time() - started
            timeout_s = (before + yardstick_s()) / 2
            costs.append(elapsed / case.number / timeout_s)
            rates.append(case.number / elapsed)
        rows.append(
            {
                "case": case.name,
                f"{case.unit}s": case.number,
                **({"timeouts_per_chunk": statistics.median(costs) / case.parts} if case.parts > 1 else {}),
                f"timeouts_per_{case.unit}": statistics.median(costs),
                f"{case.unit}s_per_cpu_s": statistics.median(rates),
                "peak_memory_bytes": peak_memory_bytes(),
            }
        )
    return rows


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100.0 else f"{per_s:.1f}"


def report(rows: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a table of what is stated per request, and one of what is stated per session.

    Parameters
    ----------
    rows
        What `measure` has returned.
    before
        The same of an earlier time: costs are also shown as ratios to its.
    """
    tables = []
    for unit in ("request", "session"):
        cost = f"timeouts_per_{unit}"
        known = {(row["case"], row[f"{unit}s"]): row[cost] for row in before if cost in row}
        chunks = unit == "session"
        cells = [
            [
                row["case"],
                f"{row[f'{unit}s']:,}",
                f"{row[cost]:,.1f}",
                *([f"{row['timeouts_per_chunk']:,.1f}"] if chunks else []),
                *([_ratio(row[cost], known.get((row["case"], row[f"{unit}s"])))] if before else []),
                _rate(row[f"{unit}s_per_cpu_s"]),
                f"{(row['peak_memory_bytes'] or 0) / 2**20:.0f}",
            ]
            for row in rows
            if cost in row
        ]
        header = [
            "case",
            f"{unit}s",
            f"timeouts/{unit}",
            *(["per chunk and phone"] if chunks else []),
            *(["times before"] if before else []),
            f"{unit}s/CPU s",
            "peak memory (MiB)",
        ]
        tables += [text_table(header, cells)] * bool(cells)
    return "\n".join(tables)


def _ratio(cost: float, before: float | None) -> str:
    return "-" if before is None else f"{cost / before:.2f}"
