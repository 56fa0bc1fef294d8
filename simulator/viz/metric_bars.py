"""Any figure of the summary, a bar per variant."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from devices.errors import Fault, InputError
from devices.sourced import unknown_name
from simulator.experiments.comparison import flatten
from simulator.metrics.catalogue import described
from simulator.viz.bands import ERROR_BAR, bar_key, estimates
from simulator.viz.runs import Study
from simulator.viz.style import GREY, legend, looks, panels, rounded, styled, wrapped

DEFAULT_FIGURES = ("e2e_s.mean", "qoe.mean")
"""What is drawn where nothing is asked for: the first of these that a service has."""


def find_figure(figures: Iterable[str], asked: str | None, folder: Path) -> str:
    """Return the path of a figure that is asked for by its path, or by its path below the only service that has it.

    Parameters
    ----------
    figures
        Paths that there are.
    asked
        What is asked for; None: one of `DEFAULT_FIGURES`, else the first there is.
    folder
        Where they come from, for messages.

    Raises
    ------
    InputError
        Where there is none, or several.
    """
    known = list(figures)

    def below_service(name: str, tail: str) -> bool:
        return name.startswith("services.") and name.split(".", 2)[2:] == [tail]

    if asked is None:
        names = [name for tail in DEFAULT_FIGURES for name in known if below_service(name, tail)] or known
        return names[0]
    names = [name for name in known if name == asked or below_service(name, asked)]
    if not names:
        raise InputError(Fault(unknown_name("figure", asked, known, "hetsim list metrics"), file=str(folder)))
    if len(names) > 1:
        raise InputError(
            Fault(f"{asked} is a figure of several services; allowed: {', '.join(names)}", file=str(folder))
        )
    return names[0]


def figure_label(figure: str, figures: Iterable[str]) -> str:
    """Return what a figure is called on an axis: with its service where `figures` are of several."""
    it = described(figure)
    services = {described(name).service for name in figures} - {""}
    return f"{it.service}: {it.label}" if it.service and len(services) > 1 else it.label


def metric_bars_of(study: Study, y: str | None) -> Figure:
    """Draw a figure of the runs of a folder (see `metric_bars`)."""
    rows = [
        {"label": label, **flatten(run.summary)} for label, runs in study.variants.items() for run in runs
    ]
    figures = [name for name in rows[0] if name != "label"]
    figure = find_figure(figures, y, study.folder)
    frame = pd.DataFrame(
        [{"label": row["label"], "value": row.get(figure)} for row in rows], columns=["label", "value"]
    )
    return metric_bars(estimates(frame, ["label"], "value"), figure_label(figure, figures))


@styled
def metric_bars(frame: pd.DataFrame, label: str) -> Figure:
    """Draw a figure's mean per variant with its interval; the first variant is the baseline, and marked.

    Parameters
    ----------
    frame
        One row per variant: ``label``, ``value``, ``value_low``, ``value_high`` (NaN where there is none).
    label
        What the figure is.
    """
    styles = looks(frame["label"])
    figure, [[axes]] = panels(1, 1, 5.6, 0.6 + 0.34 * len(frame))
    places = [float(-place) for place in range(len(frame))]
    for place, row in zip(places, frame.to_dict("records"), strict=True):
        look, value = styles[row["label"]], float(row["value"])
        if math.isnan(value):
            axes.annotate(
                "no value", (0.0, place), (4, 0), textcoords="offset points", va="center", fontsize=8.0
            )
            continue
        axes.barh(place, value, 0.7, color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0.0)
        low, high = float(row["value_low"]), float(row["value_high"])
        if not math.isnan(low):
            axes.errorbar(
                value,
                place,
                xerr=[[value - low], [high - value]],
                **ERROR_BAR,
            )
        axes.annotate(
            rounded(value).replace("-", "−"), (value if math.isnan(high) else max(value, high), place), (4, 0),
            textcoords="offset points", va="center", fontsize=8.0,
        )  # fmt: skip
    first, base = frame["label"].iloc[0], float(frame["value"].iloc[0])
    keys: list[Artist] = []
    if len(frame) > 1 and not math.isnan(base):
        axes.axvline(base, color=GREY, linewidth=1.0, linestyle=(0, (2.0, 1.5)), zorder=2.0)
        keys.append(
            Line2D(
                [],
                [],
                color=GREY,
                linewidth=1.0,
                linestyle=(0, (2.0, 1.5)),
                label=f"baseline: {first}",
            )
        )
    if frame["value_low"].notna().any():
        keys.append(bar_key())
    axes.set_yticks(places, [wrapped(str(name)) for name in frame["label"]])
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.14)
    axes.set_xlabel(label)
    legend(figure, keys)
    return figure
