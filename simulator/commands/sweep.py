"""``hetsim sweep``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from devices.errors import Fault, InputError
from simulator.experiments.execution import worker_pool, workers_of
from simulator.experiments.folders import slug
from simulator.experiments.notes import gathered
from simulator.experiments.run_store import to_json
from simulator.experiments.sweep import Progress, one, plan, run_sweep
from simulator.experiments.sweep_file import Sweep, load_sweep
from simulator.experiments.sweep_store import Planned, forget_results, read_results

PROBES = 3
"""Runs of the plan that a dry run does, to estimate the time."""

BAR = 24
"""Characters of the progress bar."""


def sweep(arguments: Namespace) -> int:
    """Do every run of a sweep file that has not been done."""
    path = Path(arguments.sweep)
    if not path.is_file():
        raise InputError(Fault("no such file", file=str(path)))
    it = load_sweep(path, arguments.overrides, arguments.replications)
    shard = _shard(arguments.shard)
    if arguments.fresh and shard[1] > 1:
        message = (
            "would forget what other shards have done; delete the folder before the first of them starts"
        )
        raise InputError(Fault(message, file="--fresh"))
    runs = plan(it)
    folder: Path = arguments.out / f"{slug(it.name)}-sweep"
    with worker_pool(1, arguments.dask) as cluster:
        if arguments.dry_run:
            processes = arguments.jobs if cluster is None else workers_of(cluster)
            return _dry_run(it, runs, folder, shard[1], processes, arguments.json)
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


def _dry_run(
    it: Sweep, runs: Sequence[Planned], folder: Path, shards: int, processes: int, as_json: bool
) -> int:
    """Count the runs, do a few of them, and say how long the others may take."""
    done = len(read_results(folder).keys() & {run.key for run in runs})
    probes = sorted({0, len(runs) // 2, len(runs) - 1})[:PROBES]
    started = time.perf_counter()
    for number in probes:
        one(it, runs[number])
    run_s = (time.perf_counter() - started) / len(probes)
    data = {"points": len(it.points), "replications": it.replications, "runs": len(runs), "done": done}
    sys.stdout.write(to_json(data) if as_json else _line(data))
    left_s = run_s * (len(runs) - done) / shards / max(processes, 1)
    said = f"about {left_s:,.0f} s left with {processes} processes" if processes else "no workers yet"
    print(f"{said} ({run_s:.3f} s per run)", file=sys.stderr)
    return 0


def _line(data: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in data.items()) + "\n"


def _shard(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise InputError(Fault(f"{text!r} is not of the form k/N with 1 <= k <= N", file="--shard"))
    return int(number), int(of)


def _silent(progress: Progress) -> None:
    """Say nothing."""


def _bar() -> Callable[[Progress], None]:
    """Return a progress bar: redrawn on a terminal, elsewhere a line for each tenth."""
    shown = -1

    def show(progress: Progress) -> None:
        nonlocal shown
        tenth = 10 * progress.done // max(progress.total, 1)
        terminal = sys.stderr.isatty()
        if not terminal and tenth == shown:
            return
        shown = tenth
        full = BAR * progress.done // max(progress.total, 1)
        left = "" if progress.left_s is None else f", {progress.left_s:,.0f} s left"
        text = (
            f"[{'#' * full}{'.' * (BAR - full)}] {progress.done:,}/{progress.total:,} runs, "
            f"{progress.per_s:,.1f}/s{left}"
        )
        end = "\n" if not terminal or progress.done == progress.total else ""
        print(f"\r{text}" if terminal else text, end=end, file=sys.stderr, flush=True)

    return show
