"""Mixtures of experts: how fast grouped products run against dense ones, fitted to kernel tables.

A layer of experts is two grouped products over the experts that tokens are routed to. Their weights are read at the
rate of dense products, but the arithmetic reaches only `expert_share` of the dense rate, least so on recent GPUs; and
sorting tokens by expert takes `expert_launch_s` per layer, however few they are.

Rows that a fit takes: 16-bit experts, tokens spread evenly, none suspect; of large tables a sample, as many of each
number of tokens.

``python -m calibration.fits.experts FOLDER`` prints all fits.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

import numpy as np

from calibration.command_line import data_parser, kernel_tables, run
from calibration.fits.regression import Array, Form, Regression, regress
from calibration.fits.tables import describe, gpu_profile, number_format, read, stratified, values
from calibration.table import Measurement
from devices.profiles import GpuProfile
from simulator.serving.kernels import gemm_s, tiled

TABLES: Mapping[str, tuple[str, str]] = {
    "h100-80g-sxm": ("aiconfigurator", "h100_sxm/moe_*.parquet"),
    "h200-sxm": ("aiconfigurator", "h200_sxm/moe_*.parquet"),
    "b200-sxm": ("aiconfigurator", "b200_sxm/moe_*.parquet"),
    "l40s": ("aiconfigurator", "l40s/moe_*.parquet"),
}
"""Kind and file of the table that each GPU is fitted to; the A100's has no evenly spread tokens, the RTX PRO
6000's only one shape."""

SAMPLE = 2000
WIDTH = 2.0
"""Bytes per value of 16-bit experts."""


def expert_rows(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the rows that a fit takes (see the module)."""
    rows = [
        row
        for row in measurements
        if row.bench == "moe"
        and number_format(row) == "bf16"
        and row.parameters.get("distribution", "balanced") == "balanced"
    ]
    return stratified(rows, SAMPLE, lambda row: row.number("tokens"))


def expert_columns(rows: Sequence[Measurement]) -> dict[str, Array]:
    """Return what a GPU computes in each row, columns by name.

    ``touched``: experts that tokens are routed to (uniformly, unless the row names their number); ``rows``: routed
    tokens; ``inner`` and ``hidden``: widths of an expert on this GPU.
    """

    def column(name: str, missing: float | None = None) -> Array:
        return np.array([float(row.parameters.get(name, missing)) for row in rows])  # type: ignore[arg-type]

    experts, chosen, tokens = column("experts"), column("top_k"), column("tokens")
    groups = column("expert_parallel", 1.0)
    uniform = experts * (1 - (1 - chosen / experts) ** tokens) / groups
    named = column("activated_experts", np.nan)
    return {
        "touched": np.where(np.isnan(named), uniform, named),
        "rows": tokens * chosen / groups,
        "inner": column("intermediate") / column("tensor_parallel", 1.0),
        "hidden": column("hidden"),
        "tokens": tokens,
    }


def expert_form(gpu: GpuProfile) -> Form:
    """Return the time of a layer's experts in s as a form over the columns of `expert_columns`."""
    rate = gpu.gemm["bf16"]

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        rows, touched = table["rows"], table["touched"]
        padded = touched * tiled(rows / touched)
        time_s: Array = np.full(len(rows), constants["expert_launch_s"])
        for inputs, outputs in (
            (table["hidden"], 2 * table["inner"]),
            (table["inner"], table["hidden"]),
        ):
            time_s = time_s + gemm_s(
                rate,
                WIDTH * (touched * inputs * outputs + rows * (inputs + outputs)),
                2.0 * padded * inputs * outputs,
                inputs,
                rows * inputs,
                gpu.memory_bandwidth_bytes_per_s * rate.memory_efficiency,
                constants["expert_share"] * rate.peak_flops * rate.efficiency,
            )
        return time_s

    return form


def fit_experts(measurements: Sequence[Measurement], gpu: GpuProfile, bootstraps: int = 200) -> Regression:
    """Fit the experts of one GPU; groups are the shapes of the layers."""
    rows = expert_rows(measurements)
    table = expert_columns(rows)
    return regress(
        expert_form(gpu),
        table,
        values(rows),
        {"expert_share": 0.6, "expert_launch_s": 2e-5},
        bounds={"expert_share": (0.1, 1.5), "expert_launch_s": (1e-6, 1e-3)},
        groups=list(zip(table["inner"], table["hidden"], strict=True)),
        bootstraps=bootstraps,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fits; return the exit status."""
    return run(_run, data_parser("Fit mixtures of experts on published tables."), argv)


def _run(arguments: Namespace) -> None:
    folder = kernel_tables(arguments.data)
    for gpu, (kind, pattern) in TABLES.items():
        rows = read(folder, kind, pattern)
        fit = fit_experts(rows, gpu_profile(gpu))
        print(describe(gpu, fit))
        tokens = expert_columns(expert_rows(rows))["tokens"]
        for low, high in ((0, 64), (65, 1024), (1025, 1e9)):
            part = fit.errors[(tokens >= low) & (tokens <= high)]
            if len(part):
                print(f"  {low:g} to {high:g} tokens: median ratio {np.exp(np.median(part)):.2f}")


if __name__ == "__main__":
    sys.exit(main())
