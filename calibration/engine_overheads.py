"""Fit the overheads of an engine version to measured end-to-end latencies.

Run ``python -m calibration.engine_overheads ENGINE CSV`` with a CSV of cells (see
`simulator.experiments.reproduce_serving`) that has ``measured_...`` columns. What is fitted is a handful of constants
per engine version, and at most one share per GPU; everything else comes from architecture, device and kernel tables.
No constant belongs to a cell.

The cells of an engine have one model each, so that they cannot tell the overhead per step from that per layer. The
latter stands in the engine's file, assumed from what small kernels take in kernel tables.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from calibration.command_line import run
from devices.errors import Fault, InputError
from simulator.experiments.reproduce_serving import METRICS, cell_scenario, predict, read
from simulator.serving.build import step_cost
from simulator.serving.step_cost import StepCost

FREE = {
    "vllm-0.6": (
        "step_overhead_s",
        "sequence_overhead_s",
        "a100-40g-sxm/memory_share",
        "h100-80g-sxm/memory_share",
    ),
    "vllm-0.12": (
        "step_overhead_s",
        "sequence_overhead_s",
        "request_overhead_s",
        "allreduce_overhead_s",
        "h100-80g-sxm/gemm_share",
    ),
}
"""What the cells of an engine can tell: overheads, and shares of a GPU's kernel rates as ``GPU/share``. The short
batches of vLLM 0.6 are mostly decode, the closed loads of vLLM 0.12 prefill for seconds on end, in which an H100 at its
power limit does not keep the rate of kernel tables."""

WEIGHTS = {"ttft_s": 0.3, "tpot_s": 1.0, "batch_latency_s": 1.0}
"""Weight of a metric's logarithmic error: TTFT under a closed load hangs on how the benchmark started it."""

START = {
    "step_overhead_s": 1e-3,
    "sequence_overhead_s": 30e-6,
    "request_overhead_s": 10e-3,
    "allreduce_overhead_s": 2e-6,
    "memory_share": 1.0,
    "gemm_share": 0.8,
}
"""Where the search starts."""

BOUNDS = {"memory_share": (0.5, 1.5), "gemm_share": (0.3, 1.2)}
"""Of shares; overheads lie between `SMALLEST_S` and 1 s."""

TOLERANCE = 1e-3
"""Where the search ends: the latencies have small jumps, below which no slope is to be followed."""

SMALLEST_S = 1e-7
"""Lower bound of a fitted overhead: below, it is taken for 0."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit has come to."""

    constants: Mapping[str, float]
    """Fitted values: overheads in s, shares as ``GPU/share``."""
    deviations: Mapping[str, float]
    """Their relative standard errors, from the Jacobian."""
    errors: Mapping[str, NDArray[np.float64]]
    """ln(ours / measured) by metric, in the order of the cells that have it."""
    validation: Mapping[str, float]
    """Median |error| of each metric over cells whose group the constants were not fitted to (see `group_of`)."""


def trial_cost(row: Mapping[str, Any], constants: Mapping[str, float]) -> StepCost:
    """Return the step cost of a cell with trial constants in place of the catalogue's."""
    scenario = cell_scenario(row)
    cost = step_cost(scenario.llm_services["llm"], scenario.devices["gpu"])
    overheads = {name: value for name, value in constants.items() if "/" not in name}
    prefix = f"{row['gpu']}/"
    shares = {
        name.removeprefix(prefix): value for name, value in constants.items() if name.startswith(prefix)
    }
    return StepCost(
        cost.model,
        cost.gpu,
        replace(cost.fit, **shares),  # type: ignore[arg-type]
        replace(cost.engine, **overheads),  # type: ignore[arg-type]
        tensor_parallel=cost.tensor_parallel,
        number_format=cost.number_format,
    )


