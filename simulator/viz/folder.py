"""From a folder to one of the kinds of plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from simulator.experiments.statistics import over_replications
from simulator.experiments.sweep_store import PLAN
from simulator.viz import graph_folder
from simulator.viz.goodput import goodput_of
from simulator.viz.llm_folder import LLM_FIGURES
from simulator.viz.metric_bars import metric_bars_of
from simulator.viz.pareto import pareto_of
from simulator.viz.placement import PLACEMENT_FIGURES
from simulator.viz.resources import energy_bars
from simulator.viz.runs import GRAPHS, Study, load_study
from simulator.viz.streaming_folder import SESSION_FIGURES, STREAMING_FIGURES
from simulator.viz.style import footnote
from simulator.viz.sweep_folder import SWEEP_FIGURES, draw_sweep


def draw(
    folder: Path,
    kind: str,
    service: str | None,
    session: int | None = None,
    window_s: tuple[float, float] | None = None,
    request: int | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Figure:
    """Return the figure of one of `simulator.viz.PLOT_KINDS` (see `simulator.viz.plot`)."""
    if kind in SWEEP_FIGURES and not (kind == "pareto" and not (folder / PLAN).is_file()):
        return draw_sweep(folder, kind, x, y)
    if kind == "goodput":
        return goodput_of(folder)
    if kind in LLM_FIGURES:
        study = load_study(folder, service, kind, "llm")
        figure = LLM_FIGURES[kind](study)
    elif kind in graph_folder.REQUEST_FIGURES:
        study = load_study(folder, service, kind, GRAPHS)
        figure = graph_folder.REQUEST_FIGURES[kind](study, request)
    elif kind in graph_folder.GRAPH_FIGURES:
        study = load_study(folder, service, kind, GRAPHS)
        figure = graph_folder.GRAPH_FIGURES[kind](study)
    elif kind in SESSION_FIGURES:
        study = load_study(folder, service, kind, "streaming")
        figure = SESSION_FIGURES[kind](study, session, window_s)
    elif kind in STREAMING_FIGURES:
        study = load_study(folder, service, kind, "streaming")
        figure = STREAMING_FIGURES[kind](study)
    elif kind in PLACEMENT_FIGURES:
        study = load_study(folder, service, kind, "assistant")
        figure = PLACEMENT_FIGURES[kind](study)
    else:
        study = load_study(folder, service, kind, "")
        figure = _of_any_service(study, kind, x, y)
    if study.failed:
        footnote(figure, f"Without failed runs of: {', '.join(study.failed)}")
    return figure


def _of_any_service(study: Study, kind: str, x: str | None, y: str | None) -> Figure:
    if kind == "pareto":
        return pareto_of(study, x, y)
    return metric_bars_of(study, y) if kind == "metric_bars" else _energy_bars(study)


def _energy_bars(study: Study) -> Figure:
    energy_j = {
        label: {
            device: float(np.mean([run.summary["energy_j"]["devices"][device] for run in runs]))
            for device in runs[0].summary["energy_j"]["devices"]
        }
        for label, runs in study.variants.items()
    }
    totals = {
        label: over_replications([run.summary["energy_j"]["total"] for run in runs])
        for label, runs in study.variants.items()
    }
    return energy_bars(energy_j, {label: it.half_width for label, it in totals.items()})
