"""The table of faults: what has struck what, from when to when."""

from __future__ import annotations

from typing import Final

from simulator.core import TEXT

FAULTS: Final = {
    "fault": TEXT,
    "kind": TEXT,
    "target": TEXT,
    "target_kind": TEXT,
    "unit": "i",
    "service": TEXT,
    "session": "i",
    "start_s": "d",
    "end_s": "d",
    "lost_tokens": "q",
}
"""Columns of the table of faults, one row per occurrence, in the order of their ends, those of phones by session.

``kind``: ``failure``, ``outage`` or ``slowdown``; ``target``: the device or link; ``target_kind``: ``gpu``,
``storage``, ``link`` or ``phone``; ``service``: that of the replica or phone that was struck, else empty, as for a
GPU that only helps phones; ``session``: of a phone, else -1; ``end_s``: the end of the run or session where it was not
over; ``lost_tokens``: tokens of KV that requests under way had in the memory of a failed GPU."""
