"""Measured power of serving engines, and energy per token, beside those of the whole model: step time and power.

A cell is one model on one group of GPUs with a fixed number of equal requests in flight. The published cells are of
ML.ENERGY's benchmark (Qwen3, dense). Their throughput took part in no fit of step times; their power is what the
constants of H100 and B200 were fitted to, at the measured throughput (`calibration.fits.power`), so that these rows
hold step time and power together against measurement. What the benchmark does not say is assumed for all cells alike:

- prompts of 300 tokens, and answers all as long as their mean;
- as many requests in flight as the mean batch, `REQUESTS_PER_PLACE` of them one after the other at each place;
- the engine is vLLM; the version of the catalogue that is nearest stands for it.

Power is averaged over the run and counts the GPUs of the group, idle power included; energy is per output token.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from simulator.experiments import reproduce_serving
from simulator.experiments.cells import MEASURED, Column, placement_fault, read_cells
from simulator.experiments.tables import text_table
from simulator.scenario.spec import Scenario
from simulator.serving.step_cost import StepCost
from simulator.workloads.spec import Synthetic
from simulator.world import simulate

REQUESTS_PER_PLACE = 2
"""Requests that follow one another at each place: as they are equal, more of them would only repeat the same."""

METRICS = ("power_w", "joules_per_token", "output_tokens_per_s")
"""What is predicted."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    return {name: column for name, column in reproduce_serving.columns().items() if name != "load"}


def published_cells() -> list[dict[str, Any]]:
    """Return the measured cells that this project compares itself with."""
    return read(Path(__file__).parent / "published" / "energy.csv")


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns ``measured_...`` of `METRICS` may hold what was measured.

    Raises
    ------
    InputError
        With every fault, by line.
    """
    figures = {f"measured_{metric}": MEASURED for metric in METRICS}
    return read_cells(path, columns(), figures, lambda row: placement_fault(cell_scenario(row)))


def cell_scenario(row: Mapping[str, Any]) -> Scenario:
    """Return the scenario of one cell."""
    scenario = reproduce_serving.cell_scenario({**row, "load": "closed"})
    requests = scenario.workloads["llm"]
    assert isinstance(requests, Synthetic)
    requests = replace(requests, requests=REQUESTS_PER_PLACE * row["concurrency"])
    return replace(scenario, workloads={"llm": requests})


def predict(row: Mapping[str, Any], costs: Mapping[str, StepCost] = MappingProxyType({})) -> dict[str, float]:
    """Return the predictions of one cell, by the names of `METRICS`; `costs` as in `simulate`."""
    result = simulate(cell_scenario(row), costs=costs)
    requests = result.requests["llm"]
    duration_s = float(requests.column("finish_s").max())
    tokens = len(requests) * row["output_tokens"]
    energy_j = result.devices["gpu"].energy_j
    return {
        "power_w": energy_j / duration_s,
        "joules_per_token": energy_j / tokens,
        "output_tokens_per_s": tokens / duration_s,
    }


def reproduce_energy(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and our predictions.

    Parameters
    ----------
    cells
        CSV with the columns of `columns`; None: the measured cells that the project ships.
    """
    rows = published_cells() if cells is None else read(cells)
    return [{**row, **predict(row)} for row in rows]


def errors(rows: list[dict[str, Any]], metric: str) -> list[float]:
    """Return ln(ours / measured) of one metric, of the rows that have a measurement."""
    return [
        math.log(row[metric] / row[f"measured_{metric}"]) for row in rows if row.get(f"measured_{metric}")
    ]


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know: engines that stand for others, and which figures are in a fit."""
    said = reproduce_serving.fallbacks(rows)
    if any(row.get("measured_power_w") for row in rows):
        said.append(
            "ML.ENERGY's rows: their power is in the fit of the power constants of H100 and B200, "
            "their throughput in no fit"
        )
    return said


def report_energy(rows: list[dict[str, Any]]) -> str:
    """Return the table of cells and the errors as text."""
    header = ["model", "GPUs", "in flight", "in", "out"]
    for metric in ("W", "J/token", "tokens/s"):
        header += [f"{metric} meas.", "ours"]
    cells = []
    for row in rows:
        cell = [row["model"], f"{row['num_gpus']}x {row['gpu']}"]
        cell += [str(row[key]) for key in ("concurrency", "input_tokens", "output_tokens")]
        for metric, digits in (("power_w", 0), ("joules_per_token", 3), ("output_tokens_per_s", 0)):
            measured = row.get(f"measured_{metric}")
            cell += ["-" if measured is None else f"{measured:.{digits}f}", f"{row[metric]:.{digits}f}"]
        cells.append(cell)
    text = text_table(header, cells, left=2)
    for metric in METRICS:
        if values := errors(rows, metric):
            relative = [math.expm1(abs(value)) for value in values]
            text += (
                f"\n{metric}: median |error| {100 * statistics.median(relative):.1f} %, "
                f"worst {100 * max(relative):.0f} % ({len(values)} cells)"
            )
    return text + "\n"
