"""Fit what vLLM 0.6 gets out of an A100 and an H100 to the cells that the Cake paper has published.

Run ``python -m calibration.cake_engine`` to print the constants that stand, as kind *fitted*, in the catalogue
(``engines: vllm-0.6`` of the two GPUs, and the engine's own file). Two shares per GPU and two overheads per engine
version, none per cell; everything else (weights, FLOPs, KV bytes, all-reduce, memory bandwidth) comes from
architecture and device. The fit needs only 20 cells and four step times of the paper's text.

The 21st cell, Llama-3.1-70B in FP8 on A100s, takes no part: it is the only one whose weights are expanded on the fly,
so that a constant fitted to it would be its own. `weight_only_efficiency` is assumed from a published kernel benchmark
instead (see the device file), and the cell is a prediction.

The overheads of a step are not fitted here: cells with 512-token steps cannot tell them from efficiency, nor a
tensor-parallel step's own overhead from that of its all-reduces. They come from single-sequence decode latencies
(see the engine's file).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.experiments.reproduce_cake import (
    GBIT_BYTES_PER_S,
    precision,
    published_cells,
    takes_part_in_fit,
)
from simulator.serving.engines import load_engine
from simulator.serving.models import load_model
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

Logs = NDArray[np.float64]
"""Logarithms of ratios or constants."""

BUDGET_TOKENS = 512
IO_CHUNK_TOKENS = 128
STEP_TIMES_S = {"a100-80g-sxm": (0.0388, 0.112), "h100-80g-sxm": (0.0274, 0.0935)}
"""Step time of 512-token chunks number 0 and 63 of LongAlpaca-7B on one GPU (Cake paper, section 3)."""

START = {
    "a100-80g-sxm/gemm_share": 0.85,
    "a100-80g-sxm/attention_share": 0.7,
    "h100-80g-sxm/gemm_share": 0.45,
    "h100-80g-sxm/attention_share": 0.2,
    "allreduce_overhead_s": 28e-6,
    "kv_load_overhead_s": 28e-3,
}
"""Around where the searches start."""

SEARCHES, HELD_OUT_SEARCHES = 24, 6
"""Searches of the fit, and of each that leaves a group out: the latter also start from what the fit has found."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What the fit has come to."""

    constants: Mapping[str, float]
    """Fitted values."""
    deviations: Mapping[str, float]
    """Their relative standard errors, from the Jacobian."""
    errors: Logs
    """ln(ours / published) of every speed-up and step time that the fit has seen."""
    held_out: Logs
    """The same, of fits that have not seen the observation's group (`groups`)."""

    @property
    def rmse(self) -> float:
        """Root mean square of `errors`."""
        return math.sqrt(float((self.errors**2).mean()))

    @property
    def cross_validated_error(self) -> float:
        """Median relative error over `held_out`."""
        return float(np.median(np.expm1(np.abs(self.held_out))))


def cost(row: dict[str, Any], constants: Mapping[str, float]) -> StepCost:
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
        gpu,
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
        number_format=precision(row) or "bf16",
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


def cells() -> list[dict[str, Any]]:
    """Return the published cells that take part in the fit."""
    return [row for row in published_cells() if takes_part_in_fit(row)]


def residuals(constants: Mapping[str, float]) -> Logs:
    """Return ln(ours / published) of every speed-up and step time, in the order of `groups`."""
    errors = []
    for row in cells():
        over_io, over_compute = speedups(row, cost(row, constants))
        errors.append(math.log(over_io / row["published_over_io_only"]))
        errors.append(math.log(over_compute / row["published_over_compute_only"]))
    for gpu, times_s in STEP_TIMES_S.items():
        row = {"model": "longalpaca-7b", "gpu": gpu, "num_gpus": 1, "share": 1.0, "prompt_tokens": 0}
        step = cost(row, constants)
        for number, time_s in zip((0, 63), times_s, strict=True):
            errors.append(math.log(step.step_s(512, pairs=chunk_pairs(512 * number, 512)) / time_s))
    return np.array(errors)


def groups() -> list[str]:
    """Return what each observation is held out with: all of one model on one group of GPUs."""
    labels = [f"{row['model']} on {row['num_gpus']}x {row['gpu']}" for row in cells() for _ in range(2)]
    return labels + [f"longalpaca-7b on 1x {gpu}" for gpu, times_s in STEP_TIMES_S.items() for _ in times_s]


def fit(starts: int = SEARCHES, held_out_starts: int = HELD_OUT_SEARCHES) -> Fit:
    """Fit in logarithms with a soft loss, from several starting points; then again without each group.

    The number of steps until the pointers meet is whole, so the loss has small jumps and several local optima:
    the best of several searches is taken, each from `START` times a random factor between 1/1.5 and 1.5.

    Parameters
    ----------
    starts
        Searches of the fit.
    held_out_starts
        Searches of each fit without a group, one from what the fit has found; 0: no group is held out, and
        `Fit.held_out` is empty.
    """
    every = np.ones(len(groups()), dtype=bool)
    constants, deviations = _search(every, starts)
    errors = residuals(constants)
    held_out = np.empty(len(errors) if held_out_starts else 0)
    for group in dict.fromkeys(groups()) if held_out_starts else ():
        out = np.array([label == group for label in groups()])
        held_out[out] = residuals(_search(~out, held_out_starts - 1, constants)[0])[out]
    return Fit(constants, deviations, errors, held_out)


def _search(
    seen: NDArray[np.bool_], starts: int, found: Mapping[str, float] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the best constants for the observations `seen` and their relative standard errors."""
    names = list(START)
    origin = np.log([START[name] for name in names])
    rng = np.random.default_rng(0)

    def trial(logs: Logs) -> Logs:
        return residuals(dict(zip(names, np.exp(logs).tolist(), strict=True)))[seen]

    spreads = rng.uniform(-math.log(1.5), math.log(1.5), (starts, len(names)))
    beginnings = [origin + spread for spread in spreads]
    if found is not None:
        beginnings.append(np.log([found[name] for name in names]))
    searches = [
        # A difference step of 1 % sees the slope and not the jumps.
        least_squares(trial, beginning, loss="soft_l1", f_scale=0.05, diff_step=(0.01,) * len(names))
        for beginning in beginnings
    ]
    best = min(searches, key=lambda search: float(search.cost))
    jacobian = np.array(best.jac, dtype=np.float64)
    variance = float((best.fun**2).sum()) / (len(best.fun) - len(names))
    deviations = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance)
    constants = dict(zip(names, np.exp(best.x).tolist(), strict=True))
    return constants, dict(zip(names, deviations.tolist(), strict=True))


def main() -> None:
    """Print the constants with their standard errors, and the errors by group, seen and held out."""
    found = fit()
    for name, value in found.constants.items():
        print(f"{name:40s} {value:10.4g}  +- {100 * found.deviations[name]:.0f} %")
    print(
        f"rms of ln(ours/published): {found.rmse:.4f} ({len(found.errors)} observations); each group held out: "
        f"{math.sqrt(float((found.held_out**2).mean())):.4f}, median |error| {100 * found.cross_validated_error:.1f} %"
    )
    labels = np.array(groups())
    for group in dict.fromkeys(groups()):
        seen, unseen = (
            math.sqrt(float((values[labels == group] ** 2).mean()))
            for values in (found.errors, found.held_out)
        )
        print(f"  {group}: {seen:.4f}, held out {unseen:.4f} ({int((labels == group).sum())})")


if __name__ == "__main__":
    main()
