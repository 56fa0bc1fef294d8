"""What handing out the runs of a sweep costs: many short runs in one process and in several, on the same machine.

``python -m simulator.bench.dispatch`` prints a table. *Share of ideal* is the speed-up over one process by the number
of processes. *Dispatch* is all the time of all processes that no simulation took, per run: reading and checking the
scenario, handing out, writing results, starting the processes, writing plan and table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from simulator.commands.scenarios import SHIPPED
from simulator.experiments.executors import worker_pool, workers_of
from simulator.experiments.sweep import plan, run_sweep
from simulator.experiments.sweep_file import Sweep, load_sweep
from simulator.experiments.sweep_store import Planned, read_results
from simulator.experiments.tables import text_table


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over the repetitions."""

    where: str
    """What did the runs."""
    processes: int
    """How many."""
    wall_s: float
    """Time of the whole sweep, the plan left out."""
    dispatch_s: float
    """Time per run that no simulation took, over all processes."""


def short_runs(number: int) -> Sweep:
    """Return a sweep of runs of 100 requests at ten rates."""
    return load_sweep(
        {
            "version": 1,
            "name": "bench",
            "base": str(SHIPPED / "bench" / "poisson.yaml"),
            "set": ["workloads.chat.requests=100"],
            "replications": number // 10,
            "axes": {"workloads.chat.rate": [f"{rate}/s" for rate in range(1, 11)]},
        }
    )


def measure(number: int, jobs: Sequence[int], repeats: int, dask: str | None = None) -> list[Row]:
    """Return a row per number of processes, and one of the cluster at `dask`; they take turns."""
    sweep = short_runs(number)
    runs = plan(sweep)
    _once(sweep, runs[:10], 1, None)  # what is imported at first use
    took: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _ in range(repeats):
        for processes in jobs:
            took.setdefault(("processes", processes), []).append(_once(sweep, runs, processes, None))
        if dask is not None:
            with worker_pool(1, dask) as cluster:
                assert cluster is not None
                workers = workers_of(cluster)
            took.setdefault(("dask workers", workers), []).append(_once(sweep, runs, workers, dask))
    return [
        Row(where, processes, *(statistics.median(column) for column in zip(*times, strict=True)))
        for (where, processes), times in took.items()
    ]


def _once(sweep: Sweep, runs: Sequence[Planned], processes: int, dask: str | None) -> tuple[float, float]:
    with TemporaryDirectory() as name, worker_pool(1, dask) as cluster:
        folder = Path(name)
        started_s = time.perf_counter()
        run_sweep(sweep, runs, folder, jobs=processes, executor=cluster)
        wall_s = time.perf_counter() - started_s
        simulated_s = sum(result["wall_s"] for result in read_results(folder).values())
    return wall_s, (wall_s * processes - simulated_s) / len(runs)


def report(number: int, rows: Sequence[Row]) -> str:
    """Return the table."""
    cells = [
        [
            f"{row.processes} {row.where}",
            f"{number / row.wall_s:,.0f}",
            f"{100 * rows[0].wall_s * rows[0].processes / (row.wall_s * row.processes):.0f} %",
            f"{1000 * row.dispatch_s:.2f}",
        ]
        for row in rows
    ]
    return text_table([f"{number:,} runs by", "runs/s", "share of ideal", "dispatch (ms/run)"], cells)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m simulator.bench.dispatch", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="a multiple of 10 (default 1000)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dask", metavar="ADDRESS", help="measure a cluster too")
    arguments = parser.parse_args(argv)
    rows = measure(arguments.runs, (1, 2), arguments.repeats, arguments.dask)
    print(report(arguments.runs, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
