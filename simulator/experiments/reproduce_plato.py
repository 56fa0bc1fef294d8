"""What Plato and Skeleton-of-Thought publish beside ours.

A cell is a category of questions under one decoding policy, `batch` of them in flight. The papers publish few figures
and hardly any settings, so that these are assumed, for every cell alike:

- one A100-80G where the model fits, else the fewest of them (1, 2, 4, 8) on which it does; Transformers 4.28, the
  engine of Skeleton-of-Thought's measurements;
- questions, answers and dependencies as `simulator.workloads.questions` draws them: 320 per cell, and as many as four
  batches;
- lengths of instructions as the policies have them by default; nothing is cached from one question to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from devices.catalogue import profile_names
from simulator.experiments.cells import GPUS, Column, one_of, placement_fault, read_cells, whole
from simulator.experiments.reproduce_serving import engine_name
from simulator.metrics.quality_surrogate import CAVEAT, WHAT
from simulator.metrics.summary import COMPLETED
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.models import model_names
from simulator.workloads.arrival_spec import Closed
from simulator.workloads.graph_shapes import ByCategory, GraphShape
from simulator.workloads.questions import categories_of
from simulator.workloads.spec import Questions
from simulator.world import RunResult, simulate

GPU, ENGINE = "a100-80g-sxm", "transformers-4.28"
"""What a cell runs on where it does not say."""

QUESTIONS = 320
"""Questions per cell; more where the batch is large."""

DATASETS = ("vicuna-80", "wizardlm-218")
"""Sets of questions; as a category, such a name stands for all of the set."""

POLICIES: Mapping[str, str] = MappingProxyType(
    {
        "ar": "autoregressive",
        "sot": "sot",
        "plato": "plato",
        "plato_no_pipeline": "plato_no_pipeline",
        "plato_no_kv_reuse": "plato_no_kv_reuse",
        "apar_fork": "apar_fork",
        "graph_oracle": "graph_oracle",
    }
)
"""Policies by the names that cells have for them."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    categories = [*DATASETS, *(name for dataset in DATASETS for name in categories_of(dataset))]
    return {
        "category": one_of("category", dict.fromkeys(categories)),
        "model": one_of("model", model_names()),
        "policy": one_of("policy", POLICIES),
        "batch": whole(4096),
    }


def optional_columns() -> dict[str, Column]:
    """Return the columns that a cells file may have."""
    return {"gpu": one_of("gpu", profile_names("gpu")), "num_gpus": GPUS, "engine": engine_name}


@dataclass(frozen=True, slots=True)
class Setting:
    """What the policies of a cell are compared under."""

    category: str
    """Category of questions, or a set of them."""
    model: str
    """Model of the catalogue."""
    batch: int = 1
    """Questions in flight."""
    gpu: str = GPU
    """GPU of the catalogue."""
    num_gpus: int = 1
    """GPUs in the group."""
    engine: str = ENGINE
    """Engine of the catalogue."""
    graph: GraphShape = field(default_factory=ByCategory)
    """Which nodes need which."""
    seed: int = 0
    """Root of the random streams."""

    def scenario(self, policy: object) -> Scenario:
        """Return the setting under a decoding policy."""
        dataset = next(name for name in DATASETS if self.category in (name, *categories_of(name)))
        questions = Questions(
            trace="questions",
            service="chat",
            dataset=dataset,  # type: ignore[arg-type]
            categories=() if self.category == dataset else (self.category,),
            graph=self.graph,
            requests=max(QUESTIONS, 4 * self.batch),
            arrivals=Closed(self.batch),
        )
        service = LlmService(
            kind="llm",
            model=self.model,
            gpus="gpu",
            tensor_parallel=self.num_gpus,
            engine=self.engine,
            prefix_cache=False,
            policies=LlmPolicies(decoding=policy),
        )
        device = DeviceSpec(self.gpu, count=self.num_gpus)
        return Scenario(
            1, "plato-cell", {"gpu": device}, {"chat": service}, {"questions": questions}, seed=self.seed
        )


def setting_of(row: Mapping[str, Any]) -> Setting:
    """Return a cell's setting."""
    given = {name: row[name] for name in ("gpu", "engine") if name in row}
    tries = (row["num_gpus"],) if "num_gpus" in row else (1, 2, 4, 8)
    for gpus in tries:
        setting = Setting(row["category"], row["model"], row["batch"], num_gpus=gpus, **given)
        if placement_fault(setting.scenario(find("decoding", "autoregressive")())) is None:
            break
    return setting


def _misplaced(row: Mapping[str, Any]) -> str | None:
    return placement_fault(setting_of(row).scenario(find("decoding", "autoregressive")()))


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells.

    Raises
    ------
    InputError
        With every fault, by line.
    """
    return read_cells(path, columns(), optional_columns(), _misplaced)


@cache
def decoded(setting: Setting, policy: object) -> RunResult:
    """Simulate a setting under a decoding policy."""
    return simulate(setting.scenario(policy))


def latencies_s(result: RunResult) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the end-to-end latency of each request, in order of their numbers."""
    table = result.requests["chat"]
    assert (table.column("status") == COMPLETED).all(), "a question fits into the memory that is left"
    latency = table.column("finish_s") - table.column("arrival_s")
    ordered: np.ndarray[Any, np.dtype[np.float64]] = latency[np.argsort(table.column("request"))]
    return ordered


def prediction(setting: Setting, policy: object) -> dict[str, Any]:
    """Return what is predicted of a setting under a decoding policy."""
    own = decoded(setting, policy)
    base = decoded(setting, find("decoding", "autoregressive")())
    decoding = own.summary()["services"]["chat"]["decoding"]  # type: ignore[index]
    latency_s = float(latencies_s(own).mean())
    return {
        "latency_s": latency_s,
        "speedup_over_ar": float(latencies_s(base).mean()) / latency_s,
        "prefill_tokens": decoding["prefill_tokens"],
        "net_win_rate_over_ar": decoding["quality_surrogate"]["net_win_rate_over_ar"],
    }


def study_cells() -> Iterator[dict[str, Any]]:
    """Yield the cells that the papers' figures are compared on."""
    for category in ("vicuna-80", *categories_of("vicuna-80"), "wizardlm-218"):
        for policy in POLICIES:
            yield {"category": category, "model": "vicuna-13b", "policy": policy, "batch": 1}
    for model in ("vicuna-7b", "vicuna-33b"):
        for category in categories_of("vicuna-80"):
            yield {"category": category, "model": model, "policy": "sot", "batch": 1}


def reproduce_plato(path: Path | None = None) -> list[dict[str, Any]]:
    """Predict every cell of a CSV, or of the study.

    Returns
    -------
    list
        One mapping per cell: its columns, then ``latency_s``, ``speedup_over_ar``, ``prefill_tokens`` and
        ``net_win_rate_over_ar`` (a surrogate).

    Raises
    ------
    InputError
        Where the CSV cannot be used.
    """
    cells = list(study_cells()) if path is None else read(path)
    return [row | prediction(setting_of(row), find("decoding", POLICIES[row["policy"]])()) for row in cells]


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader of predictions must know."""
    settings = [setting_of(row) for row in rows]
    said = dict.fromkeys(f"{it.model} on {it.num_gpus}x {it.gpu} with {it.engine}" for it in settings)
    return [
        "settings (assumed where a cell does not state them): " + ", ".join(said),
        "dependencies between nodes are assumed per category (docs/calibration.md)",
        f"net_win_rate_over_ar is a {WHAT}. {CAVEAT}",
    ]
