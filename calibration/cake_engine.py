"""Fit what vLLM 0.6 gets out of an A100 and an H100 to the cells that the Cake paper has published.

Run ``python -m calibration.cake_engine`` to print the constants that stand, as kind *fitted*, in the catalogue
(``engines: vllm-0.6`` of the two GPUs, `weight_only_efficiency`, and the engine's own file). One constant per GPU
and per engine version, none per cell; everything else (weights, FLOPs, KV bytes, all-reduce, memory bandwidth)
comes from architecture and device. The fit needs only the 21 cells and four step times of the paper's text.

The overheads of a step are not fitted here: cells with 512-token steps cannot tell them from efficiency, nor a
tensor-parallel step's own overhead from that of its all-reduces. They come from single-sequence decode latencies
(see the engine's file).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.experiments.reproduce_cake import GBIT_BYTES_PER_S, published_cells
from simulator.serving.engines import load_engine
from simulator.serving.models import load_model
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

BUDGET_TOKENS = 512
IO_CHUNK_TOKENS = 128
STEP_TIMES_S = {"a100-80g-sxm": (0.0388, 0.112), "h100-80g-sxm": (0.0274, 0.0935)}
"""Step time of 512-token chunks number 0 and 63 of LongAlpaca-7B on one GPU (Cake paper, section 3)."""

START = {
    "a100-80g-sxm/gemm_share": 0.85,
    "a100-80g-sxm/attention_share": 0.7,
    "h100-80g-sxm/gemm_share": 0.45,
    "h100-80g-sxm/attention_share": 0.2,
    "a100-80g-sxm/weight_only_efficiency": 0.77,
    "allreduce_overhead_s": 28e-6,
    "kv_load_overhead_s": 28e-3,
}
"""Around where the searches start."""


def cost(row: dict[str, Any], constants: dict[str, float]) -> StepCost:
    """Return the step cost of a cell; `constants` replace those of the catalogue."""
    model = load_model(row["model"])
    gpu = load_profile(row["gpu"])
    assert isinstance(gpu, GpuProfile)
    fit = gpu.engines["vllm-0.6"]
    engine = load_engine("vllm-0.6")

    def value(name: str, catalogue: float) -> float:
        return constants.get(f"{gpu.name}/{name}", constants.get(name, catalogue))

    tokens = round(BUDGET_TOKENS * row["share"])
    return StepCost(
        model,
        replace(gpu, weight_only_efficiency=value("weight_only_efficiency", gpu.weight_only_efficiency)),
        replace(
            fit,
            gemm_share=value("gemm_share", fit.gemm_share),
            attention_share=value("attention_share", fit.attention_share),
        ),
        replace(
            engine,
            allreduce_overhead_s=value("allreduce_overhead_s", engine.allreduce_overhead_s),
            kv_load_overhead_s=value("kv_load_overhead_s", engine.kv_load_overhead_s),
        ),
        tensor_parallel=row["num_gpus"],
        number_format="fp8" if row["model"] == "llama-3.1-70b" else "bf16",
        background_tokens=BUDGET_TOKENS - tokens,
        background_context_tokens=row["prompt_tokens"] / 2,
    )


def speedups(row: dict[str, Any], step: StepCost) -> tuple[float, float]:
    """Return Cake's speed-up over I/O-only and over compute-only for one prompt alone."""
    prompt = row["prompt_tokens"]
    chunk = round(BUDGET_TOKENS * row["share"])
    token_s = step.model.kv_bytes_per_token * row["kv_bits"] / 16 / (row["bandwidth_gbps"] * GBIT_BYTES_PER_S)
    last_s = step.engine.kv_load_overhead_s + step.step_s(1, pairs=prompt)
    compute_s = step.prefill_s(0, prompt, chunk)
    position, now = 0, 0.0
    while position < prompt - int(now / token_s) // IO_CHUNK_TOKENS * IO_CHUNK_TOKENS:
        now += step.step_s(chunk, pairs=chunk_pairs(position, chunk))
        position += chunk
    cake_s = now + last_s
    return (prompt * token_s + last_s) / cake_s, compute_s / cake_s


def residuals(constants: dict[str, float]) -> NDArray[np.float64]:
    """Return ln(ours / published) of every speed-up and step time."""
    errors = []
    for row in published_cells():
        over_io, over_compute = speedups(row, cost(row, constants))
        errors.append(math.log(over_io / row["published_over_io_only"]))
        errors.append(math.log(over_compute / row["published_over_compute_only"]))
    for gpu, times_s in STEP_TIMES_S.items():
        row = {"model": "longalpaca-7b", "gpu": gpu, "num_gpus": 1, "share": 1.0, "prompt_tokens": 0}
        step = cost(row, constants)
        for number, time_s in zip((0, 63), times_s, strict=True):
            errors.append(math.log(step.step_s(512, pairs=chunk_pairs(512 * number, 512)) / time_s))
    return np.array(errors)


def fit(starts: int = 24) -> tuple[dict[str, float], dict[str, float], float]:
    """Fit in logarithms with a soft loss, from several starting points.

    The number of steps until the pointers meet is whole, so the loss has small jumps and several local optima:
    the best of `starts` searches is returned, each from `START` times a random factor between 1/1.5 and 1.5.

    Returns
    -------
    constants, deviations, rmse
        The fitted values, their relative standard errors from the Jacobian, and the root mean square of
        ln(ours / published).
    """
    names = list(START)
    origin = np.log([START[name] for name in names])
    rng = np.random.default_rng(0)

    def trial(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return residuals(dict(zip(names, np.exp(logs).tolist(), strict=True)))

    searches = [
        # A difference step of 1 % sees the slope and not the jumps.
        least_squares(trial, origin + spread, loss="soft_l1", f_scale=0.05, diff_step=(0.01,) * len(names))
        for spread in rng.uniform(-math.log(1.5), math.log(1.5), (starts, len(names)))
    ]
    best = min(searches, key=lambda search: float(search.cost))
    jacobian = np.array(best.jac, dtype=np.float64)
    variance = float((best.fun**2).sum()) / (len(best.fun) - len(names))
    deviations = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance)
    constants = dict(zip(names, np.exp(best.x).tolist(), strict=True))
    rmse = math.sqrt(float((residuals(constants) ** 2).mean()))
    return constants, dict(zip(names, deviations.tolist(), strict=True)), rmse


def main() -> None:
    """Print the constants with their standard errors."""
    constants, deviations, rmse = fit()
    for name, value in constants.items():
        print(f"{name:40s} {value:10.4g}  +- {100 * deviations[name]:.0f} %")
    print(f"rms of ln(ours/published): {rmse:.4f}")


if __name__ == "__main__":
    main()
