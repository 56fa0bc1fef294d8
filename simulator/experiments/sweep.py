"""Sweeps: every run of a plan, done once, whoever does it and however often it is interrupted."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator import __version__
from simulator.experiments.execution import Job, Outcome, execute
from simulator.experiments.identity import identify
from simulator.experiments.stored_sweep import write_manifest
from simulator.experiments.sweep_file import Sweep
from simulator.experiments.sweep_store import Planned, Writer, read_results, write_plan, write_table
from simulator.scenario.load import load, resolver

CHUNK_S = 0.5
"""Work is handed out in chunks of about this long, once it is known how long a run takes."""

MOST_IN_CHUNK = 200
"""Runs of a chunk at most."""

ATTEMPTS = 2
"""Processes of its own that a run may take down with it before it counts as failed."""

WORKERS = 8
"""How many workers an executor of somebody else's is taken to have, when work is handed out ahead."""


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
            faults += error.faults
            continue
        for replication in range(sweep.replications):
            content = identify(scenario, resolve, replication).content_hash
            key = hashlib.sha256(f"{__version__} {content}".encode()).hexdigest()
            runs.append(Planned(len(runs), point, replication, key))
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    return runs


def overrides_of(sweep: Sweep, point: Any) -> tuple[str, ...]:
    """Return the ``PATH=VALUE`` texts of a point."""
    return (*sweep.overrides, *(f"{path}={text}" for path, text in point.items()))


def one(sweep: Sweep, run: Planned) -> Outcome:
    """Do one run in this process."""
    return _outcome(sweep.base, overrides_of(sweep, run.point), run.replication)


def _outcome(base: Path, overrides: Sequence[str], replication: int) -> Outcome:
    return execute(Job(load(base, overrides), replication, resolver(base)))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Runs that a worker does one after the other; light enough to travel."""

    folder: Path
    base: Path
    runs: tuple[tuple[str, int, tuple[str, ...]], ...]
    """Key, replication and overrides of each."""


def _do(chunk: _Chunk) -> int:
    """Do the runs of a chunk and append what they come to; return how many."""
    writer = Writer(chunk.folder)
    for key, replication, overrides in chunk.runs:
        outcome = _outcome(chunk.base, overrides, replication)
        failure = outcome.failure
        writer.append(
            {
                "key": key,
                "status": "failed" if failure else "succeeded",
                "wall_s": outcome.effort.wall_s,
                **({"failure": f"{failure.stage}: {failure.type}: {failure.message}"} if failure else {}),
                **({"summary": outcome.summary} if outcome.summary is not None else {}),
            }
        )
    return len(chunk.runs)


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
        Where to run instead; it is not rebuilt where it breaks.
    command
        What the user typed, for the manifest.
    progress
        Told whenever runs have ended.

    Returns
    -------
    Path or None
        ``results.parquet``; None where other shards have runs left.
    """
    write_plan(folder, runs)
    write_manifest(folder, sweep, runs, load(sweep.base, overrides_of(sweep, runs[0].point)), command)
    mine = runs[shard[0] - 1 :: shard[1]]
    finished = {key for key, result in read_results(folder).items() if result["status"] == "succeeded"}
    left = list({run.key: run for run in mine if run.key not in finished}.values())
    keys = {run.key for run in mine}
    started, before = time.perf_counter(), len(keys) - len(left)
    done = before

    def ended(number: int) -> None:
        nonlocal done
        done += number
        elapsed_s = time.perf_counter() - started
        progress(Progress(done, len(keys), (done - before) / elapsed_s if elapsed_s > 0.0 else 0.0))

    if executor is not None:
        _hand_out(sweep, left, folder, executor, WORKERS, ended, set())
    elif jobs == 1:
        for run in left:
            ended(_do(_chunk(sweep, folder, [run])))
    else:
        _in_pools(sweep, left, folder, jobs, ended)
    results = read_results(folder)
    if any(run.key not in results for run in runs):
        return None
    return write_table(folder, sweep.axes, runs, results)


def _chunk(sweep: Sweep, folder: Path, runs: Sequence[Planned]) -> _Chunk:
    return _Chunk(
        folder,
        sweep.base,
        tuple((run.key, run.replication, overrides_of(sweep, run.point)) for run in runs),
    )


def _in_pools(
    sweep: Sweep, left: Sequence[Planned], folder: Path, jobs: int, ended: Callable[[int], None]
) -> None:
    """Do runs in a pool of processes; where one is lost, what was under way is done alone, then a new pool goes on."""
    while left:
        under_way: set[str] = set()
        try:
            with ProcessPoolExecutor(jobs) as pool:
                _hand_out(sweep, left, folder, pool, jobs, ended, under_way)
            return
        except BrokenProcessPool:
            done = read_results(folder).keys()
            ended(len(under_way & done))
            left = [run for run in left if run.key not in done]
        for run in left:
            if run.key in under_way:
                _alone(sweep, run, folder)
                ended(1)
        left = [run for run in left if run.key not in under_way]


def _alone(sweep: Sweep, run: Planned, folder: Path) -> None:
    """Do one run in a process of its own; it has failed where that process is lost again and again."""
    for _ in range(ATTEMPTS):
        try:
            with ProcessPoolExecutor(1) as pool:
                pool.submit(_do, _chunk(sweep, folder, [run])).result()
            return
        except BrokenProcessPool:
            continue
    lost = {"key": run.key, "status": "failed", "wall_s": 0.0, "failure": "execute: its process was lost"}
    Writer(folder).append(lost)


def _hand_out(
    sweep: Sweep,
    left: Sequence[Planned],
    folder: Path,
    executor: Executor,
    workers: int,
    ended: Callable[[int], None],
    under_way: set[str],
) -> None:
    """Give chunks to an executor, two per worker ahead, longer ones once it is known how long a run takes.

    `under_way` holds the keys of what has been given and has not ended.
    """
    waiting = iter(left)
    pending: dict[Future[int], tuple[float, list[str]]] = {}
    size, remaining = 1, len(left)
    exhausted = False
    while True:
        while not exhausted and len(pending) < 2 * workers:
            runs = list(islice(waiting, size))
            if not runs:
                exhausted = True
                break
            remaining -= len(runs)
            keys = [run.key for run in runs]
            under_way.update(keys)
            pending[executor.submit(_do, _chunk(sweep, folder, runs))] = time.perf_counter(), keys
        if not pending:
            return
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            number = future.result()
            given_s, keys = pending.pop(future)
            under_way.difference_update(keys)
            ended(number)
            took_s = (time.perf_counter() - given_s) / 2  # about half of it in the queue
            fitting = int(CHUNK_S * number / max(took_s, 1e-6))
            size = max(1, min(fitting, 2 * size, MOST_IN_CHUNK, remaining // (2 * workers)))
