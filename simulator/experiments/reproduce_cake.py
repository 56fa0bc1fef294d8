"""The Cake paper's published speed-ups beside ours.

A cell is one prompt alone whose KV is stored beforehand, served by three policies. The published numbers are
targets only: no output comes from them. How the paper's words become a scenario:

- "Gbit" is 2**30 bit: 32 Gbit/s behaves as 4 GiB/s in its figures.
- A share u of the GPU is a background that takes 1 - u of the 512-token budget of every step. What the background
  attends to is not stated; half the prompt is assumed, the mean over a prefill of the same length.
- Storage is a delay of bytes over bandwidth, so the disk has no latency and no cost per operation.
- Llama-3.1-70B is served in FP8.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from devices.catalogue import engine_fit, load_profile, profile_names
from devices.profiles import GpuProfile
from simulator.experiments.cells import (
    GPUS,
    MEASURED,
    TOKENS,
    Column,
    number,
    one_of,
    placement_fault,
    read_cells,
)
from simulator.experiments.evidence import stand_ins
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.models import model_names
from simulator.workloads.arrival_spec import AtOnce
from simulator.workloads.spec import Stored, Synthetic
from simulator.world import simulate

GBIT_BYTES_PER_S = 2**30 / 8
"""Bytes per second of the paper's Gbit/s."""

ENGINE = "vllm-0.6"
"""The paper's engine."""

POLICIES = ("compute_only", "io_only", "cake")
"""Policies whose ratios the paper prints."""

BASELINES = ("io_only", "compute_only")
"""Policies over which Cake's speed-up is printed."""

FP8_MODEL = "llama-3.1-70b"
"""The paper's model that is served in 8 bits."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    return {
        "model": one_of("model", model_names()),
        "gpu": one_of("gpu", profile_names("gpu")),
        "num_gpus": GPUS,
        "bandwidth_gbps": number(1e-3, 1e6),
        "prompt_tokens": TOKENS,
        "share": number(1 / 512, 1),
        "kv_bits": kv_bits,
    }


def kv_bits(text: str) -> int:
    """Read the bits of a stored KV element."""
    bits = float(text)
    if bits not in (16, 8, 3):
        raise ValueError(f"{text!r}; allowed: 16, 8, 3")
    return int(bits)


def published_cells() -> list[dict[str, Any]]:
    """Return the 21 cells of the paper that this project compares itself with."""
    return read(Path(__file__).parent / "published" / "cake.csv")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns ``published_over_...`` may hold what was published."""
    figures = {f"published_over_{name}": MEASURED for name in BASELINES}
    return read_cells(path, columns(), figures, lambda row: placement_fault(cell_scenario(row, "cake")))


def precision(row: Mapping[str, Any]) -> Literal["fp8"] | None:
    """Return the number format of a cell's weights; None: that of the model."""
    return "fp8" if row["model"] == FP8_MODEL else None


def takes_part_in_fit(row: Mapping[str, Any]) -> bool:
    """Whether a published cell is one that constants of the engine were fitted to (`calibration.cake_engine`).

    Not the one whose weights are expanded on the fly: a constant for that would be that cell's own.
    """
    return precision(row) is None


def cell_scenario(row: Mapping[str, Any], policy: str) -> Scenario:
    """Return the scenario of one cell under one policy."""
    service = LlmService(
        kind="llm",
        model=row["model"],
        gpus="gpu",
        tensor_parallel=row["num_gpus"],
        engine=ENGINE,
        precision=precision(row),
        # The cells are about time: whatever the paper ran must fit.
        memory_utilization=1.0,
        activation_memory=0.0,
        kv_tiers=("disk",),
        kv_bits=row["kv_bits"],
        background_share=1.0 - row["share"],
        background_context_tokens=row["prompt_tokens"] // 2,
        policies=LlmPolicies(kv_loading=find("kv_loading", policy)()),
    )
    disk = DeviceSpec("ideal-store", bandwidth=row["bandwidth_gbps"] * GBIT_BYTES_PER_S, capacity=1e15)
    prompt = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=row["prompt_tokens"],
        output_tokens=1,
        requests=1,
        arrivals=AtOnce(),
        stored=Stored("disk"),
    )
    return Scenario(
        version=1,
        name="cake-cell",
        devices={"gpu": DeviceSpec(row["gpu"]), "disk": disk},
        services={"chat": service},
        workloads={"chat": prompt},
        record_intervals=False,
    )


def cell_ttft_s(row: Mapping[str, Any], policy: str) -> float:
    """Return the TTFT of one cell under one policy, in s."""
    table = simulate(cell_scenario(row, policy)).requests["chat"]
    return float(table.column("first_token_s")[0] - table.column("arrival_s")[0])


def reproduce_cake(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and ours.

    Parameters
    ----------
    cells
        CSV with the columns of `columns`; None: the paper's published cells.
    """
    rows = published_cells() if cells is None else read(cells)
    results = []
    for row in rows:
        ttft_s = {policy: cell_ttft_s(row, policy) for policy in POLICIES}
        results.append(
            {
                **row,
                "speedup_over_io_only": ttft_s["io_only"] / ttft_s["cake"],
                "speedup_over_compute_only": ttft_s["compute_only"] / ttft_s["cake"],
                "ttft_s": ttft_s["cake"],
                "ttft_io_only_s": ttft_s["io_only"],
                "ttft_compute_only_s": ttft_s["compute_only"],
            }
        )
    return results


def notes(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what a reader must know of GPUs on which the engine was not fitted."""
    found: list[str] = []
    for name in dict.fromkeys(row["gpu"] for row in rows):
        found += stand_ins(ENGINE, name)
        gpu = load_profile(name)
        assert isinstance(gpu, GpuProfile)
        evidence = engine_fit(gpu, ENGINE)[0].evidence
        if evidence and evidence["gemm_share"].kind == "assumed":
            found.append(f"efficiencies of {ENGINE} on {name} are assumed")
    return found


def log_rmse(rows: Iterable[dict[str, Any]]) -> float:
    """Return the root mean square of ln(ours / published) over both speed-ups of rows that have them."""
    errors = [
        math.log(row[f"speedup_over_{baseline}"] / row[f"published_over_{baseline}"])
        for row in rows
        for baseline in BASELINES
        if f"published_over_{baseline}" in row
    ]
    return math.sqrt(sum(error * error for error in errors) / len(errors)) if errors else math.nan
