"""Capacity: the highest load at which a service still keeps its service level objective (SLO), per variant.

The load is the rate of a workload (or the factor on a trace's rate). Every run sees the same random numbers, so that
what differs is the load. `simulator.experiments.capacity_search` says how the search of one variant goes; those of all
go on side by side: in each round everything that they ask for runs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError, SimulatorError
from devices.sourced import unknown_name
from simulator.experiments.capacity_search import Capacity, Probe, Run, search
from simulator.experiments.capacity_store import write_capacity
from simulator.experiments.compare import plan
from simulator.experiments.comparison import Variant
from simulator.experiments.execution import Job, Outcome, bad_input, run_jobs
from simulator.experiments.notes import gathered
from simulator.experiments.slo import Objective, Trial, judge, parse_slo, unknown_figures
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import Scenario


@dataclass(frozen=True)
class CapacityStudy:
    """The highest load within an SLO, for each variant of a scenario."""

    name: str
    """Name of the scenario."""
    slo: str
    """What had to be kept."""
    found: tuple[tuple[Mapping[str, str], Capacity], ...]
    """Values by path of each variant, and what was found for it."""
    folder: Path
    """Where it was written."""

    def notes(self) -> list[str]:
        """Return what a reader must know of the runs (see `simulator.experiments.notes`)."""
        return gathered([(", ".join(values.values()), it.notes) for values, it in self.found])


@dataclass(frozen=True)
class _Search:
    """What the runs of one variant's search are made of."""

    path: Path
    overrides: Sequence[str]
    label: str
    place: str
    """Path of the load."""
    start: float
    unit: str
    service: str

    def at(self, rate: float) -> Scenario:
        """Return the scenario at a load."""
        return load(self.path, (*self.overrides, f"{self.place}={rate!r}{self.unit}"))

    def failed(self, rate: float, outcome: Outcome) -> str:
        """Say what has failed."""
        label = f"{self.label}: " if self.label else ""
        assert outcome.failure is not None
        return f"{label}{self.place} = {rate:g}{self.unit}: {outcome.failure.message}"


def load_path(scenario: Scenario, workload: str | None) -> tuple[str, float, str]:
    """Return the path of a workload's load, its value, and the unit that follows a value of it.

    Raises
    ------
    InputError
        Where it is not clear which workload is meant, or it has no rate.
    """
    known = list(scenario.request_workloads)
    if workload is None and len(known) == 1:
        workload = known[0]
    if workload not in known:
        message = (
            "several workloads; name one" if workload is None else unknown_name("workload", workload, known)
        )
        raise InputError(
            Fault(f"{message}; there is: {', '.join(known) or 'none of requests'}", file="--workload")
        )
    spec: Any = scenario.request_workloads[workload]
    rate = getattr(spec, "rate", None)
    if rate is not None:
        return f"workloads.{workload}.rate", rate, "/s"
    if hasattr(spec, "rate_scale"):
        return f"workloads.{workload}.rate_scale", spec.rate_scale, ""
    raise InputError(Fault("has no rate that could be raised", f"workloads.{workload}"))


