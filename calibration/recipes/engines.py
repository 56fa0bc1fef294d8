"""Serving engines: overheads, and what a version gets out of a GPU's kernels, from end-to-end latencies.

The measured cells are those of two published tables; the Cake paper's are part of the project.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration import cake_engine, engine_overheads
from calibration.device_file import Entry
from calibration.fits.regression import Array, regress
from calibration.readers import names
from calibration.readers.rows import Row, csv_rows
from calibration.recipes.recipe import (
    UNDETERMINED,
    Fit,
    Found,
    Path_,
    Recipe,
    Shelf,
    fitted,
    undetermined,
    unit_of,
)
from devices.catalogue import engine_fit, load_profile
from devices.profiles import GpuProfile
from simulator.experiments.plato_report import LATENCIES_S
from simulator.serving.engines import load_engine
from simulator.serving.models import load_model
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

BENCH = "anchors_llm_inference_bench_llama2-7b_vllm_1gpu.csv"
GAP = "anchors_silicon_qwen3-32b_h100_vllm.csv"
"""Measured cells below the folder of published tables."""

BENCH_GPUS = {"Nvidia A100 GPU": "a100-40g-sxm", "Nvidia H100 GPU": "h100-80g-sxm"}
"""Boards of LLM-Inference-Bench."""

EAGER = "transformers-4.28"
EAGER_GPU = "a100-80g-sxm"
EAGER_TOKENS = 128, 64
"""Tokens that are prefilled and decoded alone in the Skeleton-of-Thought paper's latencies, on one A100-80G."""

ABOUT = {
    "h100-80g-sxm/gemm_share": "the paper says only H100, its rate suggests the PCIe board",
    "h100-80g-sxm/attention_share": "the paper says only H100, its rate suggests the PCIe board",
    "allreduce_overhead_s": "kernels launched by the host, unlike the CUDA graphs of the device's table",
    "kv_load_overhead_s": "connector look-up and hand-over per request",
}
"""What a reader must know of a constant of the Cake paper's cells."""

CAKE_RANGE = "7B to 13B models in 16 bits, steps of 64 to 512 tokens, prompts of 16384 tokens, 1 or 2 GPUs"
"""Cells of the Cake paper that take part."""

NORMAL_90 = 1.645
"""Half of a normal distribution's 90 % interval, in standard deviations."""


def bench_cells(path: Path) -> list[dict[str, Any]]:
    """Return LLM-Inference-Bench's latencies as cells of `simulator.experiments.reproduce_serving`."""
    columns = ("Hardware", "num_devices", "Model", "in_len_eq_out_len", "batch", "latency_s")
    return [
        {
            "model": names.model(row.text("Model")),
            "gpu": _one_of(row, "Hardware", BENCH_GPUS),
            "num_gpus": int(row.positive("num_devices")),
            "precision": "fp16",
            "engine": "vllm-0.6",
            "concurrency": int(row.positive("batch")),
            "input_tokens": int(row.positive("in_len_eq_out_len")),
            "output_tokens": int(row.positive("in_len_eq_out_len")),
            "load": "batch",
            "measured_batch_latency_s": row.positive("latency_s"),
        }
        for row in csv_rows(path, columns)
    ]


def gap_cells(path: Path) -> list[dict[str, Any]]:
    """Return NVIDIA's closed loads in 16 bits as such cells; rows without a number in flight are left out."""
    columns = (
        "model_path",
        "system",
        "isl",
        "osl",
        "concurrency",
        "tp_size",
        "silicon_ttft_ms",
        "silicon_tpot_ms",
    )
    return [
        {
            "model": names.model(row.text("model_path")),
            "gpu": _one_of(row, "system", {"h100_sxm": "h100-80g-sxm"}),
            "num_gpus": int(row.positive("tp_size")),
            "precision": "bf16",
            "engine": "vllm-0.12",
            "concurrency": int(row.positive("concurrency")),
            "input_tokens": int(row.positive("isl")),
            "output_tokens": int(row.positive("osl")),
            "load": "closed",
            "measured_ttft_s": 1e-3 * row.positive("silicon_ttft_ms"),
            "measured_tpot_s": 1e-3 * row.positive("silicon_tpot_ms"),
        }
        for row in csv_rows(path, columns)
        if row.has("concurrency")
    ]


def _one_of(row: Row, column: str, known: Mapping[str, str]) -> str:
    text = row.text(column)
    if text not in known:
        raise row.fault(f"column {column}: {text!r} is not one of {', '.join(known)}")
    return known[text]


def overheads(engine: str, cells: Sequence[Mapping[str, Any]], source: str) -> Found:
    """Fit what the cells of an engine can tell (`engine_overheads.FREE`)."""
    fit = engine_overheads.fit(engine, cells)
    errors = "; ".join(
        f"{metric} median {100 * float(np.median(np.expm1(np.abs(values)))):.1f} %, cross-validated "
        f"{100 * fit.validation[metric]:.1f} %"
        for metric, values in fit.errors.items()
    )
    note = f"Fitted by calibration/engine_overheads.py to {len(cells)} cells, all its constants together; {errors}"
    models = ", ".join(dict.fromkeys(str(cell["model"]) for cell in cells))
    ranges = (
        f"{low} to {high} {words}" if low < high else f"{low} {words}"
        for column, words in (
            ("num_gpus", "GPUs"),
            ("concurrency", "in flight"),
            ("input_tokens", "tokens in"),
        )
        for low, high in [(min(cell[column] for cell in cells), max(cell[column] for cell in cells))]
    )
    return Found(
        _by_file(
            engine,
            fit.constants,
            fit.deviations,
            source,
            note,
            error=max(fit.validation.values()),
            valid=f"{models}; {', '.join(ranges)}",
        )
    )


