"""SLO classes of workloads: each says something, and a name that workloads share stands for the same limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from devices.document import Path_
from simulator.scenario.references import Problem
from simulator.workloads.slo import SloClass
from simulator.workloads.spec import VideoWorkload, WorkloadSpec


def check_slo_classes(workloads: Mapping[str, WorkloadSpec]) -> Iterator[Problem]:
    """Yield every class that says nothing, and those of one service that share a name but not their limits."""
    first: dict[tuple[str, str], tuple[str, SloClass]] = {}
    for workload, it in workloads.items():
        if isinstance(it, VideoWorkload) or (slo := it.slo) is None:
            continue
        path: Path_ = ("workloads", workload, "slo")
        if slo == SloClass():
            yield Problem(path, "says nothing; allowed: a limit (ttft, tpot), a priority or a name")
        name = slo.name or workload
        other, same = first.setdefault((it.service, name), (workload, slo))
        if (slo.ttft, slo.tpot) != (same.ttft, same.tpot):
            message = (
                f"class {name!r} has other limits (ttft, tpot) in workload {other!r}; allowed: the same, or"
            )
            yield Problem(path if slo.name is None else (*path, "name"), f"{message} another name")