def capacity(
    path: Path,
    slo: str,
    vary: Mapping[str, Sequence[object]],
    overrides: Iterable[str] = (),
    *,
    out: Path,
    workload: str | None = None,
    loads: Sequence[float] = (),
    replications: int = 1,
    executor: Executor | None = None,
    command: Sequence[str] = (),
    progress: Callable[[str, Probe], None] = lambda label, probe: None,
) -> CapacityStudy:
    """Search for the highest load within an SLO, for every combination of the values of `vary`; write what was tried.

    An SLO's latency terms, such as ``ttft_s.p99<=2``, also give each request a limit (2 s for its TTFT); goodput counts
    the requests that stay within all of them.

    Parameters
    ----------
    path
        Scenario file.
    slo
        What must hold, in means over the replications, for the service that answers the workload.
    vary
        Values by path of the scenario; empty: the scenario alone.
    overrides
        ``PATH=VALUE`` texts that hold for every variant.
    out
        Where the folder is written (see `simulator.experiments.capacity_store`).
    workload
        Whose load is changed; None: the only one.
    loads
        Further loads to try, for the goodput curve.
    replications
        Independent repetitions of each load.
    executor
        Where runs are done; None: here.
    command
        What the user typed, for the manifest.
    progress
        Told each load that was tried, with the label of its variant.

    Raises
    ------
    InputError
        With every fault of the SLO, the loads, and every variant; nothing is run or written then.
    SimulatorError
        Where a run fails.
    """
    overrides = tuple(overrides)
    objectives = parse_slo(slo)
    base = load(path, overrides)
    variants = plan(path, vary, overrides)
    asked = [_planned(path, overrides, variant, objectives, workload, loads) for variant in variants]
    if faults := list(dict.fromkeys(fault for it in asked if isinstance(it, list) for fault in it)):
        raise InputError(faults)
    searches = [it for it in asked if isinstance(it, _Search)]
    found = _side_by_side(searches, objectives, loads, replications, executor, progress)
    pairs = tuple((variant.values, it) for variant, it in zip(variants, found, strict=True))
    folder = write_capacity(out, base, resolver(path), pairs, slo, replications, command)
    return CapacityStudy(base.name, slo, pairs, folder)


def _planned(
    path: Path,
    overrides: Sequence[str],
    variant: Variant,
    slo: Sequence[Objective],
    workload: str | None,
    loads: Sequence[float],
) -> _Search | list[Fault]:
    """Return a variant's search, or everything that is wrong with it."""
    faults = [
        Fault(f"{it:g} is no load; allowed: numbers above 0", file="--loads")
        for it in loads
        if not 0.0 < it < math.inf
    ]
    try:
        place, start, unit = load_path(variant.scenario, workload)
    except InputError as error:
        return [*faults, *error.faults]
    service = variant.scenario.request_workloads[place.split(".")[1]].service
    faults += unknown_figures(slo, variant.scenario, service)
    if faults:
        return faults
    own = (*overrides, *(f"{place}={value}" for place, value in variant.values.items()))
    it = _Search(path, own, variant.label, place, start, unit, service)
    try:
        for rate in loads:
            it.at(rate)
    except InputError as error:
        return list(error.faults)
    return it


def _side_by_side(
    searches: Sequence[_Search],
    slo: Sequence[Objective],
    loads: Sequence[float],
    replications: int,
    executor: Executor | None,
    progress: Callable[[str, Probe], None],
) -> list[Capacity]:
    """Go through all searches in rounds: everything that they want next runs at once."""
    going = [
        search(slo, it.start, it.unit, loads, replications, partial(progress, it.label)) for it in searches
    ]
    wanted: dict[int, list[Run]] = {place: next(one) for place, one in enumerate(going)}
    found: dict[int, Capacity] = {}
    while wanted:
        scenarios = {
            (place, rate): searches[place].at(rate)
            for place, runs in wanted.items()
            for rate in dict.fromkeys(rate for rate, _ in runs)
        }
        tasks = [(place, rate, number) for place, runs in wanted.items() for rate, number in runs]
        outcomes = run_jobs(
            [
                Job(scenarios[place, rate], number, resolver(searches[place].path))
                for place, rate, number in tasks
            ],
            executor,
        )
        if error := bad_input(outcomes):
            raise error
        trials: dict[int, list[Trial]] = {place: [] for place in wanted}
        for (place, rate, _), outcome in zip(tasks, outcomes, strict=True):
            if outcome.failure is not None:
                raise SimulatorError(searches[place].failed(rate, outcome))
            trials[place].append(judge(slo, searches[place].service, outcome))
        wanted = {}
        for place, came in trials.items():
            try:
                wanted[place] = going[place].send(came)
            except StopIteration as end:
                found[place] = end.value
    return [found[place] for place in range(len(searches))]
