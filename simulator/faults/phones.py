"""Faults of phones: when each is out of order or slow in a session. Its group does the rest, as for absences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile

from simulator.faults.periods import Faults
from simulator.streaming.group import Group


def with_faults(group: Group, faults: Faults, unit_of: Mapping[str, tuple[str, int]], turn: int) -> Group:
    """Return a group whose phones fail and slow down.

    Parameters
    ----------
    group
        As it would be.
    faults
        Faults of the scenario; their times count from the start of the session, as those of a group do.
    unit_of
        By phone: device of the scenario, and number in it.
    turn
        Number of the session among those of the group: each draws random faults of its own.
    """
    failed_s: dict[str, list[tuple[float, float]]] = {}
    slow_sr: dict[str, list[tuple[float, float, float]]] = {}
    for name, spec in faults.specs.items():
        for phone in (it.name for it in group.phones):
            device, unit = unit_of[phone]
            if device != spec.device or spec.unit not in (None, unit):
                continue
            periods = takewhile(
                lambda period: period.start_s < group.longest_s, faults.periods(name, unit, f"/{turn}")
            )
            for start_s, end_s in periods:
                if spec.kind == "failure":
                    failed_s.setdefault(phone, []).append((start_s, end_s))
                else:
                    assert spec.factor is not None
                    slow_sr.setdefault(phone, []).append((start_s, end_s, spec.factor))
    phones = tuple(
        replace(
            phone,
            failed_s=tuple(sorted(failed_s.get(phone.name, ()))),
            slow_sr=tuple(sorted(slow_sr.get(phone.name, ()))),
        )
        for phone in group.phones
    )
    return replace(group, phones=phones)
