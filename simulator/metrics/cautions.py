"""What a reader of a run's figures must be warned of: an overloaded service, and a run that is too short.

Only services that requests come to at their own pace (at a rate, or by a trace) are looked at: where all come at once,
or one waits for the other, there is no load that could be too high, and nothing to settle.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.overload import Overload, overload
from simulator.metrics.steady_state import steady_state
from simulator.scenario.spec import Scenario
from simulator.serving.sequence import COMPLETED, FAILED
from simulator.workloads.arrival_spec import AtOnce, Closed
from simulator.workloads.spec import RequestSpec

LEAST_REQUESTS = 50
"""With fewer completed requests there is no interval by batch means (`simulator.experiments.statistics`)."""
LEAST_BEYOND = 5
"""With fewer requests beyond it p99 is one of chance."""
LEAST_LATENCIES = 10
"""Requests arrive for at least so many mean E2E latencies."""


def cautions(scenario: Scenario, service: str, requests: Table) -> Iterator[str]:
    """Yield what must be said of one LLM service.

    Parameters
    ----------
    requests
        One row per request of the service (`simulator.serving.service.request_schema`).
    """
    counted = _coming(scenario, service, requests)
    if not counted.any():
        return
    found = overload_of(scenario, service, requests)
    if found is not None:
        yield (
            f"services.{service}: overloaded: {found.offered_per_s:.3g} requests arrive and "
            f"{found.served_per_s:.3g} are answered per second; {found.in_system} were waiting or in service when the "
            "last one arrived, so that latencies depend on how long the run is"
        )
    arrival_s, finish_s = _arrival_and_finish_s(requests)
    steady = steady_state(requests, scenario.warmup)
    counted &= steady.kept
    reasons = list(_too_short(arrival_s[counted], finish_s[counted], found is None))
    if scenario.warmup == "mser5" and not steady.reached:
        reasons.append("MSER-5 finds no steady state, so that nothing is left out")
    if reasons:
        yield f"services.{service}: too short: {'; '.join(reasons)}"


def overload_of(scenario: Scenario, service: str, requests: Table) -> Overload | None:
    """Return by how much one LLM service was overloaded; None where it was not, or where that cannot be told.

    Parameters
    ----------
    requests
        One row per request of the service (`simulator.serving.service.request_schema`).
    """
    counted = _coming(scenario, service, requests)
    arrival_s, finish_s = _arrival_and_finish_s(requests)
    return overload(arrival_s[counted], finish_s[counted])


def _coming(scenario: Scenario, service: str, requests: Table) -> NDArray[np.bool_]:
    """Tell of each request whether it came at its own pace and could be served."""
    workloads = {name: it for name, it in scenario.request_workloads.items() if it.service == service}
    coming = [name for name, it in workloads.items() if _at_its_own_pace(it)]
    counted = np.asarray(requests.column("status") != FAILED)
    if len(coming) < len(workloads):
        counted &= np.isin(requests.column("workload").astype(str), coming)
    return counted


def _arrival_and_finish_s(requests: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return when each request arrived and was answered; infinity where it was not."""
    done = requests.column("status") == COMPLETED
    return requests.column("arrival_s"), np.where(done, requests.column("finish_s"), np.inf)


def _at_its_own_pace(workload: RequestSpec) -> bool:
    return not isinstance(getattr(workload, "arrivals", None), AtOnce | Closed)


def _too_short(arrival_s: NDArray[np.float64], finish_s: NDArray[np.float64], stable: bool) -> Iterator[str]:
    """Yield what is too short or too few."""
    done = np.isfinite(finish_s)
    number = int(np.count_nonzero(done))
    if number < LEAST_REQUESTS:
        yield f"{number} requests completed, too few for an interval by batch means ({LEAST_REQUESTS})"
    elif (beyond := number - 1 - int(0.99 * (number - 1))) < LEAST_BEYOND:
        yield f"p99 stands on {beyond} of {number} requests"
    if not stable or not number:
        return  # latencies then tell how long the run is
    mean_s = float((finish_s - arrival_s)[done].mean())
    span_s = float(arrival_s.max() - arrival_s.min())
    if span_s < LEAST_LATENCIES * mean_s:
        yield f"requests arrive for {span_s:.3g} s, less than {LEAST_LATENCIES} times their mean E2E of {mean_s:.3g} s"
