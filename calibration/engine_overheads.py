"""Fit the overheads of an engine version to measured end-to-end latencies.

Run ``python -m calibration.engine_overheads ENGINE CSV`` with a CSV of cells (see
`simulator.experiments.reproduce_serving`) that has ``measured_...`` columns. What is fitted is a handful of constants
per engine version, and the achieved share of memory bandwidth per GPU; everything else comes from architecture,
device and kernel tables. No constant belongs to a cell.
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

from simulator.experiments.reproduce_serving import METRICS, cell_scenario, predict, read
from simulator.serving.build import step_cost
from simulator.serving.step_cost import StepCost

FREE = {
    "vllm-0.6": ("step_overhead_s", "layer_overhead_s", "sequence_overhead_s"),
    "vllm-0.12": (
        "step_overhead_s",
        "layer_overhead_s",
        "sequence_overhead_s",
        "request_overhead_s",
        "allreduce_overhead_s",
    ),
}
"""Overheads that the cells of an engine can tell apart."""

WEIGHTS = {"ttft_s": 0.3, "tpot_s": 1.0, "batch_latency_s": 1.0}
"""Weight of a metric's logarithmic error: TTFT under a closed load hangs on how the benchmark started it."""

START_S = {
    "step_overhead_s": 1e-3,
    "layer_overhead_s": 50e-6,
    "sequence_overhead_s": 30e-6,
    "request_overhead_s": 10e-3,
    "allreduce_overhead_s": 2e-6,
}
"""Where the search starts."""

SMALLEST_S = 1e-7
"""Lower bound of a fitted overhead: below, it is taken for 0."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit has come to."""

    constants: Mapping[str, float]
    """Fitted values: overheads in s, memory efficiencies as ``GPU/memory_efficiency``."""
    deviations: Mapping[str, float]
    """Their relative standard errors, from the Jacobian."""
    errors: Mapping[str, NDArray[np.float64]]
    """ln(ours / measured) by metric, in the order of the cells that have it."""
    validation: Mapping[str, float]
    """Median |error| of each metric over cells that the constants were not fitted to (five folds)."""


def trial_cost(row: Mapping[str, Any], constants: Mapping[str, float]) -> StepCost:
    """Return the step cost of a cell with trial constants in place of the catalogue's."""
    scenario = cell_scenario(row)
    cost = step_cost(scenario.services["llm"], scenario.devices["gpu"])
    overheads = {name: value for name, value in constants.items() if "/" not in name}
    efficiency = constants.get(f"{row['gpu']}/memory_efficiency", cost.fit.memory_efficiency)
    return StepCost(
        cost.model,
        cost.gpu,
        replace(cost.fit, memory_efficiency=efficiency),
        replace(cost.engine, **overheads),  # type: ignore[arg-type]
        tensor_parallel=cost.tensor_parallel,
        weight_bits=cost.weight_bits,
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


def search(engine: str, rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return fitted constants and their relative standard errors: least squares in logarithms, soft loss."""
    start = {name: START_S[name] for name in FREE[engine]}
    start |= {f"{gpu}/memory_efficiency": 0.85 for gpu in sorted({row["gpu"] for row in rows})}
    names = list(start)

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = log_errors(rows, dict(zip(names, np.exp(logs).tolist(), strict=True)))
        return np.concatenate([WEIGHTS[metric] * values for metric, values in errors.items()])

    lower = [math.log(0.5 if "/" in name else SMALLEST_S) for name in names]
    upper = [0.0 for _ in names]  # 1 s, or the whole bandwidth
    best = least_squares(
        residuals,
        [math.log(start[name]) for name in names],
        bounds=(lower, upper),
        loss="soft_l1",
        f_scale=0.05,
        diff_step=(0.01,) * len(names),
        max_nfev=40,
    )
    jacobian = np.array(best.jac, dtype=np.float64)
    variance = float((best.fun**2).sum()) / max(1, len(best.fun) - len(names))
    deviations = np.sqrt(np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * variance)
    constants = dict(zip(names, np.exp(best.x).tolist(), strict=True))
    return constants, dict(zip(names, deviations.tolist(), strict=True))


def fit(engine: str, rows: Sequence[Mapping[str, Any]], folds: int = 5) -> Fit:
    """Fit, then fit again without each fifth of the cells to see how the others are predicted."""
    constants, deviations = search(engine, rows)
    held: dict[str, list[float]] = {}
    for fold in range(folds if folds > 1 else 0):
        without = [row for number, row in enumerate(rows) if number % folds != fold]
        left_out = [row for number, row in enumerate(rows) if number % folds == fold]
        for metric, values in log_errors(left_out, search(engine, without)[0]).items():
            held.setdefault(metric, []).extend(np.abs(values).tolist())
    return Fit(
        constants,
        deviations,
        log_errors(rows, constants),
        {metric: float(np.median(np.expm1(values))) for metric, values in held.items()},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the constants, their standard errors, and the errors of the fit."""
    parser = argparse.ArgumentParser(prog="python -m calibration.engine_overheads", description=__doc__)
    parser.add_argument("engine", choices=sorted(FREE))
    parser.add_argument("cells", type=Path)
    arguments = parser.parse_args(argv)
    rows = [row for row in read(arguments.cells) if row["engine"] == arguments.engine]
    result = fit(arguments.engine, rows)
    for name, value in result.constants.items():
        print(f"{name:36s} {value:10.4g}  +- {100 * result.deviations[name]:.0f} %")
    for metric, values in result.errors.items():
        relative = np.expm1(np.abs(values))
        print(
            f"{metric}: median |error| {100 * np.median(relative):.1f} %, worst {100 * relative.max():.0f} %, "
            f"cross-validated median {100 * result.validation[metric]:.1f} % ({len(values)} cells)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
