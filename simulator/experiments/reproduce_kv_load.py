"""Measured TTFT with the whole prompt computed, and with its stored front loaded, beside ours.

A cell is one model on one group of GPUs with a store of KV behind it, and equal prompts of which a share is stored.
The measured cells are those of the documentation of UCM, a KV store for vLLM, one request at a time. They take part
in no fit. What the documentation does not say is assumed here, for all cells alike:

- UCM ran in vLLM 0.9 to 0.11; `vllm-0.12`, the catalogue's nearest engine of the same generation (V1), stands for
  them, with its token budget per step.
- What is stored is loaded before anything is computed (`LOADING`): UCM loads layer by layer only where it is told
  to. A load is not shared by the GPUs' paths: the store is the narrowest place, and staging in host memory goes on
  beside it. The store holds one copy of MLA's latent, which is read once.
- One operation reads one block of 128 tokens, which is the size of block that the documentation advises. Whole
  blocks are stored: a share of the prompt is rounded down to them.
- GPU memory keeps no prefix (the documented command turns that off), and every cell of one concurrency is a wave of
  requests that arrive together.
- "H100" is the SXM board. All GPUs of a cell are one tensor-parallel group.
- "Disk via NFS/POSIX" and "SSD via host cache (POSIX)" are both `posix-nvme-4x-gen5`, the catalogue's only store
  read through POSIX files, from a published benchmark of KV blocks; "3FS" is `store-3fs-2x2nvme`, by the number of
  its drives. No figure of either is from these cells.
- DeepSeek-R1 in AWQ has 4-bit weights in every layer, expanded on the fly; its scales are not counted.

Two things are not modelled, and the cells that hang on them are counted apart (`missing`): the network between
nodes, so that a group over two of them is taken for one, and kernels with 4-bit weights, which no table of this
project has. Left out as well is that a chunk after the first expands MLA's latents of the context before it again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from devices.catalogue import profile_names
from simulator.experiments.cells import (
    GPUS,
    MEASURED,
    TOKENS,
    Column,
    number,
    one_of,
    placement_fault,
    read_cells,
    whole,
)
from simulator.experiments.reproduce_serving import engine_name, fallbacks
from simulator.experiments.tables import text_table
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.models import load_model, model_names
from simulator.workloads.arrival_spec import AtOnce
from simulator.workloads.spec import Stored, Synthetic
from simulator.world import simulate

BLOCK_TOKENS = 128
"""Tokens per stored block, and per storage operation."""

COMPUTING, LOADING = "compute_only", "io_only"
"""Policies that stand for full computation and for UCM's load."""

METRICS = ("ttft_full_s", "ttft_load_s")
"""What is predicted: mean TTFT with the whole prompt computed, and with its stored share loaded."""

NODE_GPUS = 8
"""GPUs of a server: a larger group reaches over the network (assumed)."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    return {
        "model": one_of("model", model_names()),
        "gpu": one_of("gpu", profile_names("gpu")),
        "num_gpus": GPUS,
        "precision": one_of("precision", ["fp16", "bf16", "fp8", "int8", "int4"]),
        "engine": engine_name,
        "store": one_of("storage device", profile_names("storage")),
        "input_tokens": TOKENS,
        "hit_rate": number(1e-6, 1),
        "concurrency": whole(10_000),
    }


def published_cells() -> list[dict[str, Any]]:
    """Return the measured cells that this project compares itself with."""
    return read(Path(__file__).parent / "published" / "kv_load.csv")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns ``measured_...`` of `METRICS` may hold what was measured.

    Raises
    ------
    InputError
        With every fault, by line.
    """
    figures = {f"measured_{metric}": MEASURED for metric in METRICS}
    return read_cells(path, columns(), figures, lambda row: placement_fault(cell_scenario(row, LOADING)))


