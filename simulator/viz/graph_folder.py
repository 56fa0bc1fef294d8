"""From stored runs of an LLM service whose answers are dependency graphs to the data of a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

import pandas as pd
from matplotlib.figure import Figure

from simulator.metrics.summary import COMPLETED
from simulator.policies.decoding import Decoding
from simulator.viz.gantt import answer_gantt, bars
from simulator.viz.runs import Study, policy_label


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


REQUEST_FIGURES: Final[Mapping[str, Callable[[Study, int | None], Figure]]] = MappingProxyType(
    {"answer_gantt": _answer_gantt}
)
"""What can be drawn of one request."""
