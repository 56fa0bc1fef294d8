"""A processor that serves a transformer by itself, fitted to what was measured on it: kernels first, then steps.

The constants are those of `devices.profiles.GpuProfile` and of `simulator.serving.engines.EngineProfile`, and every
form that is fitted is the simulator's own (`simulator.serving.kernels`, `simulator.serving.step_cost`):

1. matrix products give the GEMM rate of the number format,
2. attention kernels give the rate of prefill attention and of reading KV,
3. whole steps give what the engine makes of these rates and what it costs beyond them.

Peaks are the highest rates seen in the measurements: a virtual machine's datasheet says little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.fits.attention import decode_form, prefill_form
from calibration.fits.gemm import gemm_form, gemm_rate
from calibration.fits.regression import Array, Regression, regress
from calibration.fits.tables import columns, values
from calibration.table import Measurement
from devices.errors import Fault, InputError
from devices.profiles import NUMBER_FORMATS, EngineFit, GpuProfile
from simulator.serving.engines import EngineProfile
from simulator.serving.kernels import tile_rows, waves
from simulator.serving.models import ModelSpec
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

GEMM_START = {
    "efficiency": 0.9,
    "memory_efficiency": 0.8,
    "launch_s": 5e-6,
    "root_depth_s": 1e-7,
    "sharpness": 3.0,
}
GEMM_BOUNDS = {
    "efficiency": (0.3, 1.0),
    "memory_efficiency": (0.2, 1.0),
    "launch_s": (1e-7, 1e-3),
    "root_depth_s": (1e-9, 1e-4),
    "sharpness": (1.0, 20.0),
}
PREFILL_START = {"attention_efficiency": 0.5, "attention_launch_s": 1e-5, "attention_token_pairs": 50.0}
PREFILL_BOUNDS = {
    "attention_efficiency": (0.01, 1.0),
    "attention_launch_s": (1e-7, 1e-2),
    "attention_token_pairs": (0.1, 1e4),
}
DECODE_START = {"kv_read_efficiency": 0.5, "kv_read_launch_s": 1e-5, "kv_read_stream_s": 1e-6}
DECODE_BOUNDS = {
    "kv_read_efficiency": (0.01, 1.0),
    "kv_read_launch_s": (1e-7, 1e-2),
    "kv_read_stream_s": (1e-9, 1e-3),
}
STEP_START = {
    "gemm_share": 0.9,
    "attention_share": 0.9,
    "memory_share": 0.9,
    "layer_overhead_s": 1e-4,
    "sequence_overhead_s": 1e-5,
}
STEP_BOUNDS = {
    "gemm_share": (0.05, 20.0),
    "attention_share": (0.05, 20.0),
    "memory_share": (0.05, 20.0),
    "layer_overhead_s": (1e-7, 1e-1),
    "sequence_overhead_s": (1e-9, 1e-1),
}


WORST_STEP_ERROR = 0.5
"""Median relative error of the steps from which on a fit describes nothing."""


def is_natural(name: str, side: str) -> bool:
    """Whether a constant may lie at that end of its range: a time at nothing, an efficiency at the peak.

    The other ends, and both of an engine's shares, are only there to end a search: a constant that has got so far
    explains something else.
    """
    if name.endswith("efficiency"):
        return side == "greatest"
    return side == "least" and not name.endswith("_share")


@dataclass(frozen=True, slots=True)
class ProcessorFit:
    """A processor, the engine that was measured on it, and how well each fit holds."""

    profile: GpuProfile
    """The processor's rates."""
    share: EngineFit
    """What the engine makes of them."""
    engine: EngineProfile
    """What the engine costs beyond them."""
    regressions: Mapping[str, Regression]
    """By what was fitted: ``gemm``, ``attention_prefill``, ``attention_decode``, ``step``."""

    def faults(self) -> list[str]:
        """Return why the fits describe no processor; nothing where they do."""
        found = []
        for what, fit in self.regressions.items():
            if len(fit.errors) < len(fit.constants):
                found.append(f"{what}: {len(fit.errors)} points for {len(fit.constants)} constants")
            found += [
                f"{what}: {name} has run to the {side} that is allowed, {fit.constants[name]:.4g}"
                for name, side in fit.on_bound.items()
                if not is_natural(name, side)
            ]
        error = self.regressions["step"].median_error
        if error > WORST_STEP_ERROR:
            found.append(
                f"step: median error {100 * error:.0f} %, at most {100 * WORST_STEP_ERROR:.0f} % is allowed"
            )
        return found

    def cost(self, model: ModelSpec) -> StepCost:
        """Return the step cost of a model whose weights have the number format that was measured."""
        return StepCost(
            model, self.profile, self.share, self.engine, number_format=next(iter(self.profile.gemm))
        )


