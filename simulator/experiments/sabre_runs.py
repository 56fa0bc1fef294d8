"""Sabre's own outputs beside ours.

Sabre's inputs and outputs are data of others and no part of this package: they are read from the folder ``crosscheck``
of the data that lie beside the project, or wherever `DATA_FOLDER` says. No output comes from them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.experiments.playback_cells import FIGURES, Inputs, figures
from simulator.streaming.json_file import JsonFile

DATA_FOLDER = "HETSIM_DATA"
"""Environment variable: the folder of published data. Default: ``../shared/data`` beside the project's root."""

CROSSCHECK = Path("crosscheck", "sabre")
"""Folder of Sabre's inputs and outputs in it."""

SAME, SAME_MS = 1e-6, 1.0
"""How far a figure of six digits, and a time of whole ms, may lie from Sabre's to count as the same."""

_SCALED = re.compile(r"(\S+) with every bandwidth x ([0-9.]+)")


def data_folder() -> Path:
    """Return the folder of published data: what `DATA_FOLDER` says, else ``../shared/data`` beside the project."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get(DATA_FOLDER) or default)


def sabre_runs(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row per run of Sabre, and what a reader must know.

    Parameters
    ----------
    folder
        Has ``expected.json`` and the inputs that it names.

    Returns
    -------
    list of dict
        Besides the cell and `FIGURES`: ``case``; ``sabre_...`` for what Sabre says of each figure; ``segments`` and
        ``other_levels``, how many there are and how many have another level than Sabre's; ``time_error_ms``, the
        largest difference of a start or end of the segments whose times Sabre's output lists; ``same``, whether all
        but ``rebuffer_events`` is the same as Sabre's, within `SAME` and `SAME_MS`.
    list of str
        Notes.

    Raises
    ------
    InputError
        Where there is no such folder, or a file has faults.
    """
    path = folder / "expected.json"
    if not path.exists():
        message = (
            "Sabre's runs are not there, and they are no part of this package; set the environment variable "
            f"{DATA_FOLDER} to the folder that has {CROSSCHECK.as_posix()}, or give cells of your own by --cells"
        )
        raise InputError(Fault(message, file=os.path.relpath(path)))
    data, inputs = JsonFile(path).data, Inputs(folder)
    notes: dict[str, None] = {}
    try:
        rows = [_beside_sabre(run, data, inputs, notes) for run in data["runs"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"is not laid out as outputs of Sabre are: {type(error).__name__} {error}"
        raise InputError(Fault(message, file=str(path))) from None
    if any(row["same"] and not agrees(row, "rebuffer_events") for row in rows):
        notes[RESIDUE] = None
    return rows, list(notes)


def _beside_sabre(
    run: Mapping[str, Any], data: Mapping[str, Any], inputs: Inputs, notes: dict[str, None]
) -> dict[str, Any]:
    """Return the row of one run of Sabre, and note what a reader must know."""
    manifest, network = data["inputs"][run["case"]]
    scaled = _SCALED.fullmatch(network)
    row: dict[str, Any] = {
        "case": run["case"],
        "manifest": manifest,
        "trace": scaled[1] if scaled else network,
        "rule": run["rule"],
        "bandwidth_scale": float(scaled[2]) if scaled else 1.0,
        "max_buffer_s": data["max_buffer_ms"] / 1e3,
    }
    session = inputs.play(row, notes)
    row |= figures(session)
    row |= {
        f"sabre_{name}": run["time_average_bitrate_kbps" if name == "bitrate_kbps" else name]
        for name in FIGURES
    }
    pairs = list(zip(session.downloads, run["segments"], strict=False))  # it lists the first ones only
    errors_ms = [abs(1e3 * ours.start_s - theirs["start_ms"]) for ours, theirs in pairs]
    errors_ms += [abs(1e3 * ours.end_s - theirs["end_ms"]) for ours, theirs in pairs]
    levels = zip(session.levels, run["qualities"], strict=True)
    row["segments"] = session.video.segments
    row["other_levels"] = sum(ours != theirs for ours, theirs in levels)
    row["time_error_ms"] = max(errors_ms)
    row["same"] = (
        not row["other_levels"]
        and row["time_error_ms"] < SAME_MS
        and all(agrees(row, name) for name in FIGURES if name != "rebuffer_events")
    )
    return row


RESIDUE = (
    "one rebuffer event more in Sabre, of 0 s: Sabre plays the rest of the buffer out in floating-point ms and counts "
    "an event where the sum leaves a residue above 0 (1e-12 ms); it is no standstill and is not counted here"
)
"""Why an event may be missing where all else is the same."""


def agrees(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a figure of a run is Sabre's."""
    return bool(abs(row[name] - row[f"sabre_{name}"]) <= SAME)
