"""From stored runs of an LLM service whose answers are dependency graphs to the data of a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simulator.experiments.run_store import StoredRun
from simulator.metrics.summary import COMPLETED
from simulator.policies.decoding import Decoding
from simulator.scenario.spec import Scenario
from simulator.viz.answers import BASELINE, quality_against_speed, speedup_against_load, speedup_by_category
from simulator.viz.gantt import answer_gantt, bars
from simulator.viz.runs import Study, policy_label, word_of
from simulator.viz.speedup import SPEEDUP, speedup
from simulator.viz.style import footnote
from simulator.workloads.spec import Closed

LOADS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "rate": ("Requests per second", "/s"),
        "concurrency": ("Requests in flight", " in flight"),
        "rate_scale": ("Arrivals, times those of the trace", "× the trace"),
    }
)
"""What a load is, on an axis and behind a number, by the last key of the path that varies it."""

ALL = "all"
"""Group of the requests of all categories."""


def _answer_gantt(study: Study, request: int | None) -> Figure:
    run = study.only_run()
    policy = policy_label(run.scenario, study.service)
    asked = run.requests[run.requests["service"] == study.service]
    if request is not None and request not in set(asked["request"]):
        raise study.fault(f"has no request {request}; allowed: 0 to {asked['request'].max()}")
    table = run.generations[run.generations["service"] == study.service]
    parts = asked[asked["generations"] > 1].merge(table[["workload", "request"]].drop_duplicates())
    if parts.empty:
        raise study.fault(
            f"no request was decoded in several generations (decoding: {policy}); needed: a run under a policy that "
            "parts answers, such as plato"
        )
    chosen = parts if request is None else parts[parts["request"] == request]
    if chosen.empty:
        several = [str(number) for number in sorted(set(parts["request"]))]
        raise study.fault(
            f"request {request} was not decoded in several generations; those that were: {', '.join(several[:12])}"
            f"{' ...' if len(several) > 12 else ''}"
        )
    row = chosen.sort_values("request", kind="stable").iloc[0]
    rows = table[(table["workload"] == row["workload"]) & (table["request"] == row["request"])]
    decoding = cast("Decoding", run.scenario.llm_services[study.service].policies.decoding)
    return answer_gantt(
        bars(rows, float(row["arrival_s"]), decoding.call_overhead, run.manifest["simulated_s"]),
        _title(policy, row, asked),
    )


def _title(policy: str, row: pd.Series[Any], asked: pd.DataFrame) -> str:
    words = [f"request {row['request']}"]
    if asked["workload"].nunique() > 1:
        words = [f"request {row['request']} of {row['workload']}"]
    if row["category"]:
        words.append(str(row["category"]))
    latency_s = float(row["finish_s"]) - float(row["arrival_s"])
    words.append(f"E2E {latency_s:.3g} s" if row["status"] == COMPLETED else "not finished")
    return f"{policy}: {', '.join(words)}"


def _loads(scenario: Scenario, service: str) -> dict[str, float]:
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


def _pairs(study: Study, plot: str, x: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return one row per request that was answered under a policy and under the baseline beside it.

    Beside it is the baseline whose other varied values are the same. Requests are the same ones where workload, number
    and replication are.

    Parameters
    ----------
    x
        The load of each variant by its label; None: what load there is counts as one of the other values.
    """
    service = study.service
    names, others = {}, {}
    for label, runs in study.variants.items():
        names[label] = policy_label(runs[0].scenario, service)
        others[label] = tuple(
            word_of(path, value)
            for path, value in study.values[label].items()
            if not path.startswith(f"services.{service}.policies.decoding")
            and not (x is not None and path.startswith("workloads.") and path.rpartition(".")[2] in LOADS)
        )
    lines = {label: ", ".join((names[label], *others[label])) for label in study.variants}
    places = {label: (lines[label], 0.0 if x is None else x[label]) for label in study.variants}
    twice = sorted({place[0] for place in places.values() if [*places.values()].count(place) > 1})
    if twice:
        raise study.fault(
            f"has several variants that are alike for {plot}: {', '.join(twice)}; allowed: one of each"
        )
    bases = {
        (others[label], places[label][1]): runs
        for label, runs in study.variants.items()
        if names[label] == BASELINE
    }
    tables = []
    for label, runs in study.variants.items():
        base = bases.get((others[label], places[label][1]))
        if base is None or names[label] == BASELINE:
            continue
        merged = _answered(study, runs).merge(
            _answered(study, base), on=["replication", "workload", "request"], suffixes=("", "_base")
        )
        tables.append(merged.assign(label=label, line=lines[label], load=places[label][1]))
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
    table = table.assign(own_s=table["e2e_s"], base_s=table["e2e_s_base"], left_out=~both)
    return table