def fit_processor(
    rows: Sequence[Measurement], model: ModelSpec, cores: int, memory_bytes: float, bootstraps: int = 0
) -> ProcessorFit:
    """Fit a processor to rows of gemm, attention_prefill, attention_decode, step and copy, all of one number format.

    Parameters
    ----------
    rows
        What was measured; rows of other benchmarks are left aside.
    model
        The model whose steps were measured, its KV and weight bits those of the measurement.
    cores
        Cores that computed, one thread each.
    memory_bytes
        The processor's memory.
    bootstraps
        Resamples behind the intervals of the regressions; 0: none.

    Raises
    ------
    InputError
        Where one of the benchmarks is missing or has but one point.
    """
    by_bench: dict[str, list[Measurement]] = {}
    for row in rows:
        by_bench.setdefault(row.bench, []).append(row)
    wanted = ("gemm", "attention_prefill", "attention_decode", "step", "copy")
    if missing := [name for name in wanted if name not in by_bench]:
        raise InputError(Fault(f"no rows of {', '.join(missing)} to fit a processor to"))
    gemms = by_bench["gemm"]
    shapes = len({(row.number("n"), row.number("k")) for row in gemms})
    counts = {name: len(by_bench[name]) for name in wanted[1:4]} | {"gemm": shapes}
    if few := [name for name, count in counts.items() if count < 2]:
        raise InputError(Fault(f"one point, or products of one shape, are too few to fit: {', '.join(few)}"))
    number_format = str(gemms[0].parameters["precision"])
    width = NUMBER_FORMATS[number_format] / 8
    sizes = columns(gemms, "m", "n", "k")
    peak_flops = float((2.0 * sizes["m"] * sizes["n"] * sizes["k"] / values(gemms)).max())
    # a copy reads and writes every byte
    bandwidth = max(
        2.0 * float(values(by_bench["copy"]).max()),
        float((width * sizes["n"] * sizes["k"] / values(gemms)).max()),
    )

    gemm = _fit_gemm(gemms, number_format, peak_flops, bandwidth, bootstraps)
    prefill = _fit_prefill(by_bench["attention_prefill"], number_format, peak_flops, cores, bootstraps)
    decode = _fit_decode(by_bench["attention_decode"], width, bandwidth, bootstraps)
    profile = GpuProfile(
        name=gemms[0].device,
        title=gemms[0].device,
        memory_bytes=memory_bytes,
        memory_bandwidth_bytes_per_s=bandwidth,
        weight_only_efficiency=1.0,  # 8-bit weights were not measured
        attention_efficiency=prefill.constants["attention_efficiency"],
        attention_launch_s=prefill.constants["attention_launch_s"],
        attention_token_pairs=prefill.constants["attention_token_pairs"],
        kv_read_efficiency=decode.constants["kv_read_efficiency"],
        kv_read_launch_s=decode.constants["kv_read_launch_s"],
        kv_read_stream_s=decode.constants["kv_read_stream_s"],
        multiprocessors=cores,
        expert_share=1.0,  # experts were not measured
        expert_launch_s=0.0,
        allreduce_latency_s=0.0,  # there is no second processor
        allreduce_hop_s=0.0,
        allreduce_direct_bandwidth_bytes_per_s=0.0,
        allreduce_stage_s=0.0,
        allreduce_bandwidth_bytes_per_s=bandwidth,
        allreduce_growth=0.0,
        idle_w=0.0,  # power was not measured
        tdp_w=0.0,
        joules_per_flop=0.0,
        joules_per_byte=0.0,
        gemm={number_format: gemm_rate(gemm.constants, peak_flops)},
        engines={},
    )
    steps = _fit_steps(by_bench["step"], model, profile, bootstraps)
    share, engine = _engine(steps.constants)
    regressions = {"gemm": gemm, "attention_prefill": prefill, "attention_decode": decode, "step": steps}
    return ProcessorFit(profile, share, engine, regressions)


