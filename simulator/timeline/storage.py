"""Storage tiers on a timeline: what was read from each, by whom, and at which bandwidth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.experiments.run_store import StoredRun
from simulator.serving.build import stored_token_bytes
from simulator.serving.models import load_model
from simulator.timeline.curves import summed
from simulator.timeline.stays import name_of
from simulator.timeline.trace_events import Slice, Trace


def add_storage(trace: Trace, run: StoredRun) -> None:
    """Write a process for each storage device that a service of the run keeps KV in."""
    services = run.scenario.llm_services
    token_bytes = {name: stored_token_bytes(it, load_model(it.model)) for name, it in services.items()}
    rows = run.pointers.sort_values(
        ["start_s", "service", "replica", "workload", "request", "generation", "to_token"], kind="stable"
    )
    tiers = dict.fromkeys(tier for service in services.values() for tier in service.kv_tiers)
    for tier in tiers:
        reads = [
            _read(row, token_bytes[row["service"]]) for row in rows[rows["tier"] == tier].to_dict("records")
        ]
        pid = trace.process(f"{tier}: storage")
        trace.lanes(pid, "reads", reads)
        moving = [it for it in reads if it.end_s > it.start_s]
        bandwidth = summed(
            [it.start_s for it in moving],
            [it.end_s for it in moving],
            [it.args["bytes"] / (it.end_s - it.start_s) / 1e9 for it in moving],
            float(run.manifest["simulated_s"]),
        )
        trace.counter(pid, "read bandwidth", "GB/s", bandwidth)


def _read(row: Mapping[Any, Any], token_bytes: float) -> Slice:
    name = name_of((row["workload"], row["request"], row["generation"]))
    tokens = row["to_token"] - row["from_token"]
    args = {
        "service": row["service"],
        "replica": row["replica"],
        "from_token": row["from_token"],
        "to_token": row["to_token"],
        "tokens": tokens,
        "bytes": tokens * token_bytes,
    }
    return Slice(name, row["start_s"], row["end_s"], args)
