"""Playbacks of one video over one network trace, and Sabre's own outputs beside ours.

Sabre's inputs and outputs are data of others and no part of this package: they are read from the folder ``crosscheck``
of the data that lie beside the project, or wherever `DATA_FOLDER` says. No output comes from them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from devices.sourced import unknown_name
from simulator.experiments.cells import Column, number, one_of, read_cells
from simulator.experiments.tables import text_table
from simulator.policies.abr import Abr
from simulator.policies.abr.fixed import Fixed
from simulator.policies.registry import policies
from simulator.streaming.json_file import JsonFile
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import PENSIEVE, Player, Session
from simulator.streaming.trace_files import read_trace
from simulator.streaming.video import Video
from simulator.streaming.video_files import read_video

DATA_FOLDER = "HETSIM_DATA"
"""Environment variable: the folder of published data. Default: ``../shared/data`` beside the project's root."""

CROSSCHECK = Path("crosscheck", "sabre")
"""Folder of Sabre's inputs and outputs in it."""

PLAYERS = {"sabre": Player(), "pensieve": PENSIEVE}
"""Players by name."""

FIGURES = ("bitrate_kbps", "rebuffer_s", "rebuffer_events", "score", "play_time_s")
"""What is predicted."""

SAME, SAME_MS = 1e-6, 1.0
"""How far a figure of six digits, and a time of whole ms, may lie from Sabre's to count as the same."""

_FIXED = re.compile(r"fixed_([0-9]{1,3})")
_SCALED = re.compile(r"(\S+) with every bandwidth x ([0-9.]+)")


def rule_named(name: str) -> Abr:
    """Return an ABR rule with its default parameters; ``fixed_N`` takes level N, from 0.

    Raises
    ------
    ValueError
        Where there is none; the message names the nearest.
    """
    if match := _FIXED.fullmatch(name):
        return Fixed(int(match[1]))
    known = {key: rule for key, rule in policies("abr").items() if rule is not Fixed}
    if name not in known:
        raise ValueError(unknown_name("ABR rule", name, [*known, "fixed_0"]))
    rule: Abr = known[name]()
    return rule


def columns() -> dict[str, Column]:
    """Return the columns that every row of a cells file has, and how each is read."""

    def rule(name: str) -> str:
        rule_named(name)
        return name

    return {"manifest": str, "trace": str, "rule": rule}


OPTIONAL: dict[str, Column] = {
    "bandwidth_scale": number(1e-6, 1e6),
    "max_buffer_s": number(1e-3, 1e6),
    "player": one_of("player", PLAYERS),
}
"""Columns that may be missing or empty: 1, the player's own, and ``sabre``."""


def reproduce_streaming(cells: Path | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one row per cell, its columns and `FIGURES`, and what a reader must know.

    Parameters
    ----------
    cells
        CSV with the columns of `columns` and perhaps of `OPTIONAL`; its paths count from the working directory, else
        from its own folder. None: Sabre's runs, whose rows hold `sabre_runs`' columns too.

    Raises
    ------
    InputError
        Where a file has faults, or Sabre's runs are not there.
    """
    if cells is None:
        return sabre_runs(data_folder() / CROSSCHECK)
    inputs = _Inputs(cells.parent)
    notes: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    for row in read_cells(cells, columns(), OPTIONAL, inputs.fault):
        session = inputs.play(row)
        notes |= dict.fromkeys(session.notes)
        rows.append({**row, **figures(session)})
    return rows, list(notes)


class _Inputs:
    """The files that rows name, each read once, and the sessions of those rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._videos: dict[str, Video] = {}
        self._traces: dict[tuple[str, float], NetworkTrace] = {}

    def video(self, name: str) -> Video:
        if name not in self._videos:
            self._videos[name] = read_video(self._path(name))
        return self._videos[name]

    def trace(self, name: str, scale: float) -> NetworkTrace:
        if (name, scale) not in self._traces:
            trace = read_trace(self._path(name)) if scale == 1.0 else self.trace(name, 1.0).scaled(scale)
            self._traces[name, scale] = trace
        return self._traces[name, scale]

    def fault(self, row: Mapping[str, Any]) -> str | None:
        """Return what is wrong with a row; None where nothing is."""
        video, _ = self.video(row["manifest"]), self.trace(row["trace"], 1.0)
        rule, buffer_s = rule_named(row["rule"]), _player(row).max_buffer_s
        if isinstance(rule, Fixed) and rule.level >= video.levels:
            return f"{row['rule']}: {video.name} has levels 0 to {video.levels - 1}"
        if buffer_s < video.segment_s:
            return f"a buffer of {buffer_s:g} s has no room for a segment of {video.segment_s:g} s"
        return None

    def play(self, row: Mapping[str, Any]) -> Session:
        """Return the session of a row."""
        trace = self.trace(row["trace"], row.get("bandwidth_scale", 1.0))
        return _player(row).play(self.video(row["manifest"]), trace, rule_named(row["rule"]))

    def _path(self, name: str) -> Path:
        beside = self._folder / name
        return beside if not Path(name).exists() and beside.exists() else Path(name)


def _player(row: Mapping[str, Any]) -> Player:
    player = PLAYERS[row.get("player", "sabre")]
    return replace(player, max_buffer_s=row.get("max_buffer_s", player.max_buffer_s))


def figures(session: Session) -> dict[str, Any]:
    """Return `FIGURES` of a session."""
    return {
        "bitrate_kbps": session.bitrate_bps / 1e3,
        "rebuffer_s": session.rebuffer_s,
        "rebuffer_events": session.rebuffer_events,
        "score": session.score(),
        "play_time_s": session.play_time_s,
    }


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
    data, inputs = JsonFile(path).data, _Inputs(folder)
    notes: dict[str, None] = {}
    try:
        rows = [_beside_sabre(run, data, inputs, notes) for run in data["runs"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        message = f"is not laid out as outputs of Sabre are: {type(error).__name__} {error}"
        raise InputError(Fault(message, file=str(path))) from None
    if any(row["same"] and not _same(row, "rebuffer_events") for row in rows):
        notes[RESIDUE] = None
    return rows, list(notes)


def _beside_sabre(
    run: Mapping[str, Any], data: Mapping[str, Any], inputs: _Inputs, notes: dict[str, None]
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
    session = inputs.play(row)
    notes |= dict.fromkeys(session.notes)
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
        and all(_same(row, name) for name in FIGURES if name != "rebuffer_events")
    )
    return row


RESIDUE = (
    "one rebuffer event more in Sabre, of 0 s: Sabre plays the rest of the buffer out in floating-point ms and counts "
    "an event where the sum leaves a residue above 0 (1e-12 ms); it is no standstill and is not counted here"
)
"""Why an event may be missing where all else is the same."""


def _same(row: Mapping[str, Any], name: str) -> bool:
    return bool(abs(row[name] - row[f"sabre_{name}"]) <= SAME)


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
        if not _same(row, "rebuffer_events"):
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