def cake(data: Path, shelf: Shelf) -> Found:
    """Fit vLLM 0.6 on A100 and H100 to the cells of the Cake paper."""
    fit = cake_engine.fit()
    note = (
        f"Fitted by calibration/cake_engine.py to {2 * len(cake_engine.cells())} published speed-ups and four step "
        f"times, together with the other vllm-0.6 constants; rms of the log ratio {fit.rmse:.3f}"
    )
    files = _by_file(
        "vllm-0.6",
        fit.constants,
        fit.deviations,
        "cake",
        note,
        error=fit.cross_validated_error,
        valid=CAKE_RANGE,
    )
    for constant, about in ABOUT.items():
        file, path = _place("vllm-0.6", constant)
        files[file][path] = replace(files[file][path], note=f"{note}; {about}")
    return Found(files)


def eager(data: Path, shelf: Shelf) -> Found:
    """Fit the overheads per step and layer of Transformers to three published prefills and decodes."""
    engine = replace(load_engine(EAGER), step_overhead_s=0.0, layer_overhead_s=0.0)
    profile = load_profile(EAGER_GPU)
    assert isinstance(profile, GpuProfile)
    prompt, decoded = EAGER_TOKENS
    layers, kernels_s, measured_s = [], [], []
    for name, (prefill_s, decode_s) in LATENCIES_S.items():
        model = load_model(name)
        cost = StepCost(model, profile, engine_fit(profile, EAGER)[0], engine)
        layers += 2 * [float(model.layers)]
        kernels_s += [
            cost.step_s(prompt, pairs=chunk_pairs(0, prompt)),
            cost.step_s(1, 1, prompt + (decoded + 1) / 2),
        ]
        measured_s += [prefill_s, decode_s / decoded]
    table = {"layers": np.array(layers), "kernels_s": np.array(kernels_s)}

    def form(constants: Mapping[str, float], columns: Mapping[str, Array]) -> Array:
        time_s: Array = (
            constants["step_overhead_s"]
            + constants["layer_overhead_s"] * columns["layers"]
            + columns["kernels_s"]
        )
        return time_s

    start = {"step_overhead_s": 1e-2, "layer_overhead_s": 5e-4}
    latencies_s = np.array(measured_s)
    fit = regress(form, table, latencies_s, start)
    note = (
        "Least squares on three published prefills of 128 tokens (40, 54 and 100 ms) and decodes of 64 (2.735, 3.725 "
        "and 5.506 s) at batch 1, beside the kernels of the GPU's file; worst error "
        f"{100 * fit.worst_error:.0f} %; eager mode is bound by launches, which this additive form only imitates"
    )
    valid = "7B to 33B models in 16 bits on one A100-80G, one sequence, prompts of 128 tokens"
    entries: dict[Path_, Entry] = {
        ("values", name): fitted(fit, name, "s", "sot", note, valid) for name in start
    }
    axes = (table["layers"], "Layers", latencies_s, "Time per step (s)")
    return Found({EAGER: entries}, {f"steps of {EAGER}": Fit(fit, *axes)})


def _place(engine: str, constant: str) -> tuple[str, Path_]:
    """Return the file and path of a constant named ``field`` (of the engine) or ``GPU/field``."""
    gpu, _, name = constant.rpartition("/")
    return gpu or engine, ("engines", engine, name) if name.endswith("_share") else ("values", name)


def _by_file(
    engine: str,
    constants: Mapping[str, float],
    deviations: Mapping[str, float],
    source: str,
    note: str,
    error: float | None = None,
    valid: str = "",
) -> dict[str, dict[Path_, Entry]]:
    """Sort constants into files; intervals follow from relative standard errors."""
    files: dict[str, dict[Path_, Entry]] = {}
    for constant, value in constants.items():
        file, path = _place(engine, constant)
        spread = float(np.exp(np.minimum(NORMAL_90 * deviations[constant], 50.0)))
        low, high = value / spread, value * spread
        if undetermined(low, high):
            entry = Entry(value, unit_of(path[-1]), source, "assumed", f"{note}; {UNDETERMINED}", valid=valid)
        else:
            entry = Entry(value, unit_of(path[-1]), source, "fitted", note, low, high, valid, error)
        files.setdefault(file, {})[path] = entry
    return files


def _computes(engine: str, constants: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the dotted paths of constants by file."""
    computes: dict[str, tuple[str, ...]] = {}
    for constant in constants:
        file, path = _place(engine, constant)
        computes[file] = (*computes.get(file, ()), ".".join(path))
    return computes


RECIPES = (
    Recipe(
        "Transformers on published prefills and decodes",
        {EAGER: ("values.step_overhead_s", "values.layer_overhead_s")},
        (),
        eager,
    ),
    Recipe(
        "vLLM 0.6 on LLM-Inference-Bench's latencies",
        _computes("vllm-0.6", engine_overheads.FREE["vllm-0.6"]),
        (BENCH,),
        lambda data, shelf: overheads("vllm-0.6", bench_cells(data / BENCH), "bench"),
    ),
    Recipe("vLLM 0.6 on the Cake paper's cells", _computes("vllm-0.6", cake_engine.START), (), cake),
    Recipe(
        "vLLM 0.12 on NVIDIA's closed loads",
        _computes("vllm-0.12", engine_overheads.FREE["vllm-0.12"]),
        (GAP,),
        lambda data, shelf: overheads("vllm-0.12", gap_cells(data / GAP), "gap"),
    ),
)
"""All of them. They read GPUs and engines from the catalogue, so that what comes before must be in place."""
