"""The shipped scenarios in small sizes, for tests that run all of them, and a count of malformed inputs at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from simulator.core import Table
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import Scenario
from simulator.world import RunResult, simulate

FOLDER = Path(__file__).parents[1] / "scenarios"
NAMES = sorted(
    str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.yaml") if path.parent.name != "sweeps"
)

SMALL: dict[str, Sequence[str]] = {
    "bench/poisson.yaml": ["workloads.chat.requests=60"],
    "cake/agents.yaml": [  # so little memory that KV moves through both tiers and comes back
        "workloads.chat.requests=60",
        "workloads.chat.sessions.think_time=5 s",
        "workloads.chat.rate=2/s",
        "devices.gpu.memory=23 GB",
        "devices.dram.capacity=1 GB",
    ],
    "cake/mooncake.yaml": [  # the same for three tiers
        "workloads.chat.requests=80",
        "devices.gpu.count=2",
        "devices.gpu.memory=32 GB",
        "devices.dram.capacity=2 GB",
        "devices.disk.capacity=4 GB",
    ],
    "cluster/autoscaling.yaml": [
        "workloads.chat.requests=400",
        "workloads.chat.arrivals.period=40 s",
        "services.chat.policies.autoscaling.settle=5 s",
        "services.chat.policies.autoscaling.period=1 s",
        "services.chat.policies.autoscaling.requests=8",
        "services.chat.cold_start.startup=1 s",
    ],
    "cluster/composed.yaml": [
        "devices.phones.count=12",
        "workloads.watch.segments=15",
        "workloads.questions.duration=10 s",
        "workloads.questions.rate=0.3/s",
        "links.backhaul.bandwidth=60 Mbit/s",
    ],
    "cluster/campus.yaml": [  # so little memory that KV moves through both tiers; all places are used
        "horizon=30 s",
        "devices.phones.count=10",
        "devices.edge.count=2",
        "devices.dram.capacity=1 GB",
        "devices.store.capacity=2 GB",
        "links.cell.bandwidth=20 Mbit/s",
        "services.cloud.gpus={h100: 1, a100: 1}",
        "services.cloud.model=llama-3.1-8b",
        "workloads.lecture.segments=12",
        "workloads.lecture.spread=5 s",
        "workloads.questions.duration=2 s",
        "workloads.questions.rate=120/s",
        "workloads.chats.duration=20 s",
        "workloads.chats.rate=2/s",
        "workloads.chats.sessions.think_time=1 s",
    ],
    "cluster/day.yaml": [  # a model whose weights are there in a few seconds
        "services.chat.model=llama-3.1-8b",
        "services.chat.tensor_parallel=1",
        "devices.gpu.count=4",
        "workloads.chat.duration=18 s",
        "workloads.chat.arrivals.period=40 s",
        "services.chat.policies.autoscaling.settle=5 s",
        "services.chat.policies.autoscaling.period=1 s",
        "services.chat.policies.autoscaling.requests=8",
        "services.chat.policies.autoscaling.minimum=1",
        "services.chat.cold_start.startup=1 s",
    ],
    "cluster/edge_helper.yaml": ["workloads.watch.segments=40"],
    "cluster/edge_failure.yaml": [  # so many at once that all places are used
        "devices.phones.count=20",
        "workloads.questions.rate=40/s",
        "workloads.questions.duration=4 s",
        "workloads.questions.arrivals.period=5 s",
        "services.ask.policies.placement=latency_threshold",
        "services.edge.policies.recovery=reroute",  # Little's law counts requests that are answered
        "faults.noon.at=2 s",
        "faults.noon.duration=1 s",
    ],
    "cluster/flash_crowd.yaml": [
        "workloads.people.duration=15 s",
        "workloads.people.arrivals.period=15 s",
        "workloads.people.rate=16/s",
        "workloads.jobs.duration=14 s",
        "workloads.jobs.rate=3/s",
        "services.chat.policies.autoscaling.settle=5 s",
        "services.chat.policies.autoscaling.period=1 s",
        "services.chat.policies.autoscaling.requests=16",
        "services.chat.cold_start.startup=1 s",
        "devices.gpu.count=4",
        "devices.gpu.memory=22 GB",
        "faults.crash.at=6 s",
        "faults.crash.duration=3 s",
    ],
    "cluster/experts.yaml": ["workloads.chat.requests=60"],
    "cluster/shared_gpu.yaml": ["workloads.watch.segments=40", "workloads.talk.requests=40"],
    "cluster/disaggregated.yaml": ["workloads.chat.requests=60"],
    "cluster/speculative.yaml": ["workloads.chat.requests=40"],
    "cluster/slo_classes.yaml": [  # so little memory that who is preempted matters
        "workloads.people.requests=60",
        "workloads.jobs.requests=40",
        "workloads.jobs.arrivals=poisson",
        "devices.gpu.memory=22 GB",
    ],
    "faults/disk_failure.yaml": ["workloads.chat.requests=30", "faults.crash.at=30 s"],
    "faults/gpu_failure.yaml": [
        "workloads.chat.requests=300",
        "faults.crash.mtbf=8 s",
        "faults.crash.mttr=2 s",
    ],
    "faults/link_outage.yaml": [
        "workloads.chat.requests=30",
        "faults.drop.mtbf=10 s",
        "faults.drop.mttr=3 s",
    ],
    "faults/phone_failure.yaml": [
        "workloads.watch.segments=60",
        "workloads.watch.sessions=1",
        "faults.crash.mtbf=30 s",
        "faults.crash.mttr=10 s",
        "faults.broken.at=30 s",
        "faults.slow.at=5 s",
        "faults.slow.duration=20 s",
    ],
    "faults/straggler.yaml": [
        "workloads.chat.requests=200",
        "faults.slow.at=4 s",
        "faults.slow.duration=8 s",
    ],
    "cluster/mixed_pool.yaml": ["workloads.chat.requests=150"],
    "cluster/placement.yaml": [  # so many at once that all places are used
        "workloads.questions.requests=120",
        "workloads.questions.rate=60/s",
        "services.ask.policies.placement=latency_threshold",
    ],
    "oasis/churn.yaml": ["workloads.watch.segments=180", "workloads.watch.sessions=1"],
    "oasis/heat.yaml": ["workloads.watch.segments=240", "workloads.watch.sessions=1"],
    "oasis/player.yaml": ["workloads.watch.segments=40", "workloads.watch.sessions=2"],
    "plato/alone.yaml": ["workloads.questions.requests=12"],
    "plato/load.yaml": ["workloads.questions.requests=25"],
    "plato/memory.yaml": ["workloads.questions.requests=40"],
    "plato/mixed.yaml": ["workloads.questions.requests=10", "workloads.chats.requests=40"],
    "plato/small_model.yaml": ["workloads.questions.requests=8"],
    "plato/stored_context.yaml": ["workloads.questions.requests=12"],
}
"""What makes a scenario small; the others are."""

SMALL |= {
    f"oasis/{name}.yaml": ["workloads.watch.segments=40", "workloads.watch.sessions=1"]
    for name in ("abr_ablation", "compute_skew", "flagship", "network_skew", "networks", "phones", "policies")
}


class Shipped:
    """The shipped scenarios."""

    folder = FOLDER
    names = NAMES

    @staticmethod
    def small(name: str) -> Sequence[str]:
        """Return the overrides that make a scenario small."""
        return SMALL.get(name, ())

    @staticmethod
    def load(name: str, overrides: Sequence[str] = ()) -> Scenario:
        """Return a scenario in small size; `overrides` come last."""
        return load(FOLDER / name, [*SMALL.get(name, ()), *overrides])

    @staticmethod
    def run(name: str, scenario: Scenario, step_by_step: bool = False) -> RunResult:
        """Run a scenario that came from `name`."""
        return simulate(scenario, resolve=resolver(FOLDER / name), step_by_step=step_by_step)

    @staticmethod
    def fingerprint(result: RunResult) -> str:
        """Return a hash of all that a run has found out, to the last bit: the summary, every table, the notes.

        Name and seed of the scenario, which the summary repeats, are left out.
        """
        summary = {key: it for key, it in result.summary().items() if key not in ("scenario", "seed")}
        found = sha256(json.dumps(summary).encode())
        for label, table in _tables(result):
            found.update(f"{label}: {table.schema}".encode())
            for name, kind in table.schema.items():
                column = table.column(name)
                found.update(json.dumps(column.tolist()).encode() if kind == "text" else column.tobytes())
        found.update(repr((result.devices, result.notes)).encode())
        return found.hexdigest()


def _tables(result: RunResult) -> Iterator[tuple[str, Table]]:
    for kind in ("requests", "intervals", "generations", "pointers", "asks", "viewers"):
        for name, table in getattr(result, kind).items():
            yield f"{kind} of {name}", table
    if result.faults is not None:
        yield "faults", result.faults
    for name, sessions in result.sessions.items():
        for number, session in sorted(sessions.items()):
            for kind in ("chunks", "viewing", "intervals"):
                yield f"{kind} of {name} {number}", getattr(session, kind)


@pytest.fixture(scope="session")
def shipped() -> type[Shipped]:
    """All of them."""
    return Shipped


@pytest.fixture(params=NAMES)
def shipped_name(request: pytest.FixtureRequest) -> str:
    """Each in turn."""
    return str(request.param)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many malformed inputs (tests/robustness) were tried and what came of them.

    Here, since of several processes the one that prints reads this file alone.
    """
    reports: Iterator[Any] = (it for it in terminalreporter.stats.get("passed", ()) if it.when == "call")
    found = [
        str(value) for report in reports for name, value in report.user_properties if name == "malformed"
    ]
    if found:
        terminalreporter.write_line(
            f"malformed inputs: {len(found)} tried, all exit 2: {found.count('position')} with line and column, "
            f"{found.count('file')} with the file"
        )