def cell_scenario(row: Mapping[str, Any], policy: str) -> Scenario:
    """Return the scenario of one cell under one KV-loading policy."""
    service = LlmService(
        kind="llm",
        model=row["model"],
        gpus="gpu",
        tensor_parallel=row["num_gpus"],
        engine=row["engine"],
        precision=row["precision"],
        block_tokens=BLOCK_TOKENS,
        prefix_cache=False,
        kv_tiers=("store",),
        io_chunk_tokens=BLOCK_TOKENS,
        policies=LlmPolicies(
            batching=ChunkedPrefill(None, max(256, row["concurrency"])),
            kv_loading=find("kv_loading", policy)(),
        ),
    )
    prompts = Synthetic(
        trace="synthetic",
        service="llm",
        input_tokens=row["input_tokens"],
        output_tokens=1,
        requests=row["concurrency"],
        arrivals=AtOnce(),
        stored=Stored("store", share=row["hit_rate"]),
        hash_block_tokens=BLOCK_TOKENS,
    )
    return Scenario(
        version=1,
        name="kv-load-cell",
        devices={"gpu": DeviceSpec(row["gpu"]), "store": DeviceSpec(row["store"])},
        services={"llm": service},
        workloads={"llm": prompts},
        record_intervals=False,
    )


def cell_ttft_s(row: Mapping[str, Any], policy: str) -> float:
    """Return the mean TTFT of one cell under one KV-loading policy, in s."""
    table = simulate(cell_scenario(row, policy)).requests["llm"]
    return float((table.column("first_token_s") - table.column("arrival_s")).mean())


def predict(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the predictions of one cell, by the names of `METRICS`."""
    return {
        metric: cell_ttft_s(row, policy) for metric, policy in zip(METRICS, (COMPUTING, LOADING), strict=True)
    }


def reproduce_kv_load(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and our predictions.

    Parameters
    ----------
    cells
        CSV with the columns of `columns`; None: the measured cells that the project ships.
    """
    rows = published_cells() if cells is None else read(cells)
    return [{**row, **predict(row)} for row in rows]


def errors(rows: Iterable[Mapping[str, Any]], metric: str) -> list[float]:
    """Return ours / measured - 1 of one metric, of the rows that have a measurement."""
    return [row[metric] / row[f"measured_{metric}"] - 1.0 for row in rows if row.get(f"measured_{metric}")]


def missing(row: Mapping[str, Any]) -> str:
    """Return what a cell hangs on that is not modelled; empty where nothing is known."""
    if row["num_gpus"] > NODE_GPUS:
        return "the network between nodes is not modelled"
    return "kernels with 4-bit weights are not calibrated" if row["precision"] == "int4" else ""


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know: engines that stand for others, and what the model leaves out."""
    said = fallbacks(rows)
    for row in rows:
        setup = f"{row['model']} on {row['num_gpus']}x {row['gpu']}"
        if lacks := missing(row):
            said.append(f"{setup}: {lacks}")
        if load_model(row["model"]).kv_latent:
            said.append(f"{setup}: no engine was fitted on a model with latent attention")
    return list(dict.fromkeys(said))


def report_kv_load(rows: list[dict[str, Any]]) -> str:
    """Return the table of cells and the errors, by set-up, by what is modelled and over all, as text."""
    header = ["model", "GPUs", "store", "tokens", "hit", "in flight"]
    for metric in ("full s", "load s"):
        header += [f"{metric} meas.", "ours", ""]
    cells = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        cell = [row["model"], f"{row['num_gpus']}x {row['gpu']}", row["store"], str(row["input_tokens"])]
        cell += [f"{row['hit_rate']:g}", str(row["concurrency"])]
        for metric in METRICS:
            measured = row.get(f"measured_{metric}")
            cell += ["-" if measured is None else f"{measured:.3f}", f"{row[metric]:.3f}"]
            cell += [f"{100 * error:+.0f} %" for error in errors([row], metric)] or [""]
        cells.append(cell)
        groups.setdefault(f"{cell[0]} on {cell[1]}, {cell[2]}", []).append(row)
    lines = [text_table(header, cells, left=3)]
    groups["all whose parts are modelled"] = [row for row in rows if not missing(row)]
    groups["apart, with a part that is not modelled"] = [row for row in rows if missing(row)]
    groups["all"] = rows
    for name, group in groups.items():
        for metric in METRICS:
            if values := [abs(error) for error in errors(group, metric)]:
                lines.append(
                    f"{name}: {metric}: median |error| {100 * statistics.median(values):.0f} %, "
                    f"worst {100 * max(values):.0f} % ({len(values)} cells)"
                )
    return "\n".join(lines)
