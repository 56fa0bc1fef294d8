"""Cake, Plato and OASIS on one link: bytes are conserved, and without a link to share none touches another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator import assembly
from simulator.commands.scenarios import SHIPPED
from simulator.core import Channel, Table
from simulator.scenario import load_text
from simulator.scenario.spec import Scenario
from simulator.serving.storage_build import build_link
from simulator.world import RunResult, simulate

TEXT = (SHIPPED / "cluster" / "composed.yaml").read_text(encoding="utf-8")
SMALL = (
    "devices.phones.count=16",
    "workloads.watch.segments=20",
    "workloads.watch.spread=5 s",
    "workloads.questions.requests=4",
    "workloads.questions.duration=null",
    "workloads.questions.rate=0.2/s",
    "links.backhaul.bandwidth=40 Mbit/s",
)
ALONE = {"chat": {"questions"}, "video": {"watch"}}
"""Workloads of each service."""
INSTANT = """\
kind: link
name: instant
title: A link on which operations cost nothing
duplex: full
sources: {test: {title: This test}}
values:
  bandwidth_bytes_per_s: {value: 1 GB/s, source: test, kind: assumed}
  latency_s: {value: 1 ms, source: test, kind: assumed}
  per_operation_s: {value: 0 s, source: test, kind: assumed}
  active_w: {value: 0 W, source: test, kind: assumed}
"""


def policies(kv_loading: str, decoding: str, collaboration: str) -> list[str]:
    return [
        f"services.chat.policies.kv_loading={kv_loading}",
        f"services.chat.policies.decoding={decoding}",
        f"services.video.policies.collaboration={collaboration}",
    ]


ALL = [
    ("io_only", "autoregressive", "no_collaboration"),
    ("io_only", "plato", "oasis"),
    ("cake", "autoregressive", "mpbond"),
    ("cake", "plato", "no_collaboration"),
    ("cake", "sot", "oasis"),
    ("compute_only", "plato", "oasis"),
]


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Channel, Channel]]:
    """Channels of all links that are built from now on."""
    built: list[tuple[Channel, Channel]] = []

    def build(*arguments: object) -> tuple[Channel, Channel]:
        built.append(build_link(*arguments))  # type: ignore[arg-type]
        return built[-1]

    monkeypatch.setattr(assembly, "build_link", build)
    return built


def downloaded_bytes(result: RunResult) -> float:
    chunks = [it.chunks for it in result.sessions["video"].values()]
    return sum(float(it.column("bits").sum()) for it in chunks) / 8.0


@pytest.mark.parametrize("chosen", ALL, ids="-".join)
def test_the_link_brings_what_is_loaded_and_what_is_downloaded(
    chosen: tuple[str, str, str], links: list[tuple[Channel, Channel]]
) -> None:
    """What a race throws away of its last operation passes the link too: at most one operation per load."""
    result = simulate(load_text(TEXT, [*SMALL, *policies(*chosen)]))
    [(there, back)] = links
    store, service = result.devices["store"], result.scenario.llm_services["chat"]
    expected = store.read_bytes + downloaded_bytes(result)
    assert downloaded_bytes(result) > 0.0
    assert (store.read_bytes > 0.0) == (chosen[0] != "compute_only")
    if chosen[0] == "cake":
        loads = int(result.requests["chat"].column("generations").sum())
        token_bytes = 2 * 64 * 8 * 128 * service.kv_bits / 8.0  # type: ignore[operator]  # K and V of qwen3-32b
        assert expected * (1.0 - 1e-12) <= there.moved_bytes
        assert there.moved_bytes <= expected + loads * service.io_chunk_tokens * token_bytes
    else:
        assert there.moved_bytes == pytest.approx(expected, rel=1e-12)
    assert back.moved_bytes == pytest.approx(store.written_bytes, rel=1e-12)


def only(scenario: Scenario, service: str) -> Scenario:
    """Return a scenario without the other service."""
    devices = {"gpu", "store"} if service == "chat" else {"phones"}
    return replace(
        scenario,
        services={service: scenario.services[service]},
        workloads={name: scenario.workloads[name] for name in ALONE[service]},
        devices={name: scenario.devices[name] for name in devices},
    )


def tables(result: RunResult) -> Mapping[str, Table]:
    found = {}
    for kind in ("requests", "intervals", "generations", "pointers", "viewers"):
        found |= {f"{kind} of {name}": table for name, table in getattr(result, kind).items()}
    for name, sessions in result.sessions.items():
        for number, session in sessions.items():
            for kind in ("chunks", "viewing", "intervals"):
                found[f"{kind} of {name} {number}"] = getattr(session, kind)
    return found


def contents(table: Table) -> list[bytes]:
    columns = [(kind, table.column(name)) for name, kind in table.schema.items()]
    return [repr(it.tolist()).encode() if kind == "text" else it.tobytes() for kind, it in columns]


@pytest.mark.parametrize("chosen", ALL[:5], ids="-".join)
def test_on_an_infinitely_fast_link_each_system_is_as_alone(
    chosen: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "instant.yaml").write_text(INSTANT)
    monkeypatch.setenv("HETSIM_DEVICES", str(tmp_path))
    scenario = load_text(TEXT, [*SMALL, *policies(*chosen), "links.backhaul.profile=instant"])
    # beyond what a file may say: a transfer ends in the instant in which it joins
    scenario = replace(scenario, links={"backhaul": replace(scenario.links["backhaul"], bandwidth=1e40)})
    together = tables(simulate(scenario))
    alone = [tables(simulate(only(scenario, service))) for service in ALONE]
    assert together.keys() == alone[0].keys() | alone[1].keys()
    for name, table in (alone[0] | alone[1]).items():
        assert contents(table) == contents(together[name]), name


def test_on_a_slow_link_they_hold_each_other_up() -> None:
    slow = load_text(
        TEXT, [*SMALL, *policies("io_only", "plato", "oasis"), "links.backhaul.bandwidth=20 Mbit/s"]
    )
    result = simulate(slow)
    chat, video = (simulate(only(slow, service)) for service in ALONE)

    def ttft_s(it: RunResult) -> float:
        return float(it.summary()["services"]["chat"]["ttft_s"]["mean"])  # type: ignore[index]

    def download_s(it: RunResult) -> float:
        chunks = [session.chunks for session in it.sessions["video"].values()]
        return float(
            np.mean(
                np.concatenate([c.column("download_end_s") - c.column("download_start_s") for c in chunks])
            )
        )

    assert ttft_s(result) > 1.01 * ttft_s(chat)
    assert download_s(result) > 1.05 * download_s(video)
