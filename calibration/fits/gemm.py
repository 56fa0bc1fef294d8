"""Matrix products: what one takes on a GPU, fitted to kernel tables.

A product of `rows` x `inputs` with `inputs` x `outputs` takes (`simulator.serving.kernels.gemm_s`)

    launch_s + cast_s + (memory_s^p + compute_s^p + depth_s^p)^(1/p)

    memory_s  = (width * inputs * (outputs + rows) + 2 * rows * outputs) / (bandwidth * memory_efficiency)
    compute_s = 2 * tiled(rows) * inputs * outputs / (peak_flops * efficiency)
    depth_s   = root_depth_s * sqrt(inputs)
    cast_s    = cast_bytes * rows * inputs / (bandwidth * memory_efficiency)

It is flat in `rows` while reading the weights takes longer than the arithmetic, and the arithmetic grows in steps,
because a kernel works on whole tiles of rows. `depth_s` bounds narrow and deep products, which have too few tiles
for all multiprocessors: one tile walks along its inputs serially, and the longer the way, the more multiprocessors
share it (hence the root, which is empirical). `cast_s` is the kernel that brings 16-bit activations into an 8-bit
format; the tables' 8-bit products hold it.

Rows that a fit takes: products with at least 512 inputs and outputs, in the precision asked for (fp16 counts as
bf16), no suspect ones, and none whose weights may have lain in the cache (`cold`); of large tables a sample, as many
of each number of rows.

``python -m calibration.fits.gemm FOLDER`` prints all fits and checks out of sample.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

import numpy as np

from calibration.command_line import data_parser, kernel_tables, run
from calibration.fits.regression import Array, Form, Regression, regress
from calibration.fits.tables import (
    columns,
    describe,
    gpu_profile,
    number_format,
    read,
    stratified,
    values,
)
from calibration.table import Measurement
from devices.profiles import NUMBER_FORMATS, GemmRate, GpuProfile
from simulator.serving.kernels import gemm_s, tile_rows, tiled

TABLES: Mapping[str, tuple[str, str]] = {
    "a100-80g-sxm": ("aiconfigurator", "a100_sxm/gemm_gemm_perf.parquet"),
    "h100-80g-sxm": ("aiconfigurator", "h100_sxm/gemm_gemm_perf.parquet"),
    "h200-sxm": ("aiconfigurator", "h200_sxm/gemm_gemm_perf.parquet"),
    "b200-sxm": ("aiconfigurator", "b200_sxm/gemm_gemm_perf.parquet"),
    "l40s": ("aiconfigurator", "l40s/gemm_gemm_perf.parquet"),
    "a40": ("vidur", "a40_*_mlp.csv.gz"),
    "rtx-4090": ("llmservingsim", "RTX4090_*_tp?_[dp]e*.csv"),
    "rtx-pro-6000": ("llmservingsim", "RTXPRO6000_*_tp?_[dp]e*.csv"),
}
"""Kind and files of the table that each GPU is fitted to; aiconfigurator's are those of vLLM."""

LEAST_WIDTH = 512
"""Fewest inputs and outputs of a product: no layer of a served model is narrower."""

CACHE_MARGIN = 2.0
"""Weights of up to this many times the largest ones seen to come from the cache are left out."""

SAMPLE = 3000
"""Rows of a large table that a fit takes."""

START = {
    "efficiency": 0.7,
    "memory_efficiency": 0.8,
    "launch_s": 3e-6,
    "root_depth_s": 7e-8,
    "sharpness": 2.0,
}
BOUNDS = {
    "efficiency": (0.1, 1.1),
    "launch_s": (1e-6, 3e-5),
    "root_depth_s": (1e-9, 1e-6),
    "sharpness": (1.0, 8.0),
    "cast_bytes": (1.0, 30.0),
}
PRIORS = {"launch_s": (3e-6, 0.3), "root_depth_s": (7e-8, 0.3), "sharpness": (2.0, 0.3)}
"""Weak: they decide only where a table has wide products alone, or few shapes."""


def gemm_rate(constants: Mapping[str, float], peak_flops: float) -> GemmRate:
    """Return the catalogue's form of fitted constants."""
    return GemmRate(
        peak_flops=peak_flops,
        efficiency=constants["efficiency"],
        memory_efficiency=constants["memory_efficiency"],
        launch_s=constants["launch_s"],
        root_depth_s=constants["root_depth_s"],
        cast_bytes=constants.get("cast_bytes", 0.0),
        sharpness=constants["sharpness"],
    )


