"""Published latencies of super-resolution (SR) networks on phones beside ours.

The rows of MLPerf Mobile, an input of 540p, took part in no fit, though they were known when the form of the model
was chosen (by its cross-validated error on AI Hub's rows). The tiles of AI Hub are part of the fit
(`calibration.fit_phone_sr`) and stand here so that a change of the model shows. No output comes from the published
numbers.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.catalogue import profile_names
from devices.errors import InputError
from simulator.experiments.cells import MEASURED, Column, one_of, read_cells, whole
from simulator.experiments.tables import text_table
from simulator.streaming.networks import load_network
from simulator.streaming.sr_latency import PRECISIONS, load_soc, sr_latency_s

LARGEST_PX = 16384
"""Greatest width and height of an input."""

FITTED_PX = 128 * 128
"""Input pixels of the tiles that the constants were fitted on."""


def columns() -> dict[str, Column]:
    """Return the columns of a cells file and how each is read."""
    return {
        "soc": one_of("SoC", profile_names("soc")),
        "network": str,  # `fault` names the nearest, for EDSR comes in any size
        "input_width": whole(LARGEST_PX),
        "input_height": whole(LARGEST_PX),
        "scale": whole(16),
        "precision": one_of("precision", PRECISIONS),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells; ``published_latency_ms`` may join the columns of `columns`.

    Raises
    ------
    InputError
        With every fault, by line.
    """
    return read_cells(path, columns(), {"published_latency_ms": MEASURED}, fault)


def fault(row: Mapping[str, Any]) -> str | None:
    """Return what the catalogues say against a row; None where nothing."""
    try:
        latency_ms(row)
    except InputError as error:
        return error.faults[0].message
    return None


def published_cells() -> list[dict[str, Any]]:
    """Return the published latencies that this project compares itself with."""
    return read(Path(__file__).parent / "published" / "phone_sr.csv")


def latency_ms(row: Mapping[str, Any]) -> float:
    """Return the latency of one cell, in ms."""
    network = load_network(row["network"], row["scale"])
    soc = load_soc(row["soc"])
    return 1e3 * sr_latency_s(soc, network, row["input_width"], row["input_height"], row["precision"])


def reproduce_phone_sr(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and our ``latency_ms``.

    Parameters
    ----------
    cells
        CSV with the columns of `columns`; None: the published latencies that come with the package.
    """
    rows = published_cells() if cells is None else read(cells)
    return [{**row, "latency_ms": latency_ms(row)} for row in rows]


def notes(rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know: assumed constants and networks, and what lies beyond the fit."""
    said: dict[str, None] = {}
    for row in rows:
        soc, network = load_soc(row["soc"]), load_network(row["network"], row["scale"])
        assumed = [name for name, evidence in soc.evidence.items() if evidence.kind == "assumed"]
        if soc.precisions[PRECISIONS[row["precision"]]].evidence["ops_per_s"].kind == "assumed":
            assumed.append("ops_per_s")
        if assumed:
            said[f"{soc.name}: assumed, not calibrated: {', '.join(assumed)}"] = None
        if network.evidence == "assumed":
            said[f"{network.name}: layers are assumed in part"] = None
    if any(row["input_width"] * row["input_height"] > FITTED_PX for row in rows):
        said["inputs above 128 x 128 pixels: extrapolated through the layers' memory traffic"] = None
    return list(said)


def report_phone_sr(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table, published beside ours, and the errors."""
    header = ["SoC", "network", "input", "scale", "precision", "published ms", "ours ms", "error"]
    cells: list[list[str]] = []
    errors: dict[str, list[float]] = {}
    for row in rows:
        published, ours = row.get("published_latency_ms"), row["latency_ms"]
        size = f"{row['input_width']}x{row['input_height']}"
        measured = error = ""
        if published is not None:
            tile = row["input_width"] * row["input_height"] <= FITTED_PX
            kind = "inputs up to 128 x 128, as in the fit" if tile else "larger inputs, in no fit"
            errors.setdefault(kind, []).append(abs(ours / published - 1))
            measured, error = f"{published:.3g}", f"{100 * (ours / published - 1):+.0f} %"
        names = [row["soc"], row["network"], size, f"x{row['scale']}", row["precision"]]
        cells.append([*names, measured, f"{ours:.3g}", error])
    text = text_table(header, cells, left=5)
    for kind, values in errors.items():
        middle, worst = 100 * statistics.median(values), 100 * max(values)
        text += f"\n{kind}: median |error| {middle:.0f} %, greatest {worst:.0f} %"
    return text + "\n"
