"""What faults have done to an LLM service, from the table of faults and that of requests."""

from __future__ import annotations

import numpy as np

from simulator.core import Table


def summarize_faults(faults: Table, requests: Table, service: str) -> dict[str, float | int]:
    """Return the figures of one service.

    Parameters
    ----------
    faults
        One row per occurrence of a fault (`simulator.faults.injector.FAULTS`).
    requests
        One row per request of the service.
    service
        Its name.

    Returns
    -------
    dict
        ``failures`` of its replicas; ``retries`` of requests that were lost with one; ``lost_tokens`` of KV that they
        held; ``downtime_s``, summed over replicas, faults of one that overlap counted once.
    """
    mine = (faults.column("service") == service) & (faults.column("kind") == "failure")
    unit, start_s, end_s = (faults.column(name)[mine] for name in ("unit", "start_s", "end_s"))
    downtime_s = 0.0
    for one in np.unique(unit):
        until_s = 0.0
        for start, end in sorted(
            zip(start_s[unit == one].tolist(), end_s[unit == one].tolist(), strict=True)
        ):
            downtime_s += max(0.0, end - max(start, until_s))
            until_s = max(until_s, end)
    return {
        "failures": int(mine.sum()),
        "retries": int(requests.column("retries").sum()),
        "lost_tokens": int(faults.column("lost_tokens")[mine].sum()),
        "downtime_s": downtime_s,
    }
