"""Where an assistant's questions were answered, how long that took, and what it cost the phones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.viz.runs import Study
from simulator.viz.style import GREY, legend, panels, sequence, styled, wrapped

PLACES: Final = ("device", "edge", "cloud")
"""Where questions can be answered, from the nearest on."""

COMPONENTS: Final = ("chip", "radio")
"""What a phone spends energy on for a question."""


def _placement_bars(study: Study) -> Figure:
    rows = []
    for label in study.variants:
        each = [_figures(summary) for summary in study.summaries(label)]
        rows.append({"variant": label, **{key: _mean([it[key] for it in each]) for key in each[0]}})
    return placement_bars(pd.DataFrame(rows))


def _figures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what is drawn of one run's summary of an assistant."""
    shares = {name: (summary["places"].get(name) or {}).get("share") or 0.0 for name in PLACES}
    energy_j = {f"{name}_j": summary["energy_per_ask_j"]["components"][name] for name in COMPONENTS}
    return {
        **shares,
        **energy_j,
        "e2e_s": summary["e2e_s"]["mean"],
        "least_e2e_s": summary["bound"]["e2e_s"],
        "qoe": summary["qoe"]["mean"],
    }


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


@styled
def placement_bars(frame: pd.DataFrame) -> Figure:
    """Draw, per variant: shares by place, mean E2E with the least possible, QoE, and energy per question.

    Parameters
    ----------
    frame
        One row per variant: ``variant``; shares ``device``, ``edge``, ``cloud``; ``e2e_s``, ``least_e2e_s``, ``qoe``;
        ``chip_j``, ``radio_j``.
    """
    names = [wrapped(str(name)) for name in frame["variant"]]
    figure, [[shares, latency, quality, energy]] = panels(1, 4, 2.3, 0.42 * len(frame) + 0.4, sharey=True)
    places = np.arange(len(frame), dtype=float)
    keys: list[Artist] = _stacked(shares, places, frame, {name: name for name in PLACES}, 100.0)
    shares.set_xlabel("Answered at (%)")
    shares.set_xlim(0.0, 100.0)
    latency.barh(places, frame["e2e_s"], 0.66, color=GREY)
    latency.plot(frame["least_e2e_s"], places, "|", color="black", markersize=11.0, markeredgewidth=1.6)
    latency.set_xlabel("Mean E2E (s)")
    quality.barh(places, frame["qoe"], 0.66, color=GREY)
    quality.set_xlim(0.0, 1.0)
    quality.set_xlabel("Mean QoE of streamed text")
    shades = _stacked(energy, places, frame, {f"{name}_j": name for name in COMPONENTS}, 1.0)
    energy.set_xlabel("Phone's energy per question (J)")
    shares.set_yticks(places, names)
    shares.set_ylim(len(frame) - 0.5, -0.5)
    for axes in (shares, latency, quality, energy):
        axes.grid(visible=False, axis="y")
    least = Line2D(
        [], [], linestyle="none", marker="|", color="black", markersize=9.0, label="least possible E2E"
    )
    legend(figure, [*keys, *shades, least])
    return figure


def _stacked(
    axes: Axes, places: np.ndarray, frame: pd.DataFrame, columns: Mapping[str, str], factor: float
) -> list[Artist]:
    """Draw columns one beside the other in one bar; return the keys of their shades."""
    left = np.zeros(len(frame))
    # Both panels take their shades from one sequence, so that no shade stands for two things.
    of_both = dict(zip((*PLACES, *COMPONENTS), sequence(len(PLACES) + len(COMPONENTS)), strict=True))
    keys: list[Artist] = []
    for column, label in columns.items():
        widths = factor * frame[column].fillna(0.0).to_numpy(dtype=float)
        axes.barh(places, widths, 0.66, left, color=of_both[label], edgecolor="white", linewidth=0.5)
        left += widths
        keys.append(Patch(color=of_both[label], label=label))
    return keys


PLACEMENT_FIGURES: Final[Mapping[str, Callable[[Study], Figure]]] = MappingProxyType(
    {"placement_bars": _placement_bars}
)
"""What can be drawn of runs with an assistant."""