def gemm_form(number_format: str, peak_flops: float, bandwidth_bytes_per_s: float) -> Form:
    """Return the time of a product in s as a form over the columns ``m`` (rows), ``n`` (outputs), ``k`` (inputs).

    Parameters
    ----------
    number_format
        Of `devices.profiles.NUMBER_FORMATS`.
    peak_flops, bandwidth_bytes_per_s
        The GPU's peak rates.
    """
    width = NUMBER_FORMATS[number_format] / 8
    written = max(2.0, width)

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        rate = gemm_rate(constants, peak_flops)
        m, n, k = table["m"], table["n"], table["k"]
        time_s: Array = gemm_s(
            rate,
            width * k * (n + m) + written * m * n,
            2.0 * tiled(m, tile_rows(number_format)) * n * k,
            k,
            m * k,
            bandwidth_bytes_per_s * rate.memory_efficiency,
            peak_flops * rate.efficiency,
        )
        return time_s

    return form


def gemm_rows(
    measurements: Sequence[Measurement], format_: str, bandwidth_bytes_per_s: float
) -> list[Measurement]:
    """Return the rows that a fit takes (see the module)."""
    rows = [
        row
        for row in measurements
        if row.bench == "gemm"
        and number_format(row) == format_
        and row.number("m") > 0
        and min(row.number("n"), row.number("k")) >= LEAST_WIDTH
    ]
    return cold(rows, NUMBER_FORMATS[format_] / 8, bandwidth_bytes_per_s)


def cold(rows: Sequence[Measurement], width: float, bandwidth_bytes_per_s: float) -> list[Measurement]:
    """Leave out products whose weights may have lain in the cache, as those of a served model never do.

    Weights that were read faster than memory delivers them came from the cache; so may weights of up to
    `CACHE_MARGIN` times the largest of these.
    """
    weights = [width * row.number("n") * row.number("k") for row in rows]
    cached = [
        size for row, size in zip(rows, weights, strict=True) if size / row.value > bandwidth_bytes_per_s
    ]
    least = CACHE_MARGIN * max(cached, default=0.0)
    return [row for row, size in zip(rows, weights, strict=True) if size >= least]


def gemm_sample(measurements: Sequence[Measurement], gpu: GpuProfile, format_: str) -> list[Measurement]:
    """Return the points of `fit_gemm`, in the order of its errors."""
    rows = gemm_rows(measurements, format_, gpu.memory_bandwidth_bytes_per_s)
    return stratified(rows, SAMPLE, lambda row: row.number("m"))


def fit_gemm(
    measurements: Sequence[Measurement], gpu: GpuProfile, format_: str, bootstraps: int = 200
) -> Regression:
    """Fit the products of one GPU in one number format; groups are the shapes (outputs, inputs)."""
    bandwidth = gpu.memory_bandwidth_bytes_per_s
    rows = gemm_sample(measurements, gpu, format_)
    start = dict(START)
    if NUMBER_FORMATS[format_] == 8:
        start["cast_bytes"] = 5.0
    bounds = {name: BOUNDS[name] for name in start if name in BOUNDS}
    # No kernel reads faster than the fastest of the table; a soft corner would else extrapolate beyond it.
    bytes_read = NUMBER_FORMATS[format_] / 8 * np.prod([*columns(rows, "n", "k").values()], axis=0)
    bounds["memory_efficiency"] = (0.3, float((bytes_read / values(rows)).max()) / bandwidth)
    return regress(
        gemm_form(format_, gpu.gemm[format_].peak_flops, bandwidth),
        columns(rows, "m", "n", "k"),
        values(rows),
        start,
        bounds=bounds,
        groups=[(row.number("n"), row.number("k")) for row in rows],
        priors=PRIORS,
        bootstraps=bootstraps,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fits and the checks out of sample; return the exit status."""
    return run(_run, data_parser("Fit matrix products on published tables."), argv)


def _run(arguments: Namespace) -> None:
    folder = kernel_tables(arguments.data)
    fits: dict[str, Regression] = {}
    for gpu, (kind, pattern) in TABLES.items():
        rows = read(folder, kind, pattern)
        for format_ in sorted({number_format(row) for row in rows if row.bench == "gemm"} & {"bf16", "fp8"}):
            fit = fit_gemm(rows, gpu_profile(gpu), format_)
            print(describe(f"{gpu}, {format_}", fit))
            if format_ == "bf16":
                fits[gpu] = fit
    from calibration.fits.gemm_checks import check  # noqa: PLC0415  # it imports this module

    check(folder, fits)


if __name__ == "__main__":
    sys.exit(main())
