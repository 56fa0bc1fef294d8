"""Costs in bare SimPy timeouts of the same run.

``python -m simulator.bench.measure NAME REPEATS`` measures the case of that name and prints its row as JSON: each
case has a process of its own, so that neither its cost nor its memory depends on the cases before.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import simpy

from simulator.bench.cases import CASES, Case
from simulator.experiments.run_store import peak_memory_bytes

TIMEOUTS = 1_000_000
"""Timeouts of one yardstick."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a case has cost."""

    case: str
    """Its name."""
    unit: str
    """What `timeouts` are per."""
    timeouts: float
    """CPU time per unit, in bare SimPy timeouts: the median over the repeats."""
    least: float
    """The least of the repeats."""
    most: float
    """The most of them."""
    per_cpu_s: float
    """Units per second of CPU time: the median."""
    peak_memory_bytes: int | None
    """Most memory of its process; None where the system does not tell."""


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


def measure(case: Case, repeats: int) -> Row:
    """Measure a case `repeats` times, each time between two yardsticks, after a run that is not counted."""
    run = case.prepare()
    if not case.once:
        run()  # what is imported, read and kept at first use
    costs_s, yardsticks_s = [], [yardstick_s()]
    for _ in range(1 if case.once else repeats):
        gc.collect()  # a run does not pay for the garbage of the one before
        started = time.process_time()
        units = run()
        costs_s.append((time.process_time() - started) / units)
        yardsticks_s.append(yardstick_s())
    timeouts = [
        2.0 * cost_s / (before_s + after_s)
        for cost_s, (before_s, after_s) in zip(costs_s, pairwise(yardsticks_s), strict=True)
    ]
    return Row(
        case.name,
        case.unit,
        statistics.median(timeouts),
        min(timeouts),
        max(timeouts),
        1.0 / statistics.median(costs_s),
        peak_memory_bytes(),
    )


def measure_apart(root: Path, case: Case, repeats: int) -> Row:
    """Measure a case in a process of its own, with the copy of hetsim that lies in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, case.name, str(repeats)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return Row(**json.loads(done.stdout))


def main() -> int:
    """Measure one case."""
    name, repeats = sys.argv[1:]
    case = next(case for case in CASES if case.name == name)
    print(json.dumps(asdict(measure(case, int(repeats)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
