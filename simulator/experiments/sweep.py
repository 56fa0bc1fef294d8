"""Sweeps: every run of a plan, done once, whoever does it and however often it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from devices.errors import Fault, InputError
from simulator.experiments.execution import Outcome
from simulator.experiments.executors import InProcess, do_in_pools
from simulator.experiments.folders import slug
from simulator.experiments.stored_sweep import write_manifest
from simulator.experiments.sweep_chunk import do_run, key_of
from simulator.experiments.sweep_claims import charge
from simulator.experiments.sweep_dispatch import Dispatch, overrides_of
from simulator.experiments.sweep_faults import placed
from simulator.experiments.sweep_file import Sweep
from simulator.experiments.sweep_store import Planned, read_ended, read_results, write_plan, write_table
from simulator.scenario.load import load, resolver


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep has come."""

    done: int
    """Runs that have ended, those of earlier starts included."""
    total: int
    """Runs of this shard."""
    per_s: float
    """Runs per second since this start; 0 before the first one has ended."""

    @property
    def left_s(self) -> float | None:
        """Seconds left at that rate; None where it is not known."""
        return (self.total - self.done) / self.per_s if self.per_s > 0.0 else None


def plan(sweep: Sweep) -> list[Planned]:
    """Load and check the scenario of every run, and return the runs in the order of the design.

    Raises
    ------
    InputError
        With the faults of all scenarios; a fault of a value that varies names its axis.
    """
    runs: list[Planned] = []
    faults: list[Fault] = []
    resolve = resolver(sweep.base)
    for point in sweep.points:
        try:
            scenario = load(sweep.base, overrides_of(sweep, point))
        except InputError as error:
            faults += [placed(sweep.document, sweep.overrides, fault) for fault in error.faults]
            continue
        for replication in range(sweep.replications):
            key = key_of(scenario, resolve, replication)
            runs.append(Planned(len(runs), point, replication, key))
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    return runs


def folder_of(out: Path, sweep: Sweep) -> Path:
    """Return the folder of a sweep below `out`."""
    return out / f"{slug(sweep.name)}-sweep"


def one(sweep: Sweep, run: Planned) -> Outcome:
    """Do one run in this process, and write nothing."""
    return do_run(sweep.base, overrides_of(sweep, run.point), run.replication, run.key)


def run_sweep(
    sweep: Sweep,
    runs: Sequence[Planned],
    folder: Path,
    *,
    shard: tuple[int, int] = (1, 1),
    jobs: int = 1,
    executor: Executor | None = None,
    command: Sequence[str] = (),
    progress: Callable[[Progress], None] = lambda progress: None,
    waiting: Callable[[], None] = lambda: None,
) -> Path | None:
    """Do what has not been done of a shard of the plan, and write the table once all shards are done.

    Parameters
    ----------
    sweep
        The sweep.
    runs
        Its whole plan.
    folder
        Its folder; what stands there is used.
    shard
        (k, N): every N-th run, beginning with the k-th, from 1 on.
    jobs
        Processes; 1: this one.
    executor
        Where to run instead; it is not rebuilt where it breaks. Its workers must see the folder and the scenario
        under the same paths.
    command
        What the user typed, for the manifest.
    progress
        Told whenever runs have ended.
    waiting
        Called once where the executor has no workers for a while.

    Returns
    -------
    Path or None
        ``results.parquet``; None where other shards have runs left.

    Raises
    ------
    InputError
        Where a file cannot be written or read, or has changed since the plan was made.
    SimulatorError
        Where the shard has been started once more meanwhile, or the executor has given up.
    """
    write_plan(folder, runs)
    write_manifest(folder, sweep, runs, load(sweep.base, overrides_of(sweep, runs[0].point)), command)
    mine = {run.key: run for run in runs[shard[0] - 1 :: shard[1]]}
    with charge(folder.absolute(), shard) as driver:
        done_before = mine.keys() & read_ended(folder, driver.name)
        left = [run for key, run in mine.items() if key not in done_before]
        started_s, done = time.perf_counter(), len(done_before)

        def ended(number: int) -> None:
            nonlocal done
            done += number
            elapsed_s = time.perf_counter() - started_s
            per_s = (done - len(done_before)) / elapsed_s if elapsed_s > 0.0 else 0.0
            progress(Progress(done, len(mine), per_s))

        dispatch = Dispatch(sweep, driver, ended, waiting)
        if executor is not None:
            dispatch.hand_out(left, executor)
        elif jobs == 1:
            dispatch.hand_out(left, InProcess())
        else:
            do_in_pools(dispatch, left, jobs)
    results = read_results(folder)
    if any(run.key not in results for run in runs):
        return None
    return write_table(folder, sweep.axes, runs, results)
