"""By how much answers come earlier than under autoregressive decoding, and up to which load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from simulator.experiments.statistics import over_replications

FACTORS = 8.0
"""Loads further apart than this are drawn, and interpolated between, on a logarithmic scale."""

SPEEDUP = ("speedup", "speedup_low", "speedup_high")
"""Columns of a speed-up and its 95 % interval."""


def speedup(pairs: pd.DataFrame) -> dict[str, float]:
    """Return the ratio of mean latencies over the same requests, with its 95 % interval.

    The interval is that of the ratio linearised about its value (delta method), so that what both have in common, such
    as the length of an answer, does not count. It is over the replications where there are several, else over the
    requests, which are taken as independent: under load neighbours resemble each other, and it is too narrow.

    Parameters
    ----------
    pairs
        One row per request: ``replication``, ``base_s`` (latency under the baseline), ``own_s`` (under the policy).

    Returns
    -------
    dict
        The columns of `SPEEDUP`; NaN where there is none.
    """
    if pairs.empty:
        return dict.fromkeys(SPEEDUP, math.nan)
    ratio = float(pairs["base_s"].mean() / pairs["own_s"].mean())
    about = ratio + (pairs["base_s"] - ratio * pairs["own_s"]) / pairs["own_s"].mean()
    if pairs["replication"].nunique() > 1:
        about = about.groupby(pairs["replication"]).mean()
    half = over_replications(about.tolist()).half_width
    half = math.nan if half is None else half
    return dict(zip(SPEEDUP, (ratio, ratio - half, ratio + half), strict=True))


def by_factors(loads: Sequence[float]) -> bool:
    """Return whether loads lie so far apart that their logarithms are what is even."""
    return min(loads) > 0.0 and max(loads) / min(loads) > FACTORS


def crossing(loads: Sequence[float], speedups: Sequence[float]) -> float | None:
    """Return the load at which a speed-up falls below 1, interpolated between the loads known.

    Linear in the load, or in its logarithm where loads are `by_factors`: as a line on the figure's axis.

    Parameters
    ----------
    loads
        Shape (n,), in any order.
    speedups
        Shape (n,). Speed-up at each load; those that are NaN do not count.

    Returns
    -------
    float or None
        The first such load, from low to high; None where the speed-up never falls from 1 or more to below 1: it stays
        above, or it is below from the first load on.
    """
    known = sorted((x, y) for x, y in zip(loads, speedups, strict=True) if math.isfinite(y))
    for (low, above), (high, below) in pairwise(known):
        if above >= 1.0 > below:
            share = (above - 1.0) / (above - below)
            even = not by_factors([x for x, _ in known])
            return float(low + (high - low) * share if even else low * (high / low) ** share)
    return None


def verdict(loads: Sequence[float], speedups: Sequence[float], unit: str = "") -> str:
    """Say up to which load a policy pays; ``unit`` stands behind the number."""
    known = np.array([y for y in speedups if math.isfinite(y)])
    at = crossing(loads, speedups)
    if at is not None:
        return f"stops paying at {at:.3g}{unit}"
    if not len(known):
        return "not known"
    if (known < 1.0).all():
        return "never pays"
    return "pays at every load" if (known >= 1.0).all() else "pays at high load only"
