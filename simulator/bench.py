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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import simpy

from simulator.commands.scenarios import SHIPPED
from simulator.experiments.cake_cases import cell
from simulator.experiments.reproduce_cake import cell_scenario
from simulator.experiments.run_store import peak_memory_bytes
from simulator.experiments.tables import text_table
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.registry import find
from simulator.scenario.load import load
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
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


def cases() -> Iterator[tuple[str, int, Callable[[], Scenario]]]:
    """Yield (name, requests, scenario) of every case."""
    yield "poisson, 1 replica", 20_000, lambda: poisson(1, 20_000)
    yield "poisson, 64 replicas", 50_000, lambda: poisson(64, 50_000)
    yield "cake, 16K prompts", 500, lambda: cake(500)
    base = load(SHIPPED / "cake" / "mooncake.yaml")
    for name in ("compute_only", "cake"):
        policies = replace(base.llm_services["chat"].policies, kv_loading=find("kv_loading", name)())
        scenario = replace(base, services={"chat": replace(base.llm_services["chat"], policies=policies)})
        requests = len(simulate(scenario).requests["chat"])
        yield f"mooncake-like, 8 replicas, {name}", requests, lambda scenario=scenario: scenario  # type: ignore[misc]


def measure(repeats: int) -> list[dict[str, Any]]:
    """Return one row per case: medians over `repeats`, each between two yardsticks."""
    rows = []
    for name, requests, scenario in cases():
        costs, rates = [], []
        for _ in range(repeats):
            before = yardstick_s()
            world = scenario()
            started = time.process_time()
            simulate(world)
            elapsed = time.process_time() - started
            unit = (before + yardstick_s()) / 2
            costs.append(elapsed / requests / unit)
            rates.append(requests / elapsed)
        rows.append(
            {
                "case": name,
                "requests": requests,
                "timeouts_per_request": statistics.median(costs),
                "requests_per_cpu_s": statistics.median(rates),
                "peak_memory_bytes": peak_memory_bytes(),
            }
        )
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m simulator.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args(argv)
    rows = measure(arguments.repeats)
    print(
        text_table(
            ["case", "requests", "timeouts/request", "requests/CPU s", "peak memory (MiB)"],
            [
                [
                    row["case"],
                    f"{row['requests']:,}",
                    f"{row['timeouts_per_request']:.1f}",
                    f"{row['requests_per_cpu_s']:,.0f}",
                    f"{(row['peak_memory_bytes'] or 0) / 2**20:.0f}",
                ]
                for row in rows
            ],
        )
    )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