def _answered(study: Study, runs: Sequence[StoredRun]) -> pd.DataFrame:
    """Return the requests of all replications with their latency."""
    tables = []
    for run in runs:
        rows = run.requests[run.requests["service"] == study.service]
        tables.append(
            rows[["request", "status"]].assign(
                workload=rows["workload"].astype(str),
                category=rows["category"].astype(str),
                replication=run.manifest["replication"],
                e2e_s=rows["finish_s"] - rows["arrival_s"],
            )
        )
    return pd.concat(tables)


def _by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the speed-up of each line by the values of a column."""
    rows = []
    for (line, value), pairs in table[~table["left_out"]].groupby(["line", column], sort=False):
        rows.append({"line": line, column: value, "requests": len(pairs), **speedup(pairs)})
    return pd.DataFrame(rows)


def _told(figure: Figure, table: pd.DataFrame) -> Figure:
    """Say below the figure what is not in it."""
    if count := int(table["left_out"].sum()):
        footnote(
            figure,
            f"Without {count} of {len(table)} pairs of requests, which were not answered under both policies.",
        )
    return figure


def _interval(table: pd.DataFrame) -> str:
    return f"95 % interval over {'replications' if table['replication'].nunique() > 1 else 'requests'}"


def _speedup_by_category(study: Study) -> Figure:
    table = _pairs(study, "speedup_by_category")
    table["category"] = table["category"].replace("", "unknown")
    known = sorted(set(table["category"]))
    whole = table.assign(category=ALL) if len(known) > 1 else table[:0]
    frame = _by(pd.concat([whole, table.sort_values("category", kind="stable")]), "category")
    return _told(speedup_by_category(frame, _interval(table)), table)


def _speedup_against_load(study: Study) -> Figure:
    loads = {label: _loads(runs[0].scenario, study.service) for label, runs in study.variants.items()}
    varied = [
        kind
        for kind in LOADS
        if all(kind in it for it in loads.values()) and len({it[kind] for it in loads.values()}) > 1
    ]
    if len(varied) != 1:
        what = f"by {' and by '.join(varied)}" if varied else "by no load"
        raise study.fault(
            f"its runs differ {what}; needed: runs that differ by one, as with --vary workloads.NAME.rate=1,2,4 or "
            "workloads.NAME.arrivals.concurrency=1,8,64"
        )
    [kind] = varied
    table = _pairs(study, "speedup_against_load", {label: it[kind] for label, it in loads.items()})
    frame = _by(table, "load")
    if (
        table["replication"].nunique() == 1
    ):  # under load, requests that follow one another are not independent
        frame[["speedup_low", "speedup_high"]] = np.nan
    return _told(speedup_against_load(frame, *LOADS[kind], _interval(table)), table)


def _quality_against_speed(study: Study) -> Figure:
    table = _pairs(study, "quality_against_speed")
    rows = _by(table.assign(whole=ALL), "whole").set_index("line")
    points: list[dict[str, Any]] = []
    for label, line in dict(zip(table["label"], table["line"], strict=True)).items():
        if line in rows.index:
            points.append(
                {"line": line, **_quality(study, label), **{it: rows.at[line, it] for it in SPEEDUP}}
            )
    points.append({"line": BASELINE, "speedup": 1.0, "net_win_rate": 0.0})  # by definition
    return _told(quality_against_speed(pd.DataFrame(points), _interval(table)), table)


_QUALITY: Final[Mapping[str, str]] = {
    "net_win_rate": "net_win_rate_over_ar",
    "net_win_rate_low": "low",
    "net_win_rate_high": "high",
}


def _quality(study: Study, label: str) -> dict[str, float]:
    """Return the surrogate of a variant: the mean of its replications."""
    found = [one["decoding"]["quality_surrogate"] for one in study.summaries(label)]
    known = [one for one in found if one["net_win_rate_over_ar"] is not None]
    return {
        column: float(np.mean([one[key] for one in known])) if known else np.nan
        for column, key in _QUALITY.items()
    }


REQUEST_FIGURES: Final[Mapping[str, Callable[[Study, int | None], Figure]]] = MappingProxyType(
    {"answer_gantt": _answer_gantt}
)
"""What can be drawn of one request."""

GRAPH_FIGURES: Final[Mapping[str, Callable[[Study], Figure]]] = MappingProxyType(
    {
        "speedup_by_category": _speedup_by_category,
        "speedup_against_load": _speedup_against_load,
        "quality_against_speed": _quality_against_speed,
    }
)
"""What can be drawn of runs under several policies for decoding."""
