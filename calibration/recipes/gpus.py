"""GPUs: matrix products, attention and all-reduce from kernel tables, power from published serving runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from calibration.command_line import KERNELS
from calibration.device_file import Entry
from calibration.fits import allreduce, attention, experts, gemm, power
from calibration.fits.regression import Regression
from calibration.fits.tables import columns, read
from calibration.recipes.recipe import Fit, Found, Path_, Recipe, Shelf, fitted, unit_of
from devices.profiles import GemmRate

TABLES = KERNELS
"""Folder of the kernel tables, below that of all published tables."""

FORMATS = {"aiconfigurator": ("bf16", "fp8"), "vidur": ("bf16",), "llmservingsim": ("bf16",)}
"""Number formats that tables of a kind have; those that a GPU lacks are left out."""


def gemm_patterns(number_format: str) -> tuple[str, ...]:
    """Return the paths of the constants of matrix products in one number format; peak rates are cited."""
    names = (field.name for field in fields(GemmRate))
    return tuple(f"gemm.{number_format}.{name}" for name in names if name not in ("peak_flops", "evidence"))


PREFILL = ("values.attention_*",)
DECODE = ("values.kv_read_*",)
EXPERTS = ("values.expert_*",)
ALLREDUCE = ("values.allreduce_*",)
POWER = ("values.joules_per_flop", "values.joules_per_byte")

FLASH = "16-bit queries and KV, 128 values per head"
"""Attention that the fits take."""

POWER_TABLES: Mapping[str, tuple[str, Path]] = {
    "a100-80g-sxm": ("splitwise", power.SPLITWISE),
    "h100-80g-sxm": ("ml_energy", power.ML_ENERGY),
    "b200-sxm": ("ml_energy", power.ML_ENERGY),
}
"""Source and table of each GPU whose power was measured."""


def products(name: str) -> Recipe:
    """Return the recipe of a GPU's matrix products: every number format that its file and its table have."""
    kind, pattern = gemm.TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        rows = read(data / TABLES, kind, pattern)
        gpu = shelf.gpu(name)
        entries: dict[Path_, Entry] = {}
        fits = {}
        for one in (one for one in FORMATS[kind] if one in gpu.gemm):
            regression = gemm.fit_gemm(rows, gpu, one)
            table = columns(gemm.gemm_sample(rows, gpu, one), "m", "n", "k")
            weights = table["n"] * table["k"] / 1e6
            fit = Fit(regression, table["m"], "Rows (tokens)", weights, "Weights (millions)")
            fits[f"matrix products in {one} on {name}"] = fit
            note = f"{_how(regression)}; weights read from memory, not from the cache"
            entries |= {
                ("gemm", one, constant): fitted(
                    regression, constant, unit_of(constant), kind, note, fit.valid
                )
                for constant in regression.constants
            }
        return Found({name: entries}, fits)

    patterns = tuple(path for one in FORMATS[kind] for path in gemm_patterns(one))
    return Recipe(f"matrix products of {name}", {name: patterns}, (_input(kind, pattern),), run)


def prefills(name: str) -> Recipe:
    """Return the recipe of a GPU's prefill attention."""
    kind, pattern = attention.PREFILL_TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        gpu = shelf.gpu(name)
        rows = read(data / TABLES, kind, pattern)
        table = attention.prefill_columns(attention.prefill_sample(rows), gpu.multiprocessors)
        regression = attention.fit_prefill(rows, gpu)
        fit = Fit(regression, table["new_tokens"], "New tokens", table["heads"], "Heads")
        note = f"{_how(regression)}; {FLASH}"
        return Found(
            {name: _constants(fit, kind, note)},
            {f"prefill attention on {name}": fit},
        )

    return Recipe(f"prefill attention of {name}", {name: PREFILL}, (_input(kind, pattern),), run)


def decodes(name: str) -> Recipe:
    """Return the recipe of a GPU's decode attention."""
    kind, pattern = attention.DECODE_TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        gpu = shelf.gpu(name)
        rows = read(data / TABLES, kind, pattern)
        table = attention.decode_columns(attention.decode_sample(rows, gpu))
        regression = attention.fit_decode(rows, gpu)
        fit = Fit(
            regression, table["context_tokens"], "Context (tokens)", table["kv_bytes"] / 1e6, "KV read (MB)"
        )
        note = f"{_how(regression)}; {FLASH}"
        return Found({name: _constants(fit, kind, note)}, {f"decode attention on {name}": fit})

    return Recipe(f"decode attention of {name}", {name: DECODE}, (_input(kind, pattern),), run)


