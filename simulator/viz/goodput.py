"""Goodput against the load, from the folder of a capacity search."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devices.errors import Fault, InputError
from simulator.experiments.capacity_store import CAPACITY, read_capacity
from simulator.viz.bands import band_key, line_key, line_with_band
from simulator.viz.runs import word_of
from simulator.viz.style import GREY, footnote, legend, looks, panels, plain, styled


@dataclass(frozen=True, slots=True)
class Best:
    """The highest load found that keeps the SLO."""

    load: float
    """That load, by the means over the replications."""
    mean: float | None = None
    """Mean of the replications' own highest loads."""
    low: float | None = None
    """Lower end of its 95 % interval; None where there is none."""

    def text(self, unit: str) -> str:
        """Return it for a legend."""
        load = f"{_short(self.load)}{unit}"
        if self.mean is None or self.low is None:
            return load
        return f"{load} (replications {_short(self.mean)} ± {self.mean - self.low:.2g})"


def _short(value: float) -> str:
    return plain(float(f"{value:.3g}"))


def goodput_of(folder: Path) -> Figure:
    """Draw what a capacity search has tried (see `goodput`).

    Raises
    ------
    InputError
        Where `folder` is none of a capacity search, or its file is not complete.
    """
    found = read_capacity(folder)
    try:
        frame, best = _drawn(found)
        unit, slo = str(found[0]["unit"]), str(found[0]["slo"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"holds no complete capacity search: {type(error).__name__}: {error}"
        raise InputError(Fault(message, file=str(folder / CAPACITY))) from error
    slo = re.sub(r"\s*(<=|>=)\s*", lambda match: f" {'≤' if match[1] == '<=' else '≥'} ", slo)
    return goodput(frame, best, unit, slo)


def _drawn(found: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, dict[str, Best | None]]:
    """Return the arguments `frame` and `best` of `goodput`."""
    rows: list[dict[str, Any]] = []
    best: dict[str, Best | None] = {}
    for entry in found:
        line = ", ".join(word_of(path, value) for path, value in entry["variant"].items()) or "scenario"
        best[line] = None
        if entry["bounded"] and entry["load"] is not None:
            own = entry.get("load_interval") or {}
            best[line] = Best(float(entry["load"]), own.get("mean"), own.get("low"))
        for probe in entry["probes"]:
            row: dict[str, Any] = {"line": line, "load": probe["load"]}
            for name in ("goodput_per_s", "attainment"):
                row |= {name: probe[name]["mean"]} | {
                    f"{name}_{end}": probe[name][end] for end in ("low", "high")
                }
            rows.append(row)
    frame = pd.DataFrame(rows)
    numbers = [name for name in map(str, frame) if name != "line"]
    return frame.astype(dict.fromkeys(numbers, float)), best


@styled
def goodput(frame: pd.DataFrame, best: Mapping[str, Best | None], unit: str, slo: str) -> Figure:
    """Draw requests answered within the SLO, per second and as a share, against the load, a line per variant.

    Parameters
    ----------
    frame
        One row per line and load: ``line``, ``load``, ``goodput_per_s`` and ``attainment`` (0 to 1), each with
        ``..._low`` and ``..._high`` (NaN where there is no interval).
    best
        Highest load found that keeps the SLO, by line; None where there is none: marked.
    unit
        What follows a load: ``/s``, or nothing where it is a factor on a trace's rate.
    slo
        The SLO, for the caption.
    """
    styles = looks(frame["line"])
    figure, [[rate, share]] = panels(1, 2, 4.3, 3.0)
    percent = frame.assign(  # Student's t knows no bounds, a share does
        **{
            name: (100.0 * frame[name]).clip(0.0, 100.0)
            for name in map(str, frame)
            if name.startswith("attainment")
        }
    )
    keys: list[Artist] = []
    for line, look in styles.items():
        line_with_band(rate, frame[frame["line"] == line], "load", "goodput_per_s", look)
        line_with_band(share, percent[percent["line"] == line], "load", "attainment", look)
        at = best.get(line)
        found = "" if at is None else f": SLO kept up to {at.text(unit)}"
        if at is not None:
            for axes in (rate, share):
                axes.axvline(at.load, color=look.colour, linewidth=1.0, linestyle=(0, (1.0, 1.2)), zorder=2.0)
        keys.append(line_key(f"{line}{found}", look))
    if unit == "/s":
        top = rate.get_ylim()[1]
        ends = [0.0, float(frame["load"].max())]
        rate.plot(ends, ends, color=GREY, linewidth=1.0, zorder=1.5)
        rate.set_ylim(0.0, top)
        keys.append(Line2D([], [], color=GREY, linewidth=1.0, label="every request within the SLO"))
    if frame["goodput_per_s_low"].notna().any():
        keys.append(band_key("95 % interval over replications"))
    axis = "Load (requests/s)" if unit == "/s" else "Load (times the trace's rate)"
    for axes in (rate, share):
        axes.set_xlabel(axis)
        axes.set_xlim(left=0.0)
    rate.set_ylim(bottom=0.0)
    share.set_ylim(0.0, 103.0)
    rate.set_ylabel("Goodput (requests/s)")
    share.set_ylabel("Requests within the SLO (%)")
    legend(figure, keys)
    footnote(
        figure, f"SLO: {slo}. A request is within it by its own latencies; dotted: it is kept up to here."
    )
    return figure
