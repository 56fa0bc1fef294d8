"""The summary of a streaming service, computed from its viewers; definitions stand in `simulator.metrics.summary`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.distribution import distribution
from simulator.streaming.group import Component, jain


def summarize_viewers(viewers: Table) -> dict[str, Any]:
    """Return the figures of a streaming service as plain data.

    Parameters
    ----------
    viewers
        `simulator.streaming.viewing.VIEWER_COLUMNS`.
    """
    sessions = viewers.column("session")
    numbers = np.unique(sessions)
    complete = viewers.column("complete") | (viewers.column("alive") == 0)
    qualities = _known(viewers.column("qoe_oasis"))
    bounds = _known(viewers.column("upper_bound"))
    return {
        "sessions": {
            "played": len(numbers),
            "complete": sum(bool(complete[sessions == number].all()) for number in numbers),
        },
        "viewers": {
            "watched": len(qualities),
            "never_started": int((viewers.column("played") == 0).sum()),
            "complete": int(viewers.column("complete").sum()),
            "gone": int((viewers.column("alive") == 0).sum()),
        },
        "qoe": {
            **distribution(qualities),
            "figures": {
                name.removeprefix("qoe_"): _mean(viewers.column(name))
                for name in viewers.schema
                if name.startswith("qoe_")
            },
            "upper_bound": float(bounds.mean()) if len(bounds) else None,
        },
        "rebuffer_s": distribution(_known(viewers.column("rebuffer_s"))),
        "rebuffer_events": _mean(viewers.column("rebuffer_events")),
        "startup_s": distribution(_known(viewers.column("startup_s"))),
        "bitrate_kbps": distribution(_known(viewers.column("bitrate_bps")) / 1e3),
        "effective_kbps": distribution(_known(viewers.column("effective_bps")) / 1e3),
        "switches": _mean(viewers.column("switches")),
        "sr_share": _mean(viewers.column("sr_share")),
        "energy_per_phone_j": {
            **distribution(viewers.column("energy_j")),
            "components": {
                name: _mean(viewers.column(f"{name}_j"))
                for name in (component.name.lower() for component in Component)
            },
        },
        "energy_fairness": _fairness(sessions, viewers.column("energy_j")),
        "battery_share": {
            "mean": _mean(viewers.column("battery_share")),
            "least": float(viewers.column("battery_share").min()) if len(viewers) else None,
        },
    }


def _known(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the values without those that are NaN."""
    return np.asarray(values[~np.isnan(values)], np.float64)


def _mean(values: NDArray[Any]) -> float | None:
    known = _known(values.astype(np.float64))
    return float(known.mean()) if len(known) else None


def _fairness(sessions: NDArray[Any], energy_j: NDArray[Any]) -> float | None:
    """Return Jain's index of each session's energies, averaged: 1 where all phones spend alike."""
    indices = [jain(energy_j[sessions == number].tolist()) for number in np.unique(sessions)]
    return float(np.mean(indices)) if indices else None
