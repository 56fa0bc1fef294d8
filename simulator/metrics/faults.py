"""What faults have done, from the table of faults and those of requests and viewers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table

Figures = dict[str, float | int | None]


def summarize_faults(faults: Table, target_kind: str) -> Figures:
    """Return the figures of all targets of one kind.

    Parameters
    ----------
    faults
        One row per occurrence of a fault (`simulator.faults.records.FAULTS`).
    target_kind
        ``gpu``, ``storage``, ``link`` or ``phone``.

    Returns
    -------
    dict
        ``failures``, ``outages`` and ``slowdowns``: how often there was one, counted for each unit that was struck;
        ``downtime_s``: time for which units were failed or out, summed over them, faults of one that overlap counted
        once.
    """
    return _counts(faults, faults.column("target_kind") == target_kind)


def service_faults(faults: Table, service: str, unit_time_s: float) -> Figures:
    """Return the figures of one service's units: replicas of an LLM service, phones of all sessions of a streaming one.

    Parameters
    ----------
    faults
        One row per occurrence of a fault.
    service
        Its name.
    unit_time_s
        Time of all its units together.

    Returns
    -------
    dict
        ``failures`` and ``slowdowns`` of its units, ``downtime_s`` as above, ``availability``: share of their time in
        which they were not down.
    """
    counts = _counts(faults, faults.column("service") == service)
    del counts["outages"]  # befall links and storage
    downtime_s = counts["downtime_s"]
    assert downtime_s is not None
    return counts | {"availability": 1.0 - downtime_s / unit_time_s if unit_time_s > 0.0 else None}


def lost_work(faults: Table, requests: Table, service: str) -> Figures:
    """Return ``retries`` of an LLM service's requests that were lost with a replica; ``lost_tokens`` of their KV."""
    mine = faults.column("service") == service
    return {
        "retries": int(requests.column("retries").sum()),
        "lost_tokens": int(faults.column("lost_tokens")[mine].sum()),
    }


def _counts(faults: Table, mine: NDArray[np.bool_]) -> Figures:
    kind = faults.column("kind")
    return {
        **{f"{it}s": int((mine & (kind == it)).sum()) for it in ("failure", "outage", "slowdown")},
        "downtime_s": _downtime_s(faults, mine & (kind != "slowdown")),
    }


def _downtime_s(faults: Table, down: NDArray[np.bool_]) -> float:
    names = ("target", "unit", "service", "session", "start_s", "end_s")
    periods = sorted(zip(*(faults.column(name)[down].tolist() for name in names), strict=True))
    downtime_s = until_s = 0.0
    before: tuple[str | int, ...] = ()
    for *unit, start_s, end_s in periods:
        if tuple(unit) != before:
            before, until_s = tuple(unit), 0.0
        downtime_s += max(0.0, end_s - max(start_s, until_s))
        until_s = max(until_s, end_s)
    return downtime_s
