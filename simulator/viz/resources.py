"""Figures of what a run used: bytes moved per tier, hits, energy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from simulator.viz.bands import ERROR_BAR, bar_key
from simulator.viz.style import legend, looks, panels, scaled, sequence, styled, wrapped


@styled
def tier_traffic(frame: pd.DataFrame) -> Figure:
    """Draw bytes read and written and the hit rate, per storage tier and variant.

    Parameters
    ----------
    frame
        One row per variant and tier: ``variant``, ``tier``, ``read_bytes``, ``written_bytes``, ``hit_rate``
        (share of prompt tokens, 0 to 1); NaN where a tier has no such figure (bytes of the cache on the GPU).
        Each with ``..._low`` and ``..._high``, the ends of its interval; NaN where there is none.
    """
    styles = looks(frame["variant"])
    largest = float(np.nanmax(frame[["read_bytes", "written_bytes"]].to_numpy(dtype=float), initial=0.0))
    divisor, unit = scaled(largest, "B")
    figure, [row] = panels(1, 3, 3.1, 2.6)
    quantities = (
        ("read_bytes", f"Read ({unit})", 1.0 / divisor),
        ("written_bytes", f"Written ({unit})", 1.0 / divisor),
        ("hit_rate", "Hit rate (% of prompt tokens)", 100.0),
    )
    for axes, (column, title, factor) in zip(row, quantities, strict=True):
        known = frame.dropna(subset=[column])
        tiers = list(dict.fromkeys(known["tier"]))
        slot = 0.8 / len(styles)
        for i, (variant, look) in enumerate(styles.items()):
            rows = known[known["variant"] == variant].set_index("tier").reindex(tiers)
            values = rows[column].to_numpy(dtype=float) * factor
            x = np.arange(len(tiers)) + (i - (len(styles) - 1) / 2) * slot
            axes.bar(
                x, values, slot * 0.92, color=look.colour, hatch=look.hatch, edgecolor="white", linewidth=0.0
            )  # fmt: skip
            ends = rows[[f"{column}_low", f"{column}_high"]].to_numpy(dtype=float).T * factor
            if np.isfinite(ends).any():
                axes.errorbar(x, values, yerr=abs(ends - values), **ERROR_BAR)
        slanted = sum(len(tier) for tier in tiers) > 30
        axes.set_xticks(range(len(tiers)), tiers)
        if slanted:
            axes.tick_params(axis="x", rotation=25.0)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(title)
        if axes.get_ylim()[1] <= 1e-12 or not tiers:
            axes.set_ylim(0.0, 1.0)
    shared = max(row[0].get_ylim()[1], row[1].get_ylim()[1])
    row[0].set_ylim(0.0, shared)  # the same scale: reads and writes are to be compared
    row[1].set_ylim(0.0, shared)
    keys: list[Artist] = [look.swatch(variant) for variant, look in styles.items()]
    if frame.filter(regex="_low$").notna().any(axis=None):
        keys.append(bar_key())
    legend(figure, keys)
    return figure


@styled
def energy_bars(
    energy_j: Mapping[str, Mapping[str, float]], half_widths_j: Mapping[str, float | None] | None = None
) -> Figure:
    """Draw the energy of each variant, stacked by device, with its total.

    Parameters
    ----------
    energy_j
        Variant -> device -> energy in J.
    half_widths_j
        Variant -> half of the width of the total's interval in J, None where there is none; None: no intervals.
    """
    devices = list(dict.fromkeys(device for parts in energy_j.values() for device in parts))
    totals = {variant: sum(parts.values()) for variant, parts in energy_j.items()}
    divisor, unit = scaled(max(totals.values(), default=0.0), "J")
    names = [wrapped(variant) for variant in energy_j]
    lines = sum(max(name.count("\n"), 1) for name in names)  # a bar is as high as two lines of text
    figure, [[axes]] = panels(1, 1, 5.6, 0.42 * len(energy_j) + 0.17 * (lines - len(names)) + 0.4)
    places = np.arange(len(energy_j))
    left = np.zeros(len(energy_j))
    shades = sequence(len(devices))
    for device, shade in zip(devices, shades, strict=True):
        widths = np.array([parts.get(device, 0.0) / divisor for parts in energy_j.values()])
        axes.barh(places, widths, 0.66, left, color=shade, edgecolor="white", linewidth=0.5)
        left += widths
    half_widths = [(half_widths_j or {}).get(variant) for variant in energy_j]
    ends = [
        (total + (half or 0.0)) / divisor for total, half in zip(totals.values(), half_widths, strict=True)
    ]
    for place, total, half, end in zip(places, totals.values(), half_widths, ends, strict=True):
        if half is not None:
            axes.errorbar(total / divisor, place, xerr=half / divisor, **ERROR_BAR)
        axes.annotate(
            f"{total / divisor:.3g} {unit}", (end, place), (4, 0),
            textcoords="offset points", va="center", fontsize=8.0,
        )  # fmt: skip
    axes.set_yticks(places, names)
    axes.set_ylim(len(energy_j) - 0.5, -0.5)
    axes.set_xlim(0.0, max(1.16 * max(ends, default=0.0), 1e-9))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"Energy ({unit})")
    keys: list[Artist] = [
        Patch(color=shade, label=device) for device, shade in zip(devices, shades, strict=True)
    ]
    if any(half is not None for half in half_widths):
        keys.append(bar_key())
    legend(figure, keys)
    return figure
