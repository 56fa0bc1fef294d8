"""Goodput against the load, from the folder of a capacity search."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simulator.experiments.capacity_store import read_capacity
from simulator.viz.bands import band_key, line_key, line_with_band
from simulator.viz.runs import word_of
from simulator.viz.style import GREY, footnote, legend, looks, panels, plain, styled


def goodput_of(folder: Path) -> Figure:
    """Draw what a capacity search has tried (see `goodput`).

    Raises
    ------
    InputError
        Where `folder` is none of a capacity search.
    """
    found = read_capacity(folder)
    rows, best = [], {}
    for entry in found:
        line = ", ".join(word_of(path, value) for path, value in entry["variant"].items()) or "scenario"
        best[line] = entry["load"] if entry["bounded"] else None
        for probe in entry["probes"]:
            row: dict[str, Any] = {"line": line, "load": probe["load"]}
            for name in ("goodput_per_s", "attainment"):
                row |= {name: probe[name]["mean"]} | {
                    f"{name}_{end}": probe[name][end] for end in ("low", "high")
                }
            rows.append(row)
    frame = pd.DataFrame(rows)
    numbers = [name for name in map(str, frame) if name != "line"]
    frame = frame.astype(dict.fromkeys(numbers, float))
    slo = re.sub(r"\s*(<=|>=)\s*", lambda match: f" {'≤' if match[1] == '<=' else '≥'} ", found[0]["slo"])
    return goodput(frame, best, found[0]["unit"], slo)


@styled
def goodput(frame: pd.DataFrame, best: dict[str, float | None], unit: str, slo: str) -> Figure:
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
        found = "" if at is None else f": SLO kept up to {plain(float(f'{at:.3g}'))}{unit}"
        if at is not None:
            for axes in (rate, share):
                axes.axvline(at, color=look.colour, linewidth=1.0, linestyle=(0, (1.0, 1.2)), zorder=2.0)
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
