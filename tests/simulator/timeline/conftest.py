"""Runs whose timelines are tested, and traces read back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulator.commands.scenarios import SHIPPED
from simulator.experiments.compare import compare
from simulator.experiments.run_store import StoredRun, load_run
from simulator.timeline import write_timeline

TIERS = """\
version: 1
name: tiers
devices:
  gpu: {profile: a100-80g-sxm, count: 2, memory: 22 GB}
  dram: {profile: dram-pcie4, capacity: 1 GB, bandwidth: 2 GB/s}
  disk: {profile: nvme-gen4, capacity: 100 GB, bandwidth: 2 GB/s}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, engine: vllm-0.6, kv_tiers: [dram, disk], kv_write: write_through,
         policies: {kv_loading: cake}}
workloads:
  chat: {trace: synthetic, service: chat, rate: 1/s, requests: 30, output_tokens: 20,
         input_tokens: {distribution: uniform, low: 500, high: 2000},
         hash_block_tokens: 128, sessions: {turns: 3, think_time: 2 s}}
"""
"""Conversations whose KV is found in GPU memory, in DRAM or on the disk; two replicas."""

_CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "cake": ("cake/single.yaml", ()),
    "poisson": (
        "bench/poisson.yaml",
        (
            "record_intervals=true", "services.chat.replicas=3", "workloads.chat.rate=15/s",
            "workloads.chat.requests=60",
        ),
    ),
    "plato": ("plato/alone.yaml", ("workloads.questions.requests=6",)),
    "churn": ("oasis/churn.yaml", ("workloads.watch.sessions=2",)),
    "helper": ("cluster/edge_helper.yaml", ("workloads.watch.segments=40",)),
    "apart": ("cluster/disaggregated.yaml", ("workloads.chat.requests=60",)),
    "cut_off": ("", ("horizon=4.1 s",)),
    "tiers": ("", ()),
}  # fmt: skip


@dataclass(frozen=True)
class Timeline:
    """A run and its timeline."""

    run: StoredRun
    """What it is of."""
    file: Path
    """Where it lies."""

    @cached_property
    def data(self) -> dict[str, Any]:
        """The whole file."""
        data: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return data

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events."""
        events: list[dict[str, Any]] = self.data["traceEvents"]
        return events

    @cached_property
    def names(self) -> dict[tuple[int, int], str]:
        """Track -> ``process/track``, without the number of its lane."""
        processes = {it["pid"]: it["args"]["name"] for it in self.events if it["name"] == "process_name"}
        return {
            (it["pid"], it["tid"]): f"{processes[it['pid']]}/{it['args']['name'].rstrip(' 0123456789')}"
            for it in self.events
            if it["name"] == "thread_name"
        }

    def tracks(self) -> dict[tuple[int, int], list[dict[str, Any]]]:
        """Slices by track, as they come."""
        tracks: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
        for it in self.events:
            if it["ph"] == "X":
                tracks[it["pid"], it["tid"]].append(it)
        return tracks

    def slices(self, track: str, within: str = "") -> Iterator[dict[str, Any]]:
        """Yield the outermost slices of all tracks of that name, of processes that have `within` in theirs."""
        for key, slices in self.tracks().items():
            process, _, name = self.names[key].rpartition("/")
            if name == track and within in process:
                until = -1
                for it in slices:
                    if it["ts"] >= until:
                        until = it["ts"] + it["dur"]
                        yield it

    def counters(self) -> dict[tuple[int, str], list[tuple[int, float]]]:
        """(time, value) by process and counter, as they come."""
        counters: dict[tuple[int, str], list[tuple[int, float]]] = defaultdict(list)
        for it in self.events:
            if it["ph"] == "C":
                [value] = it["args"].values()
                counters[it["pid"], it["name"]].append((it["ts"], value))
        return counters

    def integral(self, counter: str) -> float:
        """Return the integral of a counter over time in s, summed over processes."""
        return sum(
            value * (later - time) / 1e6
            for (_, name), points in self.counters().items()
            if name == counter
            for (time, value), (later, _) in pairwise(points)
        )


@pytest.fixture(scope="session")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Timeline]:
    """Return a function that runs one of the cases once and writes its timeline."""
    base = tmp_path_factory.mktemp("timelines")
    (base / "tiers.yaml").write_text(TIERS)
    known: dict[str, Timeline] = {}

    def make(case: str) -> Timeline:
        if case not in known:
            scenario, overrides = _CASES[case]
            path = SHIPPED / scenario if scenario else base / "tiers.yaml"
            compare(path, {}, overrides, out=base / case)
            write_timeline(base / case, base / f"{case}.json")
            [folder] = (base / case).iterdir()
            known[case] = Timeline(load_run(folder), base / f"{case}.json")
        return known[case]

    return make