def step_seconds(cost: StepCost, batch: float, context: float, chunk: float, prefix: float) -> float:
    """Return the predicted time of a step as ``step`` rows describe it, in s.

    `batch` sequences decode, each with `context` tokens before the new one, beside `chunk` tokens of a prompt behind
    a `prefix`.
    """
    pairs = chunk_pairs(int(prefix), int(chunk)) if chunk else 0.0
    return cost.step_s(int(batch + chunk), int(batch), batch * (context + 1), pairs)


def _fit_gemm(
    rows: Sequence[Measurement], number_format: str, peak_flops: float, bandwidth: float, bootstraps: int
) -> Regression:
    return regress(
        gemm_form(number_format, peak_flops, bandwidth),
        columns(rows, "m", "n", "k"),
        values(rows),
        GEMM_START,
        bounds=GEMM_BOUNDS,
        groups=[(row.number("n"), row.number("k")) for row in rows],
        bootstraps=bootstraps,
    )


def _fit_prefill(
    rows: Sequence[Measurement], number_format: str, peak_flops: float, multiprocessors: int, bootstraps: int
) -> Regression:
    table = columns(rows, "new_tokens", "prefix_tokens", "heads", "head_dim")
    tile = tile_rows(number_format)
    new, per_pair = table["new_tokens"], 4.0 * table["heads"] * table["head_dim"]
    pairs = new * (table["prefix_tokens"] + 0.5 * (new + 1.0))  # chunk_pairs, of arrays
    return regress(
        prefill_form(peak_flops),
        {
            "work": per_pair * pairs * waves(new, table["heads"], multiprocessors, tile),
            "tokens": per_pair * new,
        },
        values(rows),
        PREFILL_START,
        bounds=PREFILL_BOUNDS,
        bootstraps=bootstraps,
    )


def _fit_decode(rows: Sequence[Measurement], width: float, bandwidth: float, bootstraps: int) -> Regression:
    table = columns(rows, "batch", "context_tokens", "kv_heads", "head_dim")
    streams = table["batch"] * table["kv_heads"]
    return regress(
        decode_form(bandwidth),
        {"kv_bytes": 2.0 * width * streams * table["context_tokens"] * table["head_dim"], "streams": streams},
        values(rows),
        DECODE_START,
        bounds=DECODE_BOUNDS,
        bootstraps=bootstraps,
    )


def _fit_steps(
    rows: Sequence[Measurement], model: ModelSpec, profile: GpuProfile, bootstraps: int
) -> Regression:
    names = ("batch", "context_tokens", "chunk_tokens", "prefix_tokens")
    number_format = next(iter(profile.gemm))

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        share, engine = _engine(constants)
        cost = StepCost(model, profile, share, engine, number_format=number_format)
        points = zip(*(table[name].tolist() for name in names), strict=True)
        return np.array([step_seconds(cost, *point) for point in points])

    return regress(
        form, columns(rows, *names), values(rows), STEP_START, bounds=STEP_BOUNDS, bootstraps=bootstraps
    )


def _engine(constants: Mapping[str, float]) -> tuple[EngineFit, EngineProfile]:
    share = EngineFit(constants["gemm_share"], constants["attention_share"], constants["memory_share"])
    engine = EngineProfile(
        name="eager",
        title="The transformer of calibration.bench.transformer, one kernel after another",
        step_overhead_s=0.0,  # one number of layers cannot tell it from the next
        layer_overhead_s=constants["layer_overhead_s"],
        tensor_parallel_overhead_s=0.0,
        allreduce_overhead_s=0.0,
        sequence_overhead_s=constants["sequence_overhead_s"],
        request_overhead_s=0.0,
        kv_load_overhead_s=0.0,
        default_token_budget=512,
        default_max_sequences=256,
    )
    return share, engine
