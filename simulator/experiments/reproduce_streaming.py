"""Playbacks of one video over one network trace, or Sabre's own runs beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.experiments.cells import read_cells
from simulator.experiments.playback_cells import OPTIONAL, Inputs, columns, figures
from simulator.experiments.sabre_runs import CROSSCHECK, SAME_MS, agrees, data_folder, sabre_runs
from simulator.experiments.tables import text_table


def reproduce_streaming(cells: Path | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row per cell, its columns and `playback_cells.FIGURES`, and what a reader must know.

    Parameters
    ----------
    cells
        CSV with the columns of `playback_cells.columns` and perhaps of `playback_cells.OPTIONAL`; its paths count from
        the working directory, else from its own folder. None: Sabre's runs, whose rows hold `sabre_runs`' columns too.

    Raises
    ------
    InputError
        Where a file has faults, or Sabre's runs are not there.
    """
    if cells is None:
        return sabre_runs(data_folder() / CROSSCHECK)
    inputs = Inputs(cells.parent)
    notes: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    for row in read_cells(cells, columns(), OPTIONAL, inputs.fault):
        session = inputs.play(row, notes)
        rows.append({**row, **figures(session)})
    return rows, list(notes)


def report_streaming(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table; Sabre's runs with what they say, and how many are the same."""
    if "sabre_score" not in rows[0]:
        header = ["manifest", "trace", "rule", "kbit/s", "rebuffer s", "events", "score", "play time s"]
        return text_table(
            header,
            [
                [Path(row["manifest"]).name, Path(row["trace"]).name, row["rule"], *_cells(row)]
                for row in rows
            ],
            left=3,
        )
    header = [
        "case",
        "rule",
        "same levels",
        "ms off",
        "kbit/s",
        "rebuffer s",
        "events",
        "score",
        "same",
    ]
    cells: list[list[str]] = []
    for row in rows:
        kept = f"{row['segments'] - row['other_levels']}/{row['segments']}"
        *shown, _ = _cells(row)
        if not agrees(row, "rebuffer_events"):
            shown[2] += f" (Sabre {row['sabre_rebuffer_events']:g})"
        error, same = f"{row['time_error_ms']:.2f}", "yes" if row["same"] else "NO"
        cells.append([row["case"], row["rule"], kept, error, *shown, same])
    return (
        text_table(header, cells, left=2)
        + f"\n{sum(row['same'] for row in rows)} of {len(rows)} runs are Sabre's: the level of every segment, times "
        f"within {SAME_MS:g} ms (Sabre's are\nrounded to 1 ms), bitrate, rebuffering, score and play time to 6 digits\n"
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    events = f"{row['rebuffer_events']:g}"
    return [
        f"{row['bitrate_kbps']:.6f}",
        f"{row['rebuffer_s']:.6f}",
        events,
        f"{row['score']:.6f}",
        f"{row['play_time_s']:.6f}",
    ]
