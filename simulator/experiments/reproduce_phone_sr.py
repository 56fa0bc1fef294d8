"""Published latencies of super-resolution (SR) networks on phones beside ours.

The rows of MLPerf Mobile, an input of 540p, took part in no fit; the tiles of AI Hub did (`calibration.fit_phone_sr`),
and stand here so that a change of the model shows. No output comes from the published numbers.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devices.catalogue import unknown_name
from devices.errors import Fault, InputError
from simulator.experiments.tables import text_table
from simulator.streaming.networks import load_network
from simulator.streaming.sr_latency import PRECISIONS, load_soc, sr_latency_s

COLUMNS = ("soc", "network", "input_width", "input_height", "scale", "precision")
"""Columns of a cells file; others are passed through."""

_COUNTS = ("input_width", "input_height", "scale")
_LARGEST = 65536


def published_cells() -> list[dict[str, Any]]:
    """Return the published latencies that this project compares itself with."""
    return read_cells(Path(__file__).parent / "published" / "phone_sr.csv")


def read_cells(path: Path) -> list[dict[str, Any]]:
    """Read a CSV of cells.

    Raises
    ------
    InputError
        With every fault, by row: missing columns, sizes that are no whole numbers, unknown names.
    """
    faults: list[Fault] = []
    rows: list[dict[str, Any]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                message = f"no column {', '.join(missing)}; required: {', '.join(COLUMNS)}"
                raise InputError(Fault(message, file=str(path), line=1))
            for record in reader:
                row: dict[str, Any] = {}
                for name, text in record.items():
                    try:
                        row[name] = _value(name, text or "")
                    except ValueError as error:
                        faults.append(Fault(str(error), name, str(path), reader.line_num, 1))
                rows.append(row)
                if len(row) == len(record):
                    faults += _unknown(row, str(path), reader.line_num)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(Fault(f"cannot be read: {error}", file=str(path))) from error
    if not rows and not faults:
        faults.append(Fault("no rows", file=str(path)))
    if faults:
        raise InputError(faults)
    return rows


def _value(name: str, text: str) -> Any:
    if name.startswith("published_"):
        return float(text)
    if name == "precision" and text not in PRECISIONS:
        raise ValueError(unknown_name("precision", text, PRECISIONS))
    if name not in _COUNTS:
        return text
    number = float(text)
    if not 1 <= number <= _LARGEST or number != int(number):
        raise ValueError(f"{text!r} is not a whole number from 1 to {_LARGEST}")
    return int(number)


def _unknown(row: dict[str, Any], file: str, line: int) -> list[Fault]:
    """Return what the catalogues say against a row."""
    try:
        _latency_ms(row)
    except InputError as error:
        return [Fault(fault.message, fault.path, file, line, 1) for fault in error.faults]
    return []


def _latency_ms(row: dict[str, Any]) -> float:
    network = load_network(row["network"], row["scale"])
    soc = load_soc(row["soc"])
    return 1e3 * sr_latency_s(soc, network, row["input_width"], row["input_height"], row["precision"])


def reproduce_phone_sr(cells: Path | None = None) -> list[dict[str, Any]]:
    """Return one row per cell: its columns, and our ``latency_ms``.

    Parameters
    ----------
    cells
        CSV with the columns of `COLUMNS`; None: the published latencies that come with the package.
    """
    rows = published_cells() if cells is None else read_cells(cells)
    return [{**row, "latency_ms": _latency_ms(row)} for row in rows]


def relative_errors(rows: Iterable[dict[str, Any]]) -> list[float]:
    """Return ours over published, minus one, of the rows that have a published latency."""
    return [
        row["latency_ms"] / row["published_latency_ms"] - 1.0 for row in rows if "published_latency_ms" in row
    ]


def report_phone_sr(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table, published beside ours."""
    header = ["SoC", "network", "input", "scale", "precision", "published ms", "ours ms", "error"]
    cells = []
    for row in rows:
        published = row.get("published_latency_ms")
        cells.append(
            [
                row["soc"],
                row["network"],
                f"{row['input_width']}x{row['input_height']}",
                f"x{row['scale']}",
                row["precision"],
                "" if published is None else f"{published:.3g}",
                f"{row['latency_ms']:.3g}",
                "" if published is None else f"{100 * (row['latency_ms'] / published - 1):+.0f} %",
            ]
        )
    text = text_table(header, cells, left=5)
    errors = sorted(abs(error) for error in relative_errors(rows))
    if errors:
        middle = math.fsum(errors[(len(errors) - 1) // 2 : len(errors) // 2 + 1]) / (2 - len(errors) % 2)
        text += f"\nmedian |error| {100 * middle:.0f} %, greatest {100 * errors[-1]:.0f} %\n"
    return text
