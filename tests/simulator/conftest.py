"""A laboratory for tests of whole scenarios: builds them in Python and looks into the world that they make."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import simulator.world
from devices.profiles import NUMBER_FORMATS
from simulator.compiled import is_compiled
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.batching.fluctuating_budget import FluctuatingBudget
from simulator.policies.registry import find, policies
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.kernels import tile_rows
from simulator.serving.service import ServiceRuntime
from simulator.serving.step_cost import StepCost
from simulator.serving.work import read_parameters
from simulator.workloads.arrival_spec import AtOnce
from simulator.workloads.graphs import AnswerGraph
from simulator.workloads.spec import CsvTrace, GraphTrace, Stored, Synthetic
from simulator.world import RunResult, simulate

TIERS = {"dram": "dram-pcie4", "disk": "nvme-gen4", "remote": "remote-rdma-100g"}


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Skip what puts something else into the engine's inner modules, where these are compiled."""
    if is_compiled():
        skip = pytest.mark.skip(reason="the engine is compiled, so that nothing can be put into it")
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(skip)


class Lab:
    """Makes scenarios with one service called ``chat`` unless told otherwise, and runs them."""

    @staticmethod
    def fluid_prefill_s(cost: StepCost, start: float, end: float, chunk: int) -> float:
        """Return the time to prefill ``[start, end)`` if steps could be cut anywhere at no loss, in s.

        A lower bound of `StepCost.prefill_s` with the same or smaller chunks: every token costs its share of a step
        of the size at which that is least. Only whole tiles and the chunk itself come into question.
        """
        tile = tile_rows(cost.number_format)
        sizes = [*range(tile, chunk, tile), chunk]
        # a step of chunks that form next to no pairs: what a chunk costs beyond them is part of it
        per_token_s: float = min(cost.step_s(size, pairs=1e-12) / size for size in sizes)
        tokens = end - start
        return tokens * per_token_s + cost.beta_s * tokens * (start + 0.5 * (tokens + 1.0))

    @staticmethod
    def floor_s(cost: StepCost, new: int, context_tokens: float = 0.0) -> float:
        """Return what no step can go below: bytes over peak bandwidth and FLOPs over peak rate, in s."""
        gpu, ranks = cost.gpu, cost.tensor_parallel
        tokens, width = new + cost.background_tokens, NUMBER_FORMATS[cost.number_format] / 8
        read = read_parameters(cost.model, tokens) * width + context_tokens * cost.model.kv_bytes_per_token
        peak = gpu.gemm[cost.number_format if cost.number_format in gpu.gemm else "bf16"].peak_flops
        compute_s = 2.0 * tokens * cost.model.active_layer_parameters / (peak * ranks)
        return max(read / (gpu.memory_bandwidth_bytes_per_s * ranks), compute_s)

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._files = 0
        self.services: dict[str, ServiceRuntime] = {}
        """Runtime of the services of the last run."""
        build = simulator.world.assemble

        def spy(*args: Any) -> Any:
            world = build(*args)
            self.services = world.services
            return world

        monkeypatch.setattr(simulator.world, "assemble", spy)

    def policies(self, **names: object) -> LlmPolicies:
        """Policies by name, or as they are."""
        return LlmPolicies(
            **{
                decision: find(decision, name)() if isinstance(name, str) else name
                for decision, name in names.items()
            }
        )

    def llm(self, kv_loading: object = "compute_only", **fields: Any) -> LlmService:
        """An LLM service: Llama-2-7B on the device ``gpu``."""
        others = ("batching", "routing", "recovery", "autoscaling", "decoding", "node_order", "queueing")
        chosen = {name: fields.pop(name) for name in others if name in fields}
        return LlmService(
            **{
                "kind": "llm",
                "model": "llama-2-7b",
                "gpus": "gpu",
                "engine": "vllm-0.6",
                "policies": self.policies(kv_loading=kv_loading, **chosen),
                **fields,
            }
        )

    def trace(self, rows: Sequence[Sequence[Any]], service: str = "chat", **fields: Any) -> CsvTrace:
        """Requests (arrival in s, input tokens, output tokens[, hash ids])."""
        self._files += 1
        path = self._folder / f"trace{self._files}.csv"
        names = ("arrival_s", "input_tokens", "output_tokens", "hash_ids")[: len(rows[0])]
        lines = [
            ",".join(" ".join(map(str, cell)) if isinstance(cell, list) else repr(cell) for cell in row)
            for row in rows
        ]
        path.write_text("\n".join((",".join(names), *lines)) + "\n")
        return CsvTrace(trace="csv", service=service, path=str(path), **fields)

    def questions(
        self,
        graphs: Sequence[AnswerGraph],
        arrivals_s: Sequence[float] = (),
        prompt_tokens: int = 20,
        service: str = "chat",
        **fields: Any,
    ) -> GraphTrace:
        """Questions with these answers, all at time 0 unless arrivals are given."""
        self._files += 1
        path = self._folder / f"questions{self._files}.jsonl"
        lines = [
            json.dumps(
                {
                    "arrival_s": arrivals_s[i] if arrivals_s else 0.0,
                    "prompt_tokens": prompt_tokens,
                    "category": graph.category,
                    "suitable": graph.suitable,
                    "nodes": [
                        {
                            "id": node,
                            "tokens": graph.node_tokens[node],
                            "plan_tokens": graph.plan_tokens[node],
                            "parents": list(graph.parents[node]),
                            "difficulty": graph.difficulty[node],
                        }
                        for node in range(len(graph))
                    ],
                }
            )
            for i, graph in enumerate(graphs)
        ]
        path.write_text("\n".join(lines) + "\n")
        return GraphTrace(trace="graph", service=service, path=str(path), **fields)

    def random_graph(self, rng: random.Random, most_nodes: int = 9, longest: int = 80) -> AnswerGraph:
        """Any shape: independent nodes, chains, and what lies between."""
        n = rng.randint(1, most_nodes)
        density = rng.choice([0.0, 0.2, 0.5, 1.0])
        parents = tuple(
            tuple(it for it in range(node) if rng.random() < density / (1 if density == 1.0 else node) ** 0.5)
            for node in range(n)
        )
        if density == 1.0:  # a chain: all earlier nodes would be one as well
            parents = tuple((node - 1,) if node else () for node in range(n))
        return AnswerGraph(
            tuple(rng.randint(1, longest) for _ in range(n)),
            tuple(rng.randint(1, 16) for _ in range(n)),
            parents,
            tuple(rng.random() for _ in range(n)),
            rng.choice(["math", "generic"]),
            rng.random() < 0.5,
        )

    def synthetic(self, service: str = "chat", **fields: Any) -> Synthetic:
        """Requests of 100 tokens in and 10 out, at once unless there is a rate."""
        base: dict[str, Any] = {"trace": "synthetic", "input_tokens": 100, "output_tokens": 10}
        if "rate" not in fields:
            base["arrivals"] = AtOnce()
        return Synthetic(service=service, **{**base, **fields})

    def scenario(
        self,
        workload: object,
        service: LlmService | None = None,
        memory: float | None = None,
        gpu: str = "a100-80g-sxm",
        tiers: dict[str, DeviceSpec] | None = None,
        **fields: Any,
    ) -> Scenario:
        """One service, one workload (or a dict of either), a GPU device and the storage that is given."""
        return Scenario(
            **{
                "version": 1,
                "name": "lab",
                "devices": {"gpu": DeviceSpec(gpu, memory=memory), **(tiers or {})},
                "services": {"chat": service or self.llm()},
                "workloads": workload if isinstance(workload, dict) else {"work": workload},
                **fields,
            }
        )

    def run(self, scenario: Scenario, **options: Any) -> RunResult:
        """Run it."""
        return simulate(scenario, **options)

    def columns(self, result: RunResult, service: str = "chat") -> dict[str, NDArray[Any]]:
        """Columns of the requests' table in the order of their numbers."""
        table = result.requests[service]
        order = np.argsort(table.column("request"), kind="stable")
        return {name: table.column(name)[order] for name in table.schema}

    def ttft_s(self, scenario: Scenario) -> float:
        """TTFT of a scenario's only request."""
        columns = self.columns(self.run(scenario))
        (ttft_s,) = columns["first_token_s"] - columns["arrival_s"]
        return float(ttft_s)

    def random_rows(self, rng: random.Random, block: int, longest: int, answer: int) -> list[list[Any]]:
        """Arrivals with ties, short and long prompts, and prefixes that several requests share."""
        rate = rng.choice([0.5, 3, 20, 200])
        time_s, fresh = 0.0, 10**7
        rows: list[list[Any]] = []
        for _ in range(rng.choice([3, 10, 30, 60])):
            if rng.random() > 0.2:
                time_s += rng.expovariate(rate)
            tokens = max(1, int(longest * rng.random() ** 2))
            row: list[Any] = [time_s, tokens, max(1, int(answer * rng.random() ** 2))]
            if block:
                blocks = -(-tokens // block)
                shared, family = rng.randint(0, blocks), 10_000 * rng.randrange(4)
                row.append([family + i for i in range(shared)] + [fresh + i for i in range(blocks - shared)])
                fresh += blocks
            rows.append(row)
        return rows

    def random_scenario(self, seed: int, tight: bool = False) -> Scenario:
        """Any policies, tiers, shares, replicas; `tight`: GPU memory for a few requests and small tiers."""
        rng = random.Random(seed)
        names = list(TIERS)[: rng.choice([0, 1, 2, 3])]
        block = rng.choice([16, 32, 128] if names else [0, 16, 32, 128])
        capacities = [1e8, 1e9, 20e9] if tight else [1e9, 20e9, 500e9]
        tiers = {
            name: DeviceSpec(
                TIERS[name], capacity=rng.choice(capacities), bandwidth=rng.choice([None, 0.5e9, 4e9, 12e9])
            )
            for name in names
        }
        batching: object = ChunkedPrefill(
            token_budget=rng.choice([16, 64, 512, 2048]), max_sequences=rng.choice([None, None, 1, 3, 16])
        )
        if rng.random() < 0.15:
            batching = FluctuatingBudget(low=rng.choice([1, 100]), high=rng.choice([128, 512]))
        service = self.llm(
            rng.choice(list(policies("kv_loading"))),
            batching=batching,
            routing=rng.choice(list(policies("routing"))),
            model="llama-2-7b" if tight else rng.choice(["llama-2-7b", "llama-3.1-8b"]),
            engine=rng.choice(["vllm-0.6", "vllm-0.12"]),
            tensor_parallel=1 if tight else rng.choice([1, 1, 2]),
            replicas=rng.choice([1, 1, 2, 3]),
            kv_tiers=tuple(names),
            kv_write=rng.choice(["write_back", "write_through"]),
            kv_bits=rng.choice([16, 8, 3]),
            prefix_cache=rng.random() < 0.8,
            dequantisation_s_per_token=rng.choice([0.0, 1e-6]),
            io_chunk_tokens=rng.choice([16, 100, 128]),
            background_share=rng.choice([0.0, 0.0, 0.5, 0.9]),
            background_context_tokens=rng.choice([0, 2000]),
        )
        longest = rng.choice([100, 600, 1500] if tight else [40, 600, 6000])
        rows = self.random_rows(rng, block, longest, rng.choice([1, 30, 400]))
        stored = (
            Stored(rng.choice(names), share=rng.choice([1.0, 0.5, 0.1]))
            if names and rng.random() < 0.7
            else None
        )
        return self.scenario(
            self.trace(rows, hash_block_tokens=block or 512, stored=stored),
            service,
            memory=rng.choice([17.7e9, 18e9, 18.5e9, 19.5e9]) if tight else None,
            tiers=tiers,
            seed=seed,
            horizon=rng.choice([None, None, 1.0, 4.0]),
        )


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The laboratory."""
    return Lab(tmp_path, monkeypatch)
