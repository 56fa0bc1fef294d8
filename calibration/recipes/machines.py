"""Machines of our own: device files that stand on ``calibration/measurements`` alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from calibration.measured_device import measured_device
from calibration.recipes.recipe import PROJECT, Found, Recipe, Shelf
from calibration.table import Table, read_measurements

MEASUREMENTS = PROJECT / "calibration" / "measurements"
"""Folder of our own measurements."""

XEON = "cpu-xeon-2-cores"
TORCH = f"torch-{XEON}-2.13"
THREADS = 2


def xeon_table() -> Table:
    """Return the calibration rows of the validation's file that were taken with both threads."""
    table = read_measurements(MEASUREMENTS / "cpu_validation.csv")
    rows = [
        replace(
            row, parameters={key: it for key, it in row.parameters.items() if key not in ("role", "threads")}
        )
        for row in table.rows
        if row.parameters["role"] == "calibration" and row.parameters["threads"] == THREADS
    ]
    software = table.header["software"].replace("1 torch threads", f"{THREADS} torch threads")
    return Table({**table.header, "software": software}, rows)


def xeon(data: Path, shelf: Shelf) -> Found:
    """Fit the two-core CPU and the engine that ran on it to kernels and steps measured on it."""
    found = measured_device([xeon_table()], XEON)
    return Found({TORCH: found.entries["engine"], XEON: found.entries["device"]})


RECIPES = (
    Recipe(
        "the two-core Xeon on its own measurements",
        {XEON: ("values.*", "gemm.*", "engines.*"), TORCH: ("values.*",)},
        (),
        xeon,
    ),
)
"""All of them."""
