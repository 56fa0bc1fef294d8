"""How fast the simulator is, in bare SimPy timeouts measured in the same run, so that machines can be compared.

A *timeout* here is the cost of one event of a SimPy process that does nothing but wait. ``make bench`` prints the
table; ``--json FILE`` also writes it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import simpy

from simulator.commands.scenarios import SHIPPED
from simulator.core import Streams
from simulator.experiments.cake_cases import cell
from simulator.experiments.reproduce_cake import cell_scenario
from simulator.experiments.run_store import peak_memory_bytes
from simulator.experiments.tables import text_table
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.collaboration.oasis import Oasis
from simulator.policies.registry import find
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.streaming.group import simulate_group
from simulator.streaming.player import Player
from simulator.streaming.qoe import ENVIVIO_LADDER_BPS
from simulator.streaming.service import StreamedVideo
from simulator.streaming.synthetic_trace import load_cellular, markov_trace
from simulator.streaming.vbr import vbr_video
from simulator.workloads.spec import Stored, Synthetic
from simulator.world import simulate

TIMEOUTS = 1_000_000
"""Timeouts of one yardstick."""


def yardstick_s() -> float:
    """Return the CPU time of one bare SimPy timeout, in s."""
    env = simpy.Environment()

    def wait() -> Iterator[simpy.Event]:
        for _ in range(TIMEOUTS):
            yield env.timeout(1)

    env.process(wait())  # type: ignore[arg-type]
    started = time.process_time()
    env.run()
    return (time.process_time() - started) / TIMEOUTS


def poisson(replicas: int, requests: int) -> Scenario:
    """Return the yardstick of serving simulators: 512 tokens in, 128 out, 4 requests/s per replica."""
    service = LlmService(
        kind="llm",
        model="llama-2-7b",
        gpus="gpu",
        replicas=replicas,
        policies=LlmPolicies(batching=ChunkedPrefill(token_budget=512)),
    )
    workload = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=512,
        output_tokens=128,
        rate=4.0 * replicas,
        requests=requests,
    )
    return Scenario(
        version=1,
        name="poisson",
        devices={"gpu": DeviceSpec("a100-80g-sxm")},
        services={"chat": service},
        workloads={"chat": workload},
        record_intervals=False,
    )


def cake(requests: int) -> Scenario:
    """Return 16K-token prompts with stored KV, served by Cake, one every four seconds on average."""
    base = cell_scenario(cell("longalpaca-13b", "a100-80g-sxm", 2, 32.0), "cake")
    prompts = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=16384,
        output_tokens=1,
        rate=0.25,
        requests=requests,
        stored=Stored("disk"),
        hash_block_tokens=256,
    )
    return replace(base, workloads={"chat": prompts})


def questions(requests: int) -> Scenario:
    """Return questions of Vicuna-80 that Plato decodes in parts, two per second on average."""
    return replace(
        load(SHIPPED / "plato" / "load.yaml", [f"workloads.questions.requests={requests}"]),
        record_intervals=False,
    )


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    name: str
    """What the table calls it."""
    unit: Literal["request", "session"]
    """What the cost is stated per."""
    number: int
    """How many requests or sessions one run has."""
    run: Callable[[], object]
    """Simulates them; what it needs is built before."""


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield _served("poisson, 1 replica", 20_000, poisson(1, 20_000))
    yield _served("poisson, 64 replicas", 50_000, poisson(64, 50_000))
    yield _served("cake, 16K prompts", 500, cake(500))
    yield _served("plato, answers of 7 nodes", 2_000, questions(2_000))
    base = load(SHIPPED / "cake" / "mooncake.yaml")
    for name in ("compute_only", "cake"):
        policies = replace(base.llm_services["chat"].policies, kv_loading=find("kv_loading", name)())
        scenario = replace(base, services={"chat": replace(base.llm_services["chat"], policies=policies)})
        requests = len(simulate(scenario).requests["chat"])
        yield _served(f"mooncake-like, 8 replicas, {name}", requests, scenario)
    yield watched_together(10)
    for name, sessions in (("bola", 1000), ("dynamic", 1000), ("robust_mpc", 200)):
        yield watched_alone(name, sessions)


def _served(name: str, requests: int, scenario: Scenario) -> Case:
    return Case(name, "request", requests, lambda: simulate(scenario))


def watched_together(sessions: int) -> Case:
    """Return sessions of the shipped scenario of six phones, over networks that never change."""
    path = SHIPPED / "oasis" / "phones.yaml"
    scenario = load(path, ["devices.phones.phone={wwan: {trace: steady, bandwidth: 5 Mbit/s}}"])
    group = StreamedVideo(scenario, "video", Streams(scenario.seed), resolver(path)).group(0)

    def run() -> None:
        for _ in range(sessions):
            simulate_group(group, Oasis())

    name = f"oasis, {len(group.phones)} phones, {group.video.segments} chunks"
    return Case(name, "session", sessions, run)


def watched_alone(rule: str, sessions: int) -> Case:
    """Return sessions of Pensieve's length and ladder of one player, each over a network trace of its own."""
    seeds = Streams(0)
    video = vbr_video("video", 4.0, 48, ENVIVIO_LADDER_BPS, seeds.stream("video"))
    network = load_cellular("norway-3g")
    traces = [markov_trace(network, seeds.stream(f"trace {i}"), 600.0) for i in range(sessions)]
    player, policy = Player(), find("abr", rule)()

    def run() -> None:
        for trace in traces:
            player.play(video, trace, policy)

    return Case(f"{rule}, {video.segments} segments over norway-3g", "session", sessions, run)


def measure(repeats: int, measured: Iterable[Case]) -> list[dict[str, Any]]:
    """Return one row per case: medians over `repeats`, each between two yardsticks."""
    rows = []
    for case in measured:
        costs, rates = [], []
        for _ in range(repeats):
            before = yardstick_s()
            started = time.process_time()
            case.run()
            elapsed = time.process_time() - started
            timeout_s = (before + yardstick_s()) / 2
            costs.append(elapsed / case.number / timeout_s)
            rates.append(case.number / elapsed)
        rows.append(
            {
                "case": case.name,
                f"{case.unit}s": case.number,
                f"timeouts_per_{case.unit}": statistics.median(costs),
                f"{case.unit}s_per_cpu_s": statistics.median(rates),
                "peak_memory_bytes": peak_memory_bytes(),
            }
        )
    return rows


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100.0 else f"{per_s:.1f}"


def report(rows: list[dict[str, Any]]) -> str:
    """Return a table of what is stated per request, and one of what is stated per session."""
    tables = []
    for unit in ("request", "session"):
        cells = [
            [
                row["case"],
                f"{row[f'{unit}s']:,}",
                f"{row[f'timeouts_per_{unit}']:,.1f}",
                _rate(row[f"{unit}s_per_cpu_s"]),
                f"{(row['peak_memory_bytes'] or 0) / 2**20:.0f}",
            ]
            for row in rows
            if f"{unit}s" in row
        ]
        header = ["case", f"{unit}s", f"timeouts/{unit}", f"{unit}s/CPU s", "peak memory (MiB)"]
        tables += [text_table(header, cells)] * bool(cells)
    return "\n".join(tables)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m simulator.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args(argv)
    rows = measure(arguments.repeats, cases())
    print(report(rows))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
