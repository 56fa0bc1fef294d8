"""Measured latencies of serving engines beside ours.

A cell is one model on one group of GPUs under one load of equal requests: ``batch``, all at once, or ``closed``,
a fixed number in flight. What a benchmark's table does not say is assumed here, for every cell alike:

- a closed load sends ten requests per place, as benchmark tools do by default;
- vLLM before 0.8 runs without chunked prefill, its default, in prefill batches of up to the model's context; from
  0.8 on (the V1 engine) it always prefills in chunks, of the token budget of `CHUNKING` where an older version's
  overheads stand in;
- no prefix is shared, and the engine's limit on sequences is above the concurrency.

The shipped cells are a part of two published tables, chosen by load and length alone: of
LLM-Inference-Bench (Llama-2-7B) those of 128 and 1,024 tokens; of NVIDIA's closed loads (Qwen3-32B; 1,024 and 4,096
tokens in; 2, 4 and 8 GPUs) with 512 tokens out those of 8, 32 and 128 in flight, and with 128 and 1,024 tokens out
the lightest and the heaviest load, 8 and 128 in flight. The two cells that come out worst of all 90 are among them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devices.catalogue import engine_version, profile_names
from devices.errors import InputError
from simulator.experiments.cells import (
    GPUS,
    MEASURED,
    TOKENS,
    Column,
    one_of,
    placement_fault,
    read_cells,
    whole,
)
from simulator.experiments.evidence import stand_ins
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.engines import load_engine
from simulator.serving.models import load_model, model_names
from simulator.serving.step_cost import StepCost
from simulator.workloads.arrival_spec import AtOnce, Closed
from simulator.workloads.spec import Synthetic
from simulator.world import simulate

REQUESTS_PER_PLACE = 10
"""Requests that a closed load sends for each one in flight (assumed)."""

FAMILY, CHUNKED_SINCE = "vllm", (0, 8)
"""vLLM from this version on prefills in chunks; before, whole prompts in batches of their own are its default."""

CHUNKING = "vllm-0.12"
"""Engine of the catalogue that does."""

FITTED = ("vllm-0.6", "vllm-0.12")
"""Engines whose overheads were fitted to end-to-end latencies."""

METRICS = ("ttft_s", "tpot_s", "batch_latency_s", "output_tokens_per_s")
"""What is predicted."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    return {
        "model": one_of("model", model_names()),
        "gpu": one_of("gpu", profile_names("gpu")),
        "num_gpus": GPUS,
        "precision": one_of("precision", ["fp16", "bf16", "fp8"]),
        "engine": engine_name,
        "concurrency": whole(100_000),
        "input_tokens": TOKENS,
        "output_tokens": TOKENS,
        "load": one_of("load", ["batch", "closed"]),
    }


def engine_name(text: str) -> str:
    """Return an engine's name if the catalogue has that engine in some version."""
    try:
        load_engine(text)
    except InputError as error:
        raise ValueError(error.faults[0].message) from error
    return text