def log_errors(
    rows: Sequence[Mapping[str, Any]], constants: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """Return ln(ours / measured) by metric."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        ours = predict(row, {"llm": trial_cost(row, constants)})
        for metric in METRICS:
            measured = row.get(f"measured_{metric}")
            value = ours[metric]
            if measured and value:
                errors.setdefault(metric, []).append(math.log(value / measured))
    return {metric: np.array(values) for metric, values in errors.items()}


def search(
    engine: str, rows: Sequence[Mapping[str, Any]], start: Mapping[str, float] | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """Return fitted constants and their relative standard errors: least squares in logarithms, soft loss."""
    names = list(FREE[engine])
    fields = [name.rpartition("/")[2] for name in names]
    origin = [START[field] for field in fields] if start is None else [start[name] for name in names]

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        constants = dict(zip(names, np.exp(logs).tolist(), strict=True))
        errors = log_errors(rows, constants)
        return np.concatenate([WEIGHTS[metric] * values for metric, values in errors.items()])

    lower, upper = np.log([BOUNDS.get(field, (SMALLEST_S, 1.0)) for field in fields]).T
    best = least_squares(
        residuals,
        np.log(np.clip(origin, 1.01 * np.exp(lower), 0.99 * np.exp(upper))),
        bounds=(lower, upper),
        loss="soft_l1",
        f_scale=0.05,
        diff_step=(0.01,) * len(names),
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        max_nfev=40,
    )
    jacobian = np.array(best.jac, dtype=np.float64)
    variance = float((best.fun**2).sum()) / max(1, len(best.fun) - len(names))
    deviations = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance)
    constants = dict(zip(names, np.exp(best.x).tolist(), strict=True))
    return constants, dict(zip(names, deviations.tolist(), strict=True))


def group_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what cells of a group share: GPUs and lengths. They differ in how many requests are in flight."""
    return row["gpu"], row["num_gpus"], row["input_tokens"], row["output_tokens"]


def fit(engine: str, rows: Sequence[Mapping[str, Any]], folds: int = 5) -> Fit:
    """Fit, then fit again without each fifth of the groups to see how the others are predicted."""
    constants, deviations = search(engine, rows)
    held: dict[str, list[float]] = {}
    groups = sorted({group_of(row) for row in rows})
    fold_of = {group: number % folds for number, group in enumerate(groups)} if folds else {}
    for fold in range(folds if folds > 1 else 0):
        without = [row for row in rows if fold_of[group_of(row)] != fold]
        left_out = [row for row in rows if fold_of[group_of(row)] == fold]
        for metric, values in log_errors(left_out, search(engine, without, constants)[0]).items():
            held.setdefault(metric, []).extend(np.abs(values).tolist())
    return Fit(
        constants,
        deviations,
        log_errors(rows, constants),
        {metric: float(np.median(np.expm1(values))) for metric, values in held.items()},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the constants, their standard errors, and the errors of the fit; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m calibration.engine_overheads", description=__doc__)
    parser.add_argument("engine", choices=sorted(FREE))
    parser.add_argument("cells", type=Path)
    return run(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> None:
    rows = [row for row in read(arguments.cells) if row["engine"] == arguments.engine]
    if len({group_of(row) for row in rows}) < 2:
        raise InputError(
            Fault(f"has no two groups of cells of {arguments.engine}", file=str(arguments.cells))
        )
    if not any(row.get(f"measured_{metric}") for row in rows for metric in METRICS):
        raise InputError(Fault("has no column measured_... with a value", file=str(arguments.cells)))
    result = fit(arguments.engine, rows)
    for name, value in result.constants.items():
        print(f"{name:36s} {value:10.4g}  +- {100 * result.deviations[name]:.0f} %")
    for metric, values in result.errors.items():
        relative = np.expm1(np.abs(values))
        print(
            f"{metric}: median |error| {100 * np.median(relative):.1f} %, worst {100 * relative.max():.0f} %, "
            f"cross-validated median {100 * result.validation[metric]:.1f} % ({len(values)} cells)"
        )


if __name__ == "__main__":
    sys.exit(main())