def mixtures(name: str) -> Recipe:
    """Return the recipe of a GPU's mixtures of experts."""
    kind, pattern = experts.TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        rows = read(data / TABLES, kind, pattern)
        table = experts.expert_columns(experts.expert_rows(rows))
        regression = experts.fit_experts(rows, shelf.gpu(name))
        fit = Fit(regression, table["tokens"], "Tokens", table["touched"], "Experts read")
        note = f"{_how(regression)}; 16-bit experts, tokens spread evenly"
        return Found({name: _constants(fit, kind, note)}, {f"mixtures of experts on {name}": fit})

    return Recipe(f"mixtures of experts of {name}", {name: EXPERTS}, (_input(kind, pattern),), run)


def allreduces(name: str) -> Recipe:
    """Return the recipe of the all-reduces among a GPU's like."""
    kind, pattern = allreduce.TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        rows = read(data / TABLES, kind, pattern)
        table = columns(allreduce.allreduce_rows(rows), "message_bytes", "gpus")
        regression = allreduce.fit_allreduce(rows)
        direct = allreduce.DIRECT in regression.constants
        how = "vLLM's kernels inside a CUDA graph, NCCL from 8 MiB on" if direct else "NCCL"
        fit = Fit(regression, table["message_bytes"], "Message (bytes)", table["gpus"], "GPUs")
        entries = _constants(fit, kind, f"{_how(regression)}; {how}")
        if not direct:
            staged = (
                "NCCL has no direct kernel: every message is staged, and the stage is part of the latency"
            )
            entries |= {
                ("values", absent): Entry(0.0, unit_of(absent), kind, "assumed", staged)
                for absent in (allreduce.DIRECT, "allreduce_stage_s")
            }
        return Found({name: entries}, {f"all-reduce on {name}": fit})

    return Recipe(f"all-reduce of {name}", {name: ALLREDUCE}, (_input(kind, pattern),), run)


def powers(name: str) -> Recipe:
    """Return the recipe of a GPU's energy per operation and byte."""
    source, table = POWER_TABLES[name]

    def run(data: Path, shelf: Shelf) -> Found:
        read_points = power.splitwise_points if source == "splitwise" else power.ml_energy_points
        points = read_points(data / table)[name]
        regression = power.fit_power(name, points)
        watts = np.array([point.power_w for point in points])
        rates = np.array([point.decode.flops / 1e12 for point in points])
        fit = Fit(regression, watts, "Measured power (W)", rates, "TFLOP/s while decoding")
        note = (
            "P = min(TDP, idle + joules_per_flop x FLOP/s + joules_per_byte x byte/s), rates as measured. "
            f"{_how(regression)}"
        )
        return Found({name: _constants(fit, source, note)}, {f"power of {name}": fit})

    return Recipe(f"power of {name}", {name: POWER}, (str(table),), run)


def _constants(fit: Fit, source: str, note: str) -> dict[Path_, Entry]:
    """Return a file's values for all constants of a fit."""
    return {
        ("values", constant): fitted(fit.regression, constant, unit_of(constant), source, note, fit.valid)
        for constant in fit.regression.constants
    }


def _how(fit: Regression) -> str:
    """Return how well a fit holds, in words."""
    return (
        f"Fitted to {len(fit.errors)} points; median error {100 * fit.median_error:.1f} %, "
        f"worst {100 * fit.worst_error:.0f} %"
    )


def _input(kind: str, pattern: str) -> str:
    return f"{TABLES}/{kind}/{pattern}"


RECIPES = (
    *map(products, gemm.TABLES),
    *map(prefills, attention.PREFILL_TABLES),
    *map(decodes, attention.DECODE_TABLES),
    *map(mixtures, experts.TABLES),
    *map(allreduces, allreduce.TABLES),
    *map(powers, POWER_TABLES),
)
"""All of them; mixtures of experts build on matrix products."""