def published_cells() -> list[dict[str, Any]]:
    """Return the measured cells that this project compares itself with."""
    return read(Path(__file__).parent / "published" / "serving.csv")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns ``measured_...`` may hold what was measured."""
    figures = {f"measured_{metric}": MEASURED for metric in METRICS}
    return read_cells(path, columns(), figures, lambda row: placement_fault(cell_scenario(row)))


def cell_scenario(row: Mapping[str, Any]) -> Scenario:
    """Return the scenario of one cell."""
    concurrency = row["concurrency"]
    engine = load_engine(row["engine"])
    batching = ChunkedPrefill(
        token_budget(row["engine"], row["model"]), max(int(engine.default_max_sequences), concurrency)
    )
    service = LlmService(
        kind="llm",
        model=row["model"],
        gpus="gpu",
        tensor_parallel=row["num_gpus"],
        engine=row["engine"],
        precision=row["precision"],
        prefix_cache=False,
        policies=LlmPolicies(batching=batching),
    )
    batch = row["load"] == "batch"
    requests = Synthetic(
        trace="synthetic",
        service="llm",
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        requests=concurrency if batch else REQUESTS_PER_PLACE * concurrency,
        arrivals=AtOnce() if batch else Closed(concurrency),
    )
    return Scenario(
        version=1,
        name="serving-cell",
        devices={"gpu": DeviceSpec(row["gpu"])},
        services={"llm": service},
        workloads={"llm": requests},
        record_intervals=False,
    )


def token_budget(engine: str, model: str) -> int | None:
    """Return the tokens per step of an engine version in these cells; None: as the catalogue's engine has it.

    It follows from the version asked for, not from the one whose overheads stand in for it.
    """
    family, version = engine_version(engine)
    if family != FAMILY:
        return None
    if version < CHUNKED_SINCE:
        return max(2048, load_model(model).context_tokens)
    stands_in = load_engine(engine).name
    if engine_version(stands_in)[1] < CHUNKED_SINCE:
        return int(load_engine(CHUNKING).default_token_budget)
    return None


def predict(
    row: Mapping[str, Any], costs: Mapping[str, StepCost] = MappingProxyType({})
) -> dict[str, float | None]:
    """Return the predictions of one cell, by the names of `METRICS`; `costs` as in `simulate`.

    The output rate of a closed load is taken while it is full: `concurrency` answers in flight, each taking its
    mean end-to-end latency.
    """
    result = simulate(cell_scenario(row), costs=costs)
    summary: Any = result.summary()["services"]
    figures = summary["llm"]
    latency_s = float(result.requests["llm"].column("finish_s").max())
    rate = figures["throughput"]["output_tokens_per_s"]
    if row["load"] == "closed":
        rate = row["concurrency"] * row["output_tokens"] / figures["e2e_s"]["mean"]
    return {
        "ttft_s": figures["ttft_s"]["mean"],
        "tpot_s": figures["tpot_s"]["mean"],
        "batch_latency_s": latency_s if row["load"] == "batch" else None,
        "output_tokens_per_s": rate,
    }


def reproduce_serving(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and our predictions.

    Parameters
    ----------
    cells
        CSV with the columns of `columns`; None: the measured cells that the project ships.
    """
    rows = published_cells() if cells is None else read(cells)
    return [{**row, **predict(row)} for row in rows]


def fallbacks(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know of engines whose constants stand for others."""
    setups = dict.fromkeys((row["engine"], row["gpu"]) for row in rows)
    return list(dict.fromkeys(note for engine, gpu in setups for note in stand_ins(engine, gpu)))


def errors(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return ln(ours / measured) by metric, of the rows that have a measurement."""
    return {
        metric: [
            math.log(row[metric] / row[f"measured_{metric}"])
            for row in rows
            if row.get(f"measured_{metric}") and row[metric]
        ]
        for metric in METRICS
    }


def report_serving(rows: list[dict[str, Any]]) -> str:
    """Return the table of cells and the errors as text."""
    lines = [
        f"{'model':14s} {'GPUs':>16s} {'prec':>4s} {'engine':>9s} {'load':>6s} {'conc':>4s} {'in':>5s} {'out':>5s}"
        f" {'TTFT s':>15s} {'TPOT ms':>13s} {'batch s':>13s} {'tokens/s':>8s}",
        f"{'':71s}{'meas.':>9s} {'ours':>6s} {'meas.':>6s} {'ours':>6s} {'meas.':>6s} {'ours':>6s} {'ours':>8s}",
    ]
    for row in rows:
        shown = []
        for metric, scale, digits in (("ttft_s", 1, 3), ("tpot_s", 1e3, 1), ("batch_latency_s", 1, 2)):
            for value in (row.get(f"measured_{metric}"), row[metric]):
                shown.append("-" if not value else f"{value * scale:.{digits}f}")
        lines.append(
            f"{row['model']:14s} {row['num_gpus']:>2d}x{row['gpu']:>13s} {row['precision']:>4s} "
            f"{row['engine']:>9s} {row['load']:>6s} {row['concurrency']:4d} {row['input_tokens']:5d} "
            f"{row['output_tokens']:5d} {shown[0]:>8s} {shown[1]:>6s} {shown[2]:>6s} {shown[3]:>6s} "
            f"{shown[4]:>6s} {shown[5]:>6s} {row['output_tokens_per_s']:8.0f}"
        )
    for metric, values in errors(rows).items():
        if values:
            relative = [math.expm1(abs(value)) for value in values]
            lines.append(
                f"{metric}: median |error| {100 * statistics.median(relative):.1f} %, "
                f"worst {100 * max(relative):.0f} % ({len(values)} cells)"
            )
    if any(row["engine"] in FITTED for row in rows):
        lines.append(
            "Overheads of vllm-0.6 and vllm-0.12 were fitted to measured cells, those that this project ships among "
            "them (docs/calibration.md)"
        )
    return "\n".join(lines)
