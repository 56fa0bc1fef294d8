"""Capacity: the highest load at which a service still keeps its service level objective (SLO).

The load is the rate of a workload (or the factor on a trace's rate). It is doubled or halved from where the scenario
has it until one load keeps the SLO and another does not, then bisected in its logarithm. Every probe sees the same
random numbers, so that what differs is the load. That an SLO kept at one load is kept at every lower one is taken for
granted; the probes are returned, so that it can be seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.errors import Fault, InputError, SimulatorError
from devices.sourced import unknown_name
from simulator.experiments.comparison import flatten
from simulator.experiments.execution import Job, Observations, Outcome, bad_input, run_jobs
from simulator.experiments.statistics import Estimate, over_replications
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import Scenario

TOLERANCE = 0.02
"""The load that keeps the SLO and the one that does not lie this close together at the end, relatively."""

MOST_PROBES = 60
"""Loads that are tried."""

_TERM = re.compile(r"([A-Za-z0-9_.]+)\s*(<=|>=)\s*([-+0-9.eE]+)")


@dataclass(frozen=True, slots=True)
class Objective:
    """One term of an SLO: a figure of the service's summary and its limit."""

    figure: str
    """Dotted path below the service, such as ``ttft_s.p99``."""
    limit: float
    """What it must not exceed, or not fall below."""
    at_least: bool = False
    """The figure must be at least the limit."""

    def kept(self, value: float | None) -> bool:
        """Whether a value keeps the objective; one that does not exist does not."""
        if value is None:
            return False
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one load."""

    load: float
    """Requests per second, or the factor on the trace's rate."""
    kept: bool
    """Whether every objective was kept and every request answered."""
    figures: dict[str, float | None]
    """The SLO's figures and ``throughput.requests_per_s``: means over the replications."""
    attainment: Estimate
    """Share of the requests that were answered within the limits of the SLO, over the replications."""
    goodput_per_s: Estimate
    """So many requests per second of the time that throughput is counted over."""

    def as_data(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self) | {
            "attainment": self.attainment.as_data(),
            "goodput_per_s": self.goodput_per_s.as_data(),
        }


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest load found to keep the SLO."""

    load: float | None
    """That load; None where none of those tried keeps it."""
    bounded: bool
    """Whether a higher load was found that does not keep it."""
    unit: str
    """What follows a load: ``/s`` for a rate, nothing for a factor on that of a trace."""
    probes: tuple[Probe, ...]
    """Everything that was tried, the lowest load first."""

    def as_data(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self) | {"probes": [probe.as_data() for probe in self.probes]}


def parse_slo(text: str) -> tuple[Objective, ...]:
    """Return the terms of an SLO such as ``ttft_s.p99<=2,tpot_s.p99<=0.05``.

    Raises
    ------
    InputError
        With every term that cannot be read.
    """
    terms, faults = [], []
    for part in text.split(","):
        match = _TERM.fullmatch(part.strip())
        try:
            limit = float(match[3]) if match else math.nan
        except ValueError:
            limit = math.nan
        if match is None or not math.isfinite(limit):
            faults.append(
                Fault(f"{part.strip()!r} is not of the form FIGURE<=NUMBER or FIGURE>=NUMBER", file="--slo")
            )
        else:
            terms.append(Objective(match[1], limit, match[2] == ">="))
    if faults:
        raise InputError(faults)
    return tuple(terms)


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
    slo: Sequence[Objective],
    overrides: Sequence[str] = (),
    *,
    workload: str | None = None,
    loads: Sequence[float] = (),
    replications: int = 1,
    executor: Executor | None = None,
    progress: Callable[[Probe], None] = lambda probe: None,
) -> Capacity:
    """Search for the highest load at which a scenario keeps an SLO.

    All loads see the same random numbers. An SLO's latency terms, such as ``ttft_s.p99<=2``, also give each request a
    limit (2 s for its TTFT); goodput counts the requests that stay within all of them.

    Parameters
    ----------
    path
        Scenario file.
    slo
        What must hold, in means over the replications, for the service that answers the workload.
    overrides
        ``PATH=VALUE`` texts.
    workload
        Whose load is changed; None: the only one.
    loads
        Further loads to try, for the goodput curve.
    replications
        Independent repetitions of each probe.
    executor
        Where they run; None: here.
    progress
        Told each probe.

    Raises
    ------
    InputError
        For a bad scenario, workload, or figure.
    SimulatorError
        Where a run fails.
    """
    base = load(path, overrides)
    place, start, unit = load_path(base, workload)
    service = base.request_workloads[place.split(".")[1]].service
    probes: dict[float, Probe] = {}

    def kept(rate: float) -> bool:
        if rate not in probes:
            scenario = load(path, (*overrides, f"{place}={rate!r}{unit}"))
            jobs = [Job(scenario, number, resolver(path)) for number in range(replications)]
            outcomes = run_jobs(jobs, executor)
            if error := bad_input(outcomes):
                raise error
            for outcome in outcomes:
                if outcome.failure is not None:
                    raise SimulatorError(f"{place} = {rate:g}{unit}: {outcome.failure.message}")
            probes[rate] = _probe(rate, slo, service, outcomes)
            progress(probes[rate])
        return probes[rate].kept

    low, high = _bracket(kept, start)
    while (
        low is not None and high is not None and high > low * (1.0 + TOLERANCE) and len(probes) < MOST_PROBES
    ):
        middle = float(f"{math.sqrt(low * high):.6g}")
        if kept(middle):
            low = middle
        else:
            high = middle
    for rate in loads:
        kept(rate)
    return Capacity(low, high is not None, unit, tuple(probes[rate] for rate in sorted(probes)))


def _bracket(kept: Callable[[float], bool], start: float) -> tuple[float | None, float | None]:
    """Return a load that keeps the SLO and one that does not, a factor of two apart; None where there is none."""
    rate = start
    if kept(rate):
        for _ in range(MOST_PROBES // 3):
            if not kept(2.0 * rate):
                return rate, 2.0 * rate
            rate *= 2.0
        return rate, None
    for _ in range(MOST_PROBES // 3):
        if kept(rate / 2.0):
            return rate / 2.0, rate
        rate /= 2.0
    return None, rate


def _probe(rate: float, slo: Sequence[Objective], service: str, outcomes: Sequence[Outcome]) -> Probe:
    flat = [flatten((outcome.summary or {})["services"][service]) for outcome in outcomes]
    figures: dict[str, float | None] = {}
    for name in (*(objective.figure for objective in slo), "throughput.requests_per_s"):
        if name not in flat[0]:
            raise InputError(
                Fault(unknown_name("figure", name, list(flat[0]), "hetsim list metrics"), file="--slo")
            )
        figures[name] = over_replications([one[name] for one in flat]).mean
    lost = sum((one["requests.failed"] or 0) + (one["requests.unfinished"] or 0) for one in flat)
    met = all(objective.kept(figures[objective.figure]) for objective in slo)
    shares, goodputs = [], []
    for outcome, one in zip(outcomes, flat, strict=True):
        within = requests_within(slo, outcome.observations[service])
        answered = np.count_nonzero(~np.isnan(outcome.observations[service].figures["e2e_s.mean"]))
        shares.append(float(within.mean()) if len(within) else None)
        goodputs.append(
            (one["throughput.requests_per_s"] or 0.0) * within.sum() / answered if answered else 0.0
        )
    return Probe(rate, met and not lost, figures, over_replications(shares), over_replications(goodputs))


def requests_within(slo: Sequence[Objective], requests: Observations) -> NDArray[np.bool_]:
    """Tell of each request whether it was answered within the limits that the SLO's latency terms give it.

    Returns
    -------
    numpy.ndarray
        Shape (n,). An answer of one token has no TPOT, and keeps any limit on it.
    """
    within = ~np.isnan(requests.figures["e2e_s.mean"])
    for objective in slo:
        values = requests.figures.get(f"{objective.figure.partition('.')[0]}.mean")
        if values is not None and not objective.at_least:
            within &= np.isnan(values) | (values <= objective.limit)
    return within
