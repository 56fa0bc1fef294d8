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

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devices.catalogue import profile_names
from devices.errors import Fault, InputError
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.memory import memory_shortfall_bytes
from simulator.serving.models import model_names
from simulator.workloads.spec import AtOnce, Stored, Synthetic
from simulator.world import simulate

GBIT_BYTES_PER_S = 2**30 / 8
"""Bytes per second of the paper's Gbit/s."""

POLICIES = ("compute_only", "io_only", "cake")
"""Policies whose ratios the paper prints."""

COLUMNS = {
    "model": str,
    "gpu": str,
    "num_gpus": int,
    "bandwidth_gbps": float,
    "prompt_tokens": int,
    "share": float,
    "kv_bits": int,
}
"""Columns of a cells file and their types; others are passed through."""


def published_cells() -> list[dict[str, Any]]:
    """Return the 21 cells of the paper that this project compares itself with."""
    return read_cells(Path(__file__).parent / "published" / "cake.csv")


def read_cells(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells.

    Raises
    ------
    InputError
        With every fault, by row: missing columns, values of the wrong type or out of range, unknown names.
    """
    faults: list[Fault] = []
    rows: list[dict[str, Any]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    Fault(
                        f"no column {', '.join(missing)}; required: {', '.join(COLUMNS)}",
                        file=str(path),
                        line=1,
                    )
                )
            for record in reader:
                row: dict[str, Any] = {}
                for name, value in record.items():
                    try:
                        row[name] = _value(name, value or "")
                    except ValueError as error:
                        faults.append(Fault(str(error), name, str(path), reader.line_num, 1))
                rows.append(row)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault(f"cannot be read: {error}", file=str(path))) from error
    if not rows and not faults:
        faults.append(Fault("no rows", file=str(path)))
    if faults:
        raise InputError(faults)
    return rows


def _value(name: str, text: str) -> Any:
    if name not in COLUMNS:
        return float(text) if name.startswith("published_") else text
    kind = COLUMNS[name]
    if kind is str:
        known = model_names() if name == "model" else profile_names("gpu")
        if text not in known:
            raise ValueError(f"unknown {name} {text!r}; allowed: {', '.join(known)}")
        return text
    number = float(text)
    if kind is int and number != int(number):
        raise ValueError(f"{text!r} is not a whole number")
    if not number > 0 or not math.isfinite(number):
        raise ValueError(f"{text!r} is not above 0")
    if name == "share" and number > 1:
        raise ValueError(f"{text!r} is above 1")
    if name == "kv_bits" and number not in (16, 8, 3):
        raise ValueError(f"{text!r}; allowed: 16, 8, 3")
    return kind(number)


def cell_scenario(row: dict[str, Any], policy: str) -> Scenario:
    """Return the scenario of one cell under one policy."""
    service = LlmService(
        kind="llm",
        model=row["model"],
        gpus="gpu",
        tensor_parallel=row["num_gpus"],
        engine="vllm-0.6",
        precision="fp8" if row["model"] == "llama-3.1-70b" else None,
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


def cell_ttft_s(row: dict[str, Any], policy: str) -> float:
    """Return the TTFT of one cell under one policy, in s."""
    scenario = cell_scenario(row, policy)
    short = memory_shortfall_bytes(scenario.services["chat"], scenario.devices["gpu"])
    if short > 0:
        raise InputError(
            Fault(
                f"{row['model']} does not fit on {row['num_gpus']} x {row['gpu']}: {short / 2**30:.1f} GiB short"
            )
        )
    table = simulate(scenario).requests["chat"]
    return float(table.column("first_token_s")[0] - table.column("arrival_s")[0])


def reproduce_cake(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and ours.

    Parameters
    ----------
    cells
        CSV with the columns of `COLUMNS`; None: the paper's published cells.
    """
    rows = published_cells() if cells is None else read_cells(cells)
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


def log_rmse(rows: Iterable[dict[str, Any]]) -> float:
    """Return the root mean square of ln(ours / published) over both speed-ups of rows that have them."""
    errors = [
        math.log(row[f"speedup_over_{baseline}"] / row[f"published_over_{baseline}"])
        for row in rows
        for baseline in ("io_only", "compute_only")
        if f"published_over_{baseline}" in row
    ]
    return math.sqrt(sum(error * error for error in errors) / len(errors)) if errors else math.nan
