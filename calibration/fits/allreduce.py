"""All-reduce among the GPUs of one machine by message size and number of GPUs, fitted to tables.

Of `bytes` on each of `n` GPUs it takes

    allreduce_latency_s + allreduce_hop_s * (n - 2) + min(direct_s, staged_s)

    direct_s = (n - 1) * bytes / allreduce_direct_bandwidth_bytes_per_s
    staged_s = allreduce_stage_s + bytes * (n - 1)^allreduce_growth / allreduce_bandwidth_bytes_per_s

Small messages: every GPU reads those of all others and sums them itself. Large ones: the GPUs share the sum, which
costs a second stage (another kernel or library too: vLLM changes to NCCL at 8 MiB). `allreduce_growth` says how the
time of a large message grows with the GPUs: about 0 behind a switch that adds, 0.3 in a ring, and above 1 where all
share one path, as over PCIe. GPUs without a direct kernel have the bandwidth 0 for it: every message is staged.

Rows that a fit takes: all-reduces of 16-bit values up to `LARGEST_BYTES`; vLLM's own kernels inside a CUDA graph
(NCCL from 8 MiB on; launched one by one they would show the host's launch time), or NCCL where a GPU has no others.

``python -m calibration.fits.allreduce FOLDER`` prints all fits and checks out of sample.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence

import numpy as np

from calibration.command_line import data_parser, kernel_tables, run
from calibration.fits.regression import Array, Regression, regress
from calibration.fits.tables import columns, describe, median_error, number_format, read, values
from calibration.table import Measurement

TABLES: Mapping[str, tuple[str, str]] = {
    "a100-80g-sxm": ("aiconfigurator", "a100_sxm/comm_custom_allreduce_perf.parquet"),
    "h100-80g-sxm": ("aiconfigurator", "h100_sxm/comm_custom_allreduce_perf.parquet"),
    "h200-sxm": ("aiconfigurator", "h200_sxm/comm_custom_allreduce_perf.parquet"),
    "b200-sxm": ("aiconfigurator", "b200_sxm/comm_custom_allreduce_perf.parquet"),
    "l40s": ("aiconfigurator", "l40s/comm_nccl_perf.parquet"),
}
"""Kind and file of the table that each GPU is fitted to."""

LARGEST_BYTES = 2.0**28
"""Largest message: 16,384 tokens of 8,192 values."""

KERNELS = ("vLLM_custom_graph", "NCCL")
DIRECT = "allreduce_direct_bandwidth_bytes_per_s"

START = {
    "allreduce_latency_s": 4e-6,
    "allreduce_hop_s": 2e-7,
    DIRECT: 2e11,
    "allreduce_stage_s": 4e-6,
    "allreduce_bandwidth_bytes_per_s": 2e11,
    "allreduce_growth": 0.3,
}
BOUNDS = {
    "allreduce_latency_s": (1e-6, 1e-4),
    "allreduce_hop_s": (1e-8, 1e-4),
    DIRECT: (1e9, 2e12),
    "allreduce_stage_s": (1e-7, 1e-4),
    "allreduce_bandwidth_bytes_per_s": (1e9, 2e12),
    "allreduce_growth": (0.01, 2.0),
}


def allreduce_form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
    """Return the time of an all-reduce in s over the columns ``message_bytes`` and ``gpus``.

    Without the constants of direct all-reduce every message is staged, and the stage is part of the latency.
    """
    size, others = table["message_bytes"], table["gpus"] - 1
    staged_s: Array = (
        constants.get("allreduce_stage_s", 0.0)
        + size * others ** constants["allreduce_growth"] / constants["allreduce_bandwidth_bytes_per_s"]
    )
    moved_s = np.minimum(others * size / constants[DIRECT], staged_s) if DIRECT in constants else staged_s
    time_s: Array = constants["allreduce_latency_s"] + constants["allreduce_hop_s"] * (others - 1) + moved_s
    return time_s


def allreduce_rows(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the rows that a fit takes (see the module)."""
    return [
        row
        for row in measurements
        if row.bench == "collective"
        and row.parameters["operation"] == "all_reduce"
        and number_format(row) == "bf16"
        and row.parameters.get("kernel", "NCCL") in KERNELS
        and row.number("gpus_per_node" if "gpus_per_node" in row.parameters else "gpus") == row.number("gpus")
        and row.number("message_bytes") <= LARGEST_BYTES
    ]


def fit_allreduce(measurements: Sequence[Measurement], bootstraps: int = 200) -> Regression:
    """Fit one GPU's all-reduces; groups are message sizes, with all their numbers of GPUs."""
    rows = allreduce_rows(measurements)
    direct = any(row.parameters.get("kernel") == KERNELS[0] for row in rows)
    staged_only = {name: value for name, value in START.items() if name not in (DIRECT, "allreduce_stage_s")}
    start = START if direct else staged_only
    return regress(
        allreduce_form,
        columns(rows, "message_bytes", "gpus"),
        values(rows),
        start,
        bounds={name: BOUNDS[name] for name in start},
        groups=[row.number("message_bytes") for row in rows],
        bootstraps=bootstraps,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fits, and how they foretell Vidur's all-reduces; return the exit status."""
    return run(_run, data_parser("Fit all-reduce on published tables."), argv)


def _run(arguments: Namespace) -> None:
    folder = kernel_tables(arguments.data)
    fits = {}
    for gpu, (kind, pattern) in TABLES.items():
        rows = read(folder, kind, pattern)
        fits[gpu] = fit_allreduce(rows)
        print(describe(gpu, fits[gpu]))
    for gpu, pattern in (("a100-80g-sxm", "network_a100_dgx_*"), ("h100-80g-sxm", "network_h100_dgx_*")):
        others = allreduce_rows(read(folder, "vidur", pattern + "all_reduce.csv.gz"))
        for least, most in ((0, 2**23), (2**23, LARGEST_BYTES)):
            rows = [row for row in others if least <= row.number("message_bytes") <= most]
            ours = allreduce_form(fits[gpu].constants, columns(rows, "message_bytes", "gpus"))
            errors = np.log(ours / values(rows))
            print(
                f"out of sample: Vidur (NCCL) on {gpu}, {least / 2**20:g} to {most / 2**20:g} MiB: median error "
                f"{100 * median_error(errors):.0f} %, median ratio {np.exp(np.median(errors)):.2f}"
            )


if __name__ == "__main__":
    sys.exit(main())
