"""Lines with a band: means against something, with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.experiments.statistics import over_replications
from simulator.viz.style import Look

BAND = {"alpha": 0.18, "linewidth": 0.0}
"""How a band is filled."""

ERROR_BAR: Final[Any] = MappingProxyType(
    {"ecolor": "#333333", "elinewidth": 1.0, "capsize": 2.5, "fmt": "none"}
)
"""How the interval of a bar is drawn."""

INTERVALS = "95 % interval over replications"
"""What the legend calls what `estimates` gives."""


def estimates(frame: pd.DataFrame, by: Sequence[str], figure: str) -> pd.DataFrame:
    """Return the mean of a figure over the replications of each group, with its 95 % interval.

    Parameters
    ----------
    frame
        One row per run.
    by
        Columns that tell the groups apart.
    figure
        Column of the figure; rows without it do not count.

    Returns
    -------
    pandas.DataFrame
        Columns `by`, then ``figure``, ``figure_low`` and ``figure_high`` under the figure's own name; NaN where there
        is no interval or no value.
    """
    rows = []
    for values, group in frame.groupby(list(by), sort=False, dropna=False):
        known = [float(value) for value in group[figure] if pd.notna(value)]
        it = over_replications(known)
        row = dict(zip(by, values, strict=True)) | {figure: it.mean}
        half = it.half_width
        row[f"{figure}_low"] = None if it.mean is None or half is None else it.mean - half
        row[f"{figure}_high"] = None if it.mean is None or half is None else it.mean + half
        rows.append(row)
    columns = [figure, f"{figure}_low", f"{figure}_high"]
    return pd.DataFrame(rows, columns=[*by, *columns]).astype(dict.fromkeys(columns, float))


def line_with_band(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, look: Look, *, divisor: float = 1.0, marker: bool = True
) -> None:
    """Draw ``y`` against ``x``, and a band from ``y_low`` to ``y_high`` where they are known."""
    rows = rows.dropna(subset=[y]).sort_values(x)
    axes.plot(
        rows[x], rows[y] / divisor, color=look.colour, linestyle=look.dash, marker=look.marker if marker else "",
        markeredgecolor="white", zorder=3,
    )  # fmt: skip
    known = rows.dropna(subset=[f"{y}_low"])
    low, high = known[f"{y}_low"] / divisor, known[f"{y}_high"] / divisor
    axes.fill_between(known[x], low, high, color=look.colour, **BAND)  # type: ignore[arg-type]


def line_key(label: str, look: Look, *, marker: bool = True) -> Line2D:
    """Return the entry of a legend that stands for a line."""
    return Line2D(
        [], [], color=look.colour, linestyle=look.dash, marker=look.marker if marker else "",
        markeredgecolor="white", label=label,
    )  # fmt: skip


def bar_key() -> Line2D:
    """Return the entry of a legend that stands for the intervals of bars."""
    return Line2D([], [], color="#333333", marker="|", linewidth=1.0, label=INTERVALS)


def band_key(label: str) -> Patch:
    """Return the entry of a legend that says what the bands are."""
    return Patch(color="#777777", alpha=0.3, linewidth=0.0, label=label)
