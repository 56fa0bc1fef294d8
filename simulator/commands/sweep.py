"""``hetsim sweep``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.experiments.executors import worker_pool, workers_of
from simulator.experiments.notes import gathered
from simulator.experiments.progress_bar import TerminalLine, line_of, rate_of
from simulator.experiments.run_store import to_json
from simulator.experiments.sweep import Progress, folder_of, one, plan, run_sweep
from simulator.experiments.sweep_file import Sweep, load_sweep
from simulator.experiments.sweep_store import Planned, forget_results, read_results

PROBES = 3
"""Runs of the plan that a dry run does, to estimate the time."""


def sweep(arguments: Namespace) -> int:
    """Do every run of a sweep file that has not been done."""
    it, runs, shard = _read(arguments)
    folder = folder_of(arguments.out, it)
    with worker_pool(1, arguments.dask) as cluster:
        if arguments.dry_run:
            processes = arguments.jobs if cluster is None else workers_of(cluster)
            done = len(read_results(folder).keys() & {run.key for run in runs})
            return _dry_run(it, runs, done, shard[1], processes, arguments)
        if arguments.fresh:
            forget_results(folder)
        table = run_sweep(
            it,
            runs,
            folder,
            shard=shard,
            jobs=arguments.jobs,
            executor=cluster,
            command=arguments.argv,
            progress=_silent if arguments.quiet else _bar(),
            waiting=lambda: _say_waiting(arguments),
        )
    results = read_results(folder)
    states = [results[run.key]["status"] for run in runs if run.key in results]
    counts = {name: states.count(name) for name in ("succeeded", "failed")}
    data = {"points": len(it.points), "replications": it.replications, "runs": len(runs), **counts}
    sys.stdout.write(to_json(data) if arguments.json else _line(data))
    if not arguments.quiet:
        ended = [(run, results[run.key]) for run in runs if run.key in results]
        for note in gathered(
            [(", ".join(run.point.values()), result.get("notes", ())) for run, result in ended]
        ):
            print(f"note: {note}", file=sys.stderr)
        said = (
            f"written: {table}"
            if table
            else f"{len(runs) - len(states)} runs of other shards are not done yet"
        )
        print(said, file=sys.stderr)
    return int(counts["failed"] > 0)


def _read(arguments: Namespace) -> tuple[Sweep, list[Planned], tuple[int, int]]:
    """Return the sweep, its plan and the shard; every fault of any of them is raised at once."""
    faults: list[Fault] = []
    number, slash, of = arguments.shard.partition("/")
    shard = (int(number), int(of)) if slash and number.isdecimal() and of.isdecimal() else (0, 0)
    if not 1 <= shard[0] <= shard[1]:
        faults.append(Fault(f"{arguments.shard!r} is not of the form k/N with 1 <= k <= N", file="--shard"))
    if arguments.fresh and shard[1] > 1:
        message = (
            "would forget what other shards have done; delete the folder before the first of them starts"
        )
        faults.append(Fault(message, file="--fresh"))
    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    try:
        it = load_sweep(find_scenario(arguments.sweep, sweep=True), overrides, arguments.replications)
        runs = plan(it)
    except InputError as error:
        raise InputError([*faults, *error.faults]) from error
    if faults:
        raise InputError(faults)
    return it, runs, shard


def _dry_run(
    it: Sweep, runs: Sequence[Planned], done: int, shards: int, processes: int, arguments: Namespace
) -> int:
    """Count the runs, do a few of them, and say how long the others may take."""
    probes = sorted({0, len(runs) // 2, len(runs) - 1})[:PROBES]
    started = time.perf_counter()
    for number in probes:
        one(it, runs[number])
    run_s = (time.perf_counter() - started) / len(probes)
    data = {"points": len(it.points), "replications": it.replications, "runs": len(runs), "done": done}
    left_s = run_s * (len(runs) - done) / shards / processes if processes else None
    sys.stdout.write(to_json({**data, "run_s": run_s, "left_s": left_s}) if arguments.json else _line(data))
    if not arguments.quiet:
        said = (
            "no workers yet" if left_s is None else f"about {left_s:,.0f} s left with {processes} processes"
        )
        print(f"{said} ({run_s:.3f} s per run)", file=sys.stderr)
    return 0


def _say_waiting(arguments: Namespace) -> None:
    if not arguments.quiet:
        print(f"waiting for workers of {arguments.dask}", file=sys.stderr, flush=True)


def _line(data: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in data.items()) + "\n"


def _silent(progress: Progress) -> None:
    """Say nothing."""


def _bar() -> Callable[[Progress], None]:
    """Return a progress bar: redrawn on a terminal, elsewhere a line for each tenth."""
    shown, line = -1, TerminalLine()

    def show(progress: Progress) -> None:
        nonlocal shown
        text, last = rate_of(progress), progress.done == progress.total
        if sys.stderr.isatty():
            line.draw(progress.done, progress.total, text, last)
            return
        tenth = 10 * progress.done // max(progress.total, 1)
        if tenth != shown:
            print(line_of(progress.done, progress.total, text), file=sys.stderr, flush=True)
        shown = tenth

    return show
