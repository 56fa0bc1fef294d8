"""From stored runs to the same requests under a policy for decoding and under the baseline beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import pandas as pd

from simulator.experiments.run_store import StoredRun
from simulator.metrics.summary import COMPLETED
from simulator.scenario.spec import Scenario
from simulator.viz.runs import Study, policy_label, word_of
from simulator.workloads.arrival_spec import Closed
from simulator.workloads.spec import GraphTrace, Questions

BASELINE: Final = "autoregressive"
"""Policy that all are compared with."""

LOADS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "rate": ("Requests per second", "/s"),
        "concurrency": ("Requests in flight", " in flight"),
        "rate_scale": ("Arrivals, times those of the trace", "× the trace"),
    }
)
"""What a load is, on an axis and behind a number, by the last key of the path that varies it."""


def loads_of(scenario: Scenario, service: str) -> dict[str, float]:
    """Return the load of a service by what it is (`LOADS`); what its workloads bring adds up."""
    loads: dict[str, float] = {}
    for spec in scenario.request_workloads.values():
        if spec.service != service:
            continue
        arrivals = getattr(spec, "arrivals", None)
        closed = isinstance(arrivals, Closed)
        found = {
            "rate": None if closed else getattr(spec, "rate", None),
            "concurrency": arrivals.concurrency if isinstance(arrivals, Closed) else None,
            "rate_scale": getattr(spec, "rate_scale", None),
        }
        for kind, value in found.items():
            if value is not None:
                loads[kind] = loads.get(kind, 0.0) + value
    return loads


def paired(study: Study, plot: str, x: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return one row per request that came under a policy and under the baseline beside it.

    Beside it is the baseline whose other varied values are the same. Requests are the same ones where workload, number
    and replication are.

    Parameters
    ----------
    study
        The runs.
    plot
        What is to be drawn, for messages.
    x
        The load of each variant by its label; None: what load there is counts as one of the other values.

    Returns
    -------
    pandas.DataFrame
        ``line`` (the policy), ``others`` (the other values that were varied), ``load``, ``replication``, ``workload``,
        ``request``, ``category``, ``asked`` (whether its answer is a graph), ``edges``, ``visible_edges``,
        ``planned``, ``own_s`` and ``base_s`` (latencies), ``left_out`` (whether it was not answered under both).

    Raises
    ------
    InputError
        Where there is no such pair, or variants that cannot be told apart.
    """
    service = study.service
    names, others = {}, {}
    for label, runs in study.variants.items():
        names[label] = policy_label(runs[0].scenario, service)
        others[label] = ", ".join(
            word_of(path, value)
            for path, value in study.values[label].items()
            if not path.startswith(f"services.{service}.policies.decoding")
            and not (x is not None and path.startswith("workloads.") and path.rpartition(".")[2] in LOADS)
        )
    places = {
        label: (names[label], others[label], 0.0 if x is None else x[label]) for label in study.variants
    }
    twice = sorted({place[0] for place in places.values() if [*places.values()].count(place) > 1})
    if twice:
        raise study.fault(
            f"has several variants that are alike for {plot}: {', '.join(twice)}; allowed: one of each"
        )
    bases = {place[1:]: study.variants[label] for label, place in places.items() if place[0] == BASELINE}
    tables = []
    for label, runs in study.variants.items():
        line, other, load = places[label]
        base = bases.get((other, load))
        if base is None or line == BASELINE:
            continue
        merged = _answered(study, runs).merge(
            _answered(study, base)[["replication", "workload", "request", "status", "e2e_s"]],
            on=["replication", "workload", "request"],
            suffixes=("", "_base"),
        )
        tables.append(merged.assign(line=line, others=other, load=load))
    if not tables:
        found = ", ".join(dict.fromkeys(names.values()))
        raise study.fault(
            f"has runs under {found}; {plot} needs {BASELINE} and another policy that differ in nothing else, as with "
            f"--vary services.{service}.policies.decoding={BASELINE},plato"
        )
    table = pd.concat(tables, ignore_index=True)
    both = (table["status"] == COMPLETED) & (table["status_base"] == COMPLETED)
    if not both.any():
        raise study.fault(f"no request was answered under {BASELINE} and under another policy")
    return table.assign(own_s=table["e2e_s"], base_s=table["e2e_s_base"], left_out=~both)


def _answered(study: Study, runs: Sequence[StoredRun]) -> pd.DataFrame:
    """Return the requests of all replications with their latency."""
    tables = []
    for run in runs:
        graphs = {
            name
            for name, it in run.scenario.request_workloads.items()
            if isinstance(it, GraphTrace | Questions)
        }
        rows = run.requests[run.requests["service"] == study.service]
        tables.append(
            rows[["request", "status", "edges", "visible_edges", "planned"]].assign(
                asked=rows["workload"].isin(graphs),
                workload=rows["workload"].astype(str),
                category=rows["category"].astype(str),
                replication=run.manifest["replication"],
                e2e_s=rows["finish_s"] - rows["arrival_s"],
            )
        )
    return pd.concat(tables)
