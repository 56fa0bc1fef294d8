"""Figures of a study over bandwidths, GPUs and policies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from simulator.viz.bands import band_key, estimates, line_key, line_with_band
from simulator.viz.style import (
    GREY,
    legend,
    log_axis,
    looks,
    panels,
    plain,
    rounded,
    styled,
    ticks_at,
    wide_spread,
)

BANDWIDTH = "bandwidth_gbit_per_s"
"""Column with the bandwidth of the storage tier in Gbit/s."""

ORACLE = "oracle"
"""Policy that is drawn as a bound."""

MOST_COLUMNS = 4
"""Panels side by side before the next row starts."""


@styled
def ttft_against_bandwidth(frame: pd.DataFrame) -> Figure:
    """Draw the TTFT of each policy against the bandwidth of the storage tier, one panel per GPU.

    Several rows of the same policy, bandwidth and GPU (replications) become their mean, with the band of its
    95 % interval.

    Parameters
    ----------
    frame
        Columns ``policy``, ``bandwidth_gbit_per_s``, ``ttft_s``, and where there are several ``gpu``. The
        policy ``oracle``, or else a column ``oracle_s``, is drawn dashed with the region below it shaded.
    """
    table = _with_bound(frame)
    gpus = list(dict.fromkeys(table["gpu"]))
    rows = math.ceil(len(gpus) / MOST_COLUMNS)
    columns = math.ceil(len(gpus) / rows)
    figure, grid = panels(rows, columns, 3.1 if columns > 1 else 4.6, 2.8, sharex=True, sharey=True)
    cells = [axes for row in grid for axes in row]
    for axes in cells[len(gpus) :]:
        axes.remove()
    cells = cells[: len(gpus)]
    styles = looks(table["policy"])
    intervals = False
    for axes, gpu in zip(cells, gpus, strict=True):
        part = table[table["gpu"] == gpu]
        for policy, look in styles.items():
            curve = estimates(part[part["policy"] == policy], [BANDWIDTH], "ttft_s")
            intervals |= bool(curve["ttft_s_low"].notna().any())
            line_with_band(axes, curve, BANDWIDTH, "ttft_s", look, marker=policy != ORACLE)
        axes.set_title(str(gpu))
    if wide_spread(table[BANDWIDTH], ratio=4.0):
        log_axis(cells[0], "x")
    if wide_spread(table["ttft_s"], ratio=8.0):
        log_axis(cells[0], "y")
    else:
        cells[0].set_ylim(bottom=0.0)
    bottom = cells[0].get_ylim()[0]
    for i, (axes, gpu) in enumerate(zip(cells, gpus, strict=True)):
        ticks_at(axes, table[BANDWIDTH])
        bound = table[(table["gpu"] == gpu) & (table["policy"] == ORACLE)].groupby(BANDWIDTH)["ttft_s"].mean()
        axes.fill_between(bound.index, bottom, bound, color=GREY, alpha=0.22, linewidth=0.0, zorder=1)
        axes.label_outer()
        axes.set_ylabel("TTFT (s)" if i % columns == 0 else "")
        if i + columns >= len(gpus):
            axes.set_xlabel("Storage bandwidth (Gbit/s)")
            axes.tick_params(labelbottom=True)
    cells[0].set_ylim(bottom=bottom)
    handles: list[Artist] = [
        line_key("oracle bound" if policy == ORACLE else policy, look, marker=policy != ORACLE)
        for policy, look in styles.items()
    ]
    if intervals:
        handles.append(band_key("95 % interval over replications"))
    if ORACLE in styles:
        handles.append(Patch(color=GREY, alpha=0.22, linewidth=0.0, label="faster than the oracle"))
    legend(figure, handles)
    return figure


def _with_bound(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a ``gpu``, and with the bound as rows of the policy ``oracle``."""
    table = frame if "gpu" in frame else frame.assign(gpu="")
    if "oracle_s" not in table:
        return table
    bound = table.drop_duplicates(["gpu", BANDWIDTH])
    bound = bound.assign(policy=ORACLE, ttft_s=bound["oracle_s"]).dropna(subset=["ttft_s"])
    return pd.concat([table[table["policy"] != ORACLE], bound])


