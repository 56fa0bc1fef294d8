"""Studies of several runs: compare, sweep, capacity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.experiments.capacity import capacity as search
from simulator.experiments.compare import as_yaml
from simulator.experiments.compare import compare as run_comparison
from simulator.experiments.executors import worker_pool
from simulator.experiments.progress_bar import rate_of
from simulator.experiments.stored_sweep import load_sweep_folder
from simulator.experiments.sweep import folder_of, plan, run_sweep
from simulator.experiments.sweep_file import load_sweep
from simulator.experiments.sweep_store import forget_results
from simulator.notebook.folders import result_folder
from simulator.notebook.progress import progress as shown_progress
from simulator.notebook.results import CapacityResult, Comparison, SweepResult


def compare(
    scenario: str | Path,
    vary: Mapping[str, Sequence[object]],
    *,
    replications: int = 1,
    jobs: int = 1,
    out: str | Path | None = None,
    progress: bool = True,
    **overrides: object,
) -> Comparison:
    """Run every combination of the values of `vary` under the same arrivals.

    Parameters
    ----------
    scenario
        The file, or its name.
    vary
        Values by dotted path.
    replications
        Independent repetitions of each variant.
    jobs
        Processes.
    out
        Folder for the results; None: a temporary one that goes with what is returned.
    progress
        Whether a notebook or a terminal shows how far it has come.
    overrides
        Values by dotted path that hold for every variant.

    Raises
    ------
    InputError
        With every fault of every variant.
    """
    _check(vary, jobs=jobs, replications=replications)
    total = replications * math.prod(len(values) for values in vary.values())
    ended = itertools.count(1)
    with result_folder(out) as folder, worker_pool(jobs) as executor, shown_progress(total, progress) as show:
        found = run_comparison(
            find_scenario(str(scenario)),
            vary,
            texts_of(overrides),
            replications=replications,
            executor=executor,
            out=folder.path,
            progress=lambda message: show(next(ended), message.partition("] ")[2]),
        )
        return folder.given_to(Comparison.of(found))


def sweep(
    source: str | Path | Mapping[str, Any],
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    out: str | Path = "runs",
    replications: int | None = None,
    fresh: bool = False,
    progress: bool = True,
    **overrides: object,
) -> SweepResult:
    """Do every run of a sweep that has not been done, as `hetsim sweep` does.

    Parameters
    ----------
    source
        The sweep file, its name, or what would stand in it as a mapping; there `base` may be a scenario's name.
    jobs
        Processes.
    executor
        Where to run instead.
    out
        Where the sweep's folder lies: started again with the same one, it goes on.
    replications
        Instead of the sweep's own; None: those.
    fresh
        Forget what has been done before.
    progress
        Whether a notebook or a terminal shows how far it has come.
    overrides
        Values by dotted path that hold for every run.

    Raises
    ------
    InputError
        With every fault of the sweep and of its scenarios; nothing is run then.
    """
    _check({}, jobs=jobs, **({} if replications is None else {"replications": replications}))
    if isinstance(source, Mapping):
        named = {"base": str(find_scenario(source["base"]))} if isinstance(source.get("base"), str) else {}
        it = load_sweep({**source, **named}, texts_of(overrides), replications)
    else:
        it = load_sweep(find_scenario(str(source), sweep=True), texts_of(overrides), replications)
    runs = plan(it)
    folder = folder_of(Path(out), it)
    if fresh:
        forget_results(folder)
    with shown_progress(len(runs), progress) as show:
        run_sweep(
            it, runs, folder, jobs=jobs, executor=executor, progress=lambda now: show(now.done, rate_of(now))
        )
    return SweepResult(load_sweep_folder(folder))


def capacity(
    scenario: str | Path,
    slo: str,
    vary: Mapping[str, Sequence[object]] | None = None,
    *,
    workload: str | None = None,
    loads: Sequence[float] = (),
    replications: int = 1,
    jobs: int = 1,
    out: str | Path | None = None,
    progress: bool = True,
    **overrides: object,
) -> CapacityResult:
    """Search for the highest load within an SLO, for every combination of the values of `vary`.

    Parameters
    ----------
    scenario
        The file, or its name.
    slo
        Such as ``ttft_s.p99<=2,tpot_s.p99<=0.05``.
    vary
        Values by dotted path.
    workload
        Whose load is changed; None: the only one.
    loads
        Further loads to try, for the goodput curve.
    replications
        Independent repetitions of each load.
    jobs
        Processes.
    out
        Folder for the results; None: a temporary one that goes with what is returned.
    progress
        Whether a notebook or a terminal shows how far it has come.
    overrides
        Values by dotted path that hold for every run.

    Raises
    ------
    InputError
        With every fault of the SLO, the loads, and every variant; nothing is run then.
    SimulatorError
        Where a run fails.
    """
    _check(vary or {}, jobs=jobs, replications=replications)
    tried = itertools.count(1)
    with result_folder(out) as folder, worker_pool(jobs) as executor, shown_progress(None, progress) as show:
        found = search(
            find_scenario(str(scenario)),
            slo,
            vary or {},
            texts_of(overrides),
            out=folder.path,
            workload=workload,
            loads=loads,
            replications=replications,
            executor=executor,
            progress=lambda label, probe: show(
                next(tried), f"loads tried; {label}{': ' if label else ''}{probe.load:g} {probe.verdict}"
            ),
        )
        return folder.given_to(CapacityResult.of(found))


def texts_of(overrides: Mapping[str, object]) -> list[str]:
    """Return ``PATH=VALUE`` texts of values by dotted path."""
    return [f"{path}={as_yaml(value)}" for path, value in overrides.items()]


def _check(vary: Mapping[str, Sequence[object]], **counts: int) -> None:
    """Refuse counts below 1, and a single value in place of several.

    Raises
    ------
    InputError
        With every fault; each names the argument.
    """
    faults = [
        Fault(f"must be 1 or more, not {count}", file=name) for name, count in counts.items() if count < 1
    ]
    faults += [
        Fault(f"{values!r} is no list of values; one value alone: [{values!r}]", path, "vary")
        for path, values in vary.items()
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Collection)
    ]
    if faults:
        raise InputError(faults)
