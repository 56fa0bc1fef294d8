"""From stored runs of an LLM service whose answers are dependency graphs to the data of a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simulator.metrics.decoding import visible_share
from simulator.metrics.quality_surrogate import surrogate
from simulator.metrics.summary import COMPLETED
from simulator.policies.decoding import Decoding
from simulator.viz.answers import quality_against_speed, speedup_against_load, speedup_by_category
from simulator.viz.gantt import answer_gantt, bars
from simulator.viz.pairs import BASELINE, LOADS, loads_of, paired
from simulator.viz.runs import Study, policy_label
from simulator.viz.speedup import speedup
from simulator.viz.style import footnote

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


def _by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the speed-up of each line by the other varied values and by those of a column."""
    rows = []
    for (line, others, value), pairs in table[~table["left_out"]].groupby(
        ["line", "others", column], sort=False
    ):
        rows.append({"line": line, "others": others, column: value, "requests": len(pairs), **speedup(pairs)})
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
    table = paired(study, "speedup_by_category")
    unnamed = table["category"] == ""
    table.loc[unnamed, "category"] = "no category"
    table.loc[unnamed & ~table["asked"], "category"] = table["workload"] + ", no graph"
    asked = table[table["asked"]]
    groups = [asked.assign(category=ALL)] if asked["category"].nunique() > 1 else []
    groups += [rows.sort_values("category", kind="stable") for rows in (asked, table[~table["asked"]])]
    return _told(speedup_by_category(_by(pd.concat(groups), "category"), _interval(table)), table)


def _speedup_against_load(study: Study) -> Figure:
    loads = {label: loads_of(runs[0].scenario, study.service) for label, runs in study.variants.items()}
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
    table = paired(study, "speedup_against_load", {label: it[kind] for label, it in loads.items()})
    table = table[table["asked"]]
    frame = _by(table, "load")
    frame["line"] = [
        ", ".join(filter(None, names)) for names in zip(frame["line"], frame["others"], strict=True)
    ]
    if table["replication"].nunique() == 1:
        # under load, requests that follow one another are not independent
        frame[["speedup_low", "speedup_high"]] = np.nan
    return _told(speedup_against_load(frame, *LOADS[kind], _interval(table)), table)


def _quality_against_speed(study: Study) -> Figure:
    table = paired(study, "quality_against_speed")
    table = table[table["asked"]]
    points: list[dict[str, Any]] = []
    for (line, others), pairs in table[~table["left_out"]].groupby(["line", "others"], sort=False):
        share = visible_share(pairs["edges"].to_numpy(), pairs["visible_edges"].to_numpy())
        rate = surrogate(share, pairs["planned"].to_numpy(dtype=bool))
        points.append(
            {
                "line": line, "others": others, "net_win_rate": rate["net_win_rate_over_ar"],
                "net_win_rate_low": rate["low"], "net_win_rate_high": rate["high"], **speedup(pairs),
            }
        )  # fmt: skip
    for others in dict.fromkeys(
        point["others"] for point in points
    ):  # the baseline is where it is by definition
        points.append({"line": BASELINE, "others": others, "speedup": 1.0, "net_win_rate": 0.0})
    return _told(quality_against_speed(pd.DataFrame(points), _interval(table)), table)


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