@styled
def speedup_heatmap(
    frame: pd.DataFrame, over: str | Sequence[str] = ("io_only", "compute_only"), of: str = "cake"
) -> Figure:
    """Draw by how much the TTFT of one policy is shorter than that of others, per set-up and bandwidth.

    Parameters
    ----------
    frame
        Column ``bandwidth_gbit_per_s``; ``gpu`` and ``share`` (of the token budget, 0 to 1) where they vary;
        and either ``policy`` with ``ttft_s``, or ready figures in ``speedup_over_<baseline>``. Several rows
        of one cell become their mean.
    over
        Baseline, or several: a panel each.
    of
        The policy whose speed-up is shown.
    """
    baselines = [over] if isinstance(over, str) else list(over)
    table = frame.assign(setup=_setups(frame))
    setups = list(dict.fromkeys(table["setup"]))
    bandwidths = sorted(set(table[BANDWIDTH]))
    cells = {name: _speedups(table, name, of).reindex(index=setups, columns=bandwidths) for name in baselines}
    ratios = np.concatenate([cell.to_numpy(dtype=float).ravel() for cell in cells.values()])
    widest = np.nanmax(np.abs(np.log2(ratios[np.isfinite(ratios)])), initial=0.0)
    reach = max(1.0, float(widest))
    norm = Normalize(-reach, reach)
    colours = mpl.colormaps["PuOr_r"].with_extremes(bad="#E6E6E6")
    width = max(2.4, 0.72 * len(bandwidths) + 0.8)
    figure, [row] = panels(1, len(baselines), width, max(1.3, 0.36 * len(setups) + 0.5), sharey=True)
    for axes, (name, cell) in zip(row, cells.items(), strict=True):
        values = cell.to_numpy(dtype=float)
        shades = np.ma.masked_invalid(np.log2(values))
        image = axes.pcolormesh(shades, cmap=colours, norm=norm, edgecolors="white", linewidth=1.0)
        for (y, x), value in np.ndenumerate(values):
            dark = math.isfinite(value) and abs(math.log2(value)) > 0.62 * reach
            text = f"{value:.2f}" if math.isfinite(value) else "–"
            colour = "white" if dark else "black"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=8.0, color=colour)
        axes.set_xticks(np.arange(len(bandwidths)) + 0.5, [rounded(value) for value in bandwidths])
        axes.set_yticks(np.arange(len(setups)) + 0.5, setups)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("Storage bandwidth (Gbit/s)")
        axes.set_title(f"{of} over {name}")
    row[0].invert_yaxis()  # shared by all panels
    bar = figure.colorbar(image, ax=row, pad=0.03)
    step = max(1, math.ceil(reach / 4))
    bar.ax.yaxis.set_major_locator(FixedLocator([i * step for i in range(-4, 5) if abs(i * step) <= reach]))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{plain(2.0**value)}×"))
    bar.set_label("TTFT speed-up (×, log)")
    bar.outline.set_visible(False)
    return figure


def _setups(frame: pd.DataFrame) -> list[str]:
    """Return the row label of each row of `frame`: what tells its set-ups apart."""
    parts: list[list[str]] = []
    if "gpu" in frame:
        parts.append([str(gpu) for gpu in frame["gpu"]])
    if "share" in frame and (frame["share"].nunique() > 1 or not parts):
        parts.append([f"{100.0 * share:.4g} %" for share in frame["share"]])
    return [", ".join(words) for words in zip(*parts, strict=True)] if parts else [""] * len(frame)


def _speedups(table: pd.DataFrame, over: str, of: str) -> pd.DataFrame:
    ready = f"speedup_over_{over}"
    if ready in table:
        return table.pivot_table(index="setup", columns=BANDWIDTH, values=ready)
    ttft_s = {
        policy: table[table["policy"] == policy].pivot_table(
            index="setup", columns=BANDWIDTH, values="ttft_s"
        )
        for policy in (over, of)
    }
    return ttft_s[over] / ttft_s[of]
