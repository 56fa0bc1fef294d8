"""Service level objectives (SLO): their terms, and whether one run keeps them.

With a ``horizon`` some requests are still under way when the run ends. Such a one tells something only where a latency
has passed the SLO's limit by then: it is *late*. A late request counts in the figures that it is late for, with the
time that it had come to (its latency is at least that: of percentiles it makes known whether they are beyond the limit,
of a mean a lower bound). One that is not late yet counts for nothing: not in figures, and not in attainment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.errors import Fault, InputError
from devices.sourced import unknown_name
from simulator.assistant.runtime import ASKS
from simulator.core import Table
from simulator.experiments.comparison import flatten
from simulator.experiments.execution import Outcome
from simulator.experiments.observations import Observations
from simulator.metrics.asks import summarize_asks
from simulator.metrics.distribution import distribution
from simulator.metrics.registry import metrics
from simulator.metrics.summary import service_figures
from simulator.scenario.spec import Scenario
from simulator.serving.service import request_schema

THROUGHPUT = "throughput.requests_per_s"
"""Known of every load, whatever the SLO."""

_E2E = "e2e_s.mean"
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
class Trial:
    """What one run at one load came to."""

    kept: bool
    """Whether this run by itself keeps the SLO."""
    failed: bool
    """Whether there were requests that could not be served."""
    overloaded: bool
    """Whether the service's queue was still growing when the last request arrived (`simulator.metrics.overload`)."""
    figures: Mapping[str, float | None]
    """The SLO's figures and `THROUGHPUT`."""
    attainment: float | None
    """Share of the requests within the limits of the SLO, of those of which that is known; None where it is of none."""
    goodput_per_s: float
    """Requests within them per second of the time that throughput is counted over."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the run."""


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


def unknown_figures(slo: Sequence[Objective], scenario: Scenario, service: str) -> list[Fault]:
    """Return what is wrong with the figures of an SLO; nothing is run.

    Which figures there are is read off the summary of a service without requests.
    """
    if service in scenario.assistants:
        assistant, classes = scenario.assistants[service], scenario.slo_classes(service)
        figures = summarize_asks(Table(ASKS), assistant, scenario.warmup, classes)
    else:
        spec = scenario.llm_services[service]
        nothing = Table(
            request_schema(
                list(spec.kv_tiers), service in scenario.graph_services, handovers=len(spec.phases) > 1
            )
        )
        figures = {
            **service_figures(nothing, spec, scenario.warmup, scenario.slo_classes(service)),
            "gpu_busy_share": None,
        }
    known = [*flatten(figures), *(f"custom.{it.name}" for it in metrics(scenario.services[service].kind))]
    return [_unknown(it.figure, known) for it in slo if it.figure not in known]


def judge(slo: Sequence[Objective], service: str, outcome: Outcome) -> Trial:
    """Return what a run that has not failed tells of an SLO.

    Raises
    ------
    InputError
        For a figure that the summary does not have.
    """
    summary = flatten((outcome.summary or {})["services"][service])
    requests = outcome.observations[service]
    for name in (it.figure for it in slo):
        if name not in summary:  # a metric that this process knows and the worker does not
            raise InputError(_unknown(name, list(summary)))
    figures = {THROUGHPUT: summary[THROUGHPUT]}
    figures = {it.figure: _figure(it, summary, requests) for it in slo} | figures
    within, known = requests_within(slo, requests)
    answered = np.count_nonzero(~np.isnan(requests.figures[_E2E]))
    failed, overloaded = bool(summary["requests.failed"]), service in outcome.overloaded
    return Trial(
        kept=not failed and not overloaded and all(it.kept(figures[it.figure]) for it in slo),
        failed=failed,
        overloaded=overloaded,
        figures=figures,
        attainment=float(within[known].mean()) if known.any() else None,
        goodput_per_s=float((summary[THROUGHPUT] or 0.0) * within.sum() / answered) if answered else 0.0,
        notes=outcome.notes,
    )


def requests_within(
    slo: Sequence[Objective], requests: Observations
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell of each request whether it was answered within the limits of the SLO's latency terms.

    Returns
    -------
    within, known
        Each of shape (n,). Whether it was answered within all of them (an answer of one token has no TPOT, and keeps
        any limit on it), and whether that is known: not of one that was under way when the run ended and not late by
        then.
    """
    answered = ~np.isnan(requests.figures[_E2E])
    late = np.zeros(len(answered), dtype=bool)
    late[~answered] = np.isinf(requests.unanswered.get(_E2E, np.inf))  # it cannot be served
    for path, limit in _limits(slo, requests):
        values = requests.figures[path].copy()
        values[~answered] = requests.unanswered.get(path, np.inf)
        late |= values > limit
    return answered & ~late, answered | late


def _limits(slo: Sequence[Objective], requests: Observations) -> Iterator[tuple[str, float]]:
    """Yield what limit the SLO gives each single request for which latency."""
    for it in slo:
        path = _path(it)
        if path in requests.figures and not it.at_least:
            yield path, it.limit


def _path(objective: Objective) -> str:
    return f"{objective.figure.partition('.')[0]}.mean"


def _figure(
    objective: Objective, summary: Mapping[str, float | None], requests: Observations
) -> float | None:
    """Return a figure of the summary; where requests under way are late for it, with them."""
    path = _path(objective)
    so_far = requests.unanswered.get(path, np.zeros(0))
    late = so_far[np.isfinite(so_far) & (so_far > objective.limit)]
    if not len(late) or objective.at_least:
        return summary[objective.figure]
    values = requests.figures[path]
    both = np.concatenate([values[~np.isnan(values)], late])
    return distribution(both)[objective.figure.partition(".")[2]]


def _unknown(name: str, known: Sequence[str]) -> Fault:
    return Fault(unknown_name("figure", name, known, "hetsim list metrics"), file="--slo")
