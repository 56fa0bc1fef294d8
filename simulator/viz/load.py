"""The queue, the KV cache and the engine steps of a service over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from simulator.viz.style import COLOURS, legend, panels, plain, styled

BINS = 240
"""Time bins of the picture: more would be narrower than a pixel or two."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Steps:
    """A step function: `values[i]` from `times[i]` to `times[i + 1]`, 0 before and after."""

    times: Floats
    values: Floats

    def means(self, edges: Floats) -> Floats:
        """Return the exact time average in each bin."""
        area = np.concatenate([[0.0], np.cumsum(self.values * np.diff(self.times))])
        means: Floats = np.diff(np.interp(edges, self.times, area)) / np.diff(edges)
        return means


@styled
def queue_and_kv(
    intervals: pd.DataFrame,
    requests: pd.DataFrame | None = None,
    capacity_blocks: Sequence[int] | None = None,
) -> Figure:
    """Draw requests in the queue and admitted, KV in use, tokens per engine step and GPU occupancy over time.

    Every value is an exact time average over one of 240 equal bins; with several replicas, their mean and a
    band from the lowest to the highest.

    Parameters
    ----------
    intervals
        One row per run of engine steps (`simulator.serving.build.INTERVALS`) of one service. A row's counts
        are those at its end; between two rows the engine is idle.
    requests
        The requests of the same service (`simulator.serving.service.request_schema`). With them, waiting and
        admitted requests are counted exactly (one that was preempted waits until its last admission);
        without, the counts of `intervals` are held while the engine is idle.
    capacity_blocks
        KV blocks that each replica has; with it, blocks in use are drawn as a share of them.
    """
    end_s = float(intervals["end_s"].max())
    start_s = float(intervals["start_s"].min())
    if requests is not None:
        start_s = min(start_s, float(requests["arrival_s"].min()))
        end_s = max(end_s, float(requests["finish_s"].max()))
    if not end_s > start_s:
        end_s = start_s + 1.0
    edges = np.linspace(start_s, end_s, BINS + 1)
    curves: dict[str, list[Floats]] = {}
    replicas = sorted(set(intervals["replica"]))
    for replica in replicas:
        rows = intervals[intervals["replica"] == replica]
        own = None if requests is None else requests[requests["replica"] == replica]
        for name, steps in _replica(rows, own, start_s, end_s).items():
            curves.setdefault(name, []).append(steps.means(edges))
    if capacity_blocks:
        curves["kv"] = [
            blocks * (100.0 / capacity_blocks[replica])
            for replica, blocks in zip(replicas, curves["kv"], strict=True)
        ]
    layout = {
        "waiting": "Waiting\n(requests)",
        "admitted": "Admitted\n(requests)",
        "kv": f"KV in use\n({'% of blocks' if capacity_blocks else 'blocks'})",
        "prefill": "Prefill\n(tokens/step)",
        "decode": "Decode\n(tokens/step)",
        "busy": "GPU busy\n(%)",
    }
    colour = COLOURS["blue"]
    figure, grid = panels(len(layout), 1, 6.4, 1.05, sharex=True)
    for [axes], (name, title) in zip(grid, layout.items(), strict=True):
        each = np.array(curves[name])
        low, high = each.min(axis=0), each.max(axis=0)
        if len(replicas) > 1:
            axes.stairs(high, edges, baseline=low, fill=True, color=colour, alpha=0.25, linewidth=0.0)
        axes.stairs(each.mean(axis=0), edges, baseline=None, color=colour, linewidth=1.1)
        axes.set_ylabel(title)
        axes.set_ylim(0.0, 1.08 * float(high.max()) or 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    figure.align_ylabels([row[0] for row in grid])
    grid[-1][0].set_xlim(start_s, end_s)
    grid[-1][0].set_xlabel(f"Simulated time (s), averages over {(end_s - start_s) / BINS:.2g} s")
    if len(replicas) > 1:
        legend(
            figure,
            [
                Line2D([], [], color=colour, label=f"mean of {len(replicas)} replicas"),
                Patch(color=colour, alpha=0.25, linewidth=0.0, label="lowest to highest"),
            ],
        )
    return figure


def _replica(
    rows: pd.DataFrame, requests: pd.DataFrame | None, start_s: float, end_s: float
) -> dict[str, _Steps]:
    """Return the step functions of one replica."""
    rows = rows.sort_values("start_s")
    begin, end = rows["start_s"].to_numpy(dtype=float), rows["end_s"].to_numpy(dtype=float)
    # Times alternate: the start and the end of a run. Odd places hold what follows a run: the idle engine.
    times = np.empty(2 * len(rows) + 1)
    times[0:-1:2], times[1::2], times[-1] = begin, end, max(end_s, end[-1])
    steps = np.maximum(rows["steps"].to_numpy(dtype=float), 1.0)

    def curve(values: Floats, idle: Floats | float) -> _Steps:
        both = np.empty(2 * len(rows))
        both[0::2], both[1::2] = values, idle
        return _Steps(times, both)

    def column(name: str) -> Floats:
        return rows[name].to_numpy(dtype=float)

    curves = {
        "prefill": curve(column("prefill_tokens") / steps, 0.0),
        "decode": curve(column("decodes"), 0.0),
        "busy": curve(np.full(len(rows), 100.0), 0.0),
    }
    blocks = column("kv_used_blocks")
    if requests is None:
        curves["waiting"] = curve(column("waiting"), column("waiting"))
        curves["admitted"] = curve(column("admitted"), column("admitted"))
        curves["kv"] = curve(blocks, blocks)
        return curves
    arrival, admitted, finish = (
        requests[name].to_numpy(dtype=float) for name in ("arrival_s", "admitted_s", "finish_s")
    )
    never, open_ended = admitted < 0.0, finish < 0.0
    refused = never & (requests["status"].to_numpy() == 2)
    left_queue = np.where(never, end_s, admitted)
    curves["waiting"] = _count(arrival[~refused], left_queue[~refused], start_s, end_s)
    curves["admitted"] = _count(admitted[~never], np.where(open_ended, end_s, finish)[~never], start_s, end_s)
    inside = curves["admitted"]
    place = np.searchsorted(inside.times, end, side="right") - 1
    holders = np.append(inside.values, 0.0)[
        place
    ]  # nobody admitted: no block is in use, whatever the row says
    curves["kv"] = curve(blocks, np.where(holders > 0.0, blocks, 0.0))
    return curves


def _count(come: Floats, go: Floats, start_s: float, end_s: float) -> _Steps:
    """Return how many are inside at each time."""
    times = np.concatenate([[start_s], come, go, [end_s]])
    change = np.concatenate([[0.0], np.ones(len(come)), -np.ones(len(go)), [0.0]])
    order = np.argsort(times, kind="stable")
    return _Steps(times[order], np.cumsum(change[order])[:-1])
