"""Faults of phones: when each is out of order or slow in a session. Its group does the rest, as for absences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import NamedTuple

from simulator.core import Table
from simulator.faults.periods import Faults, Period
from simulator.streaming.group import Group, GroupResult


class _Struck(NamedTuple):
    """One occurrence of a fault of a phone."""

    fault: str
    unit: int
    phone: str
    period: Period


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
    names = [phone.name for phone in group.phones if phone.helper is None]
    for name, _, phone, (start_s, end_s) in _struck(names, faults, unit_of, turn, group.longest_s):
        spec = faults.specs[name]
        if spec.kind == "failure":
            failed_s.setdefault(phone, []).append((start_s, end_s))
        else:
            assert spec.factor is not None
            slow_sr.setdefault(phone, []).append((start_s, end_s, spec.factor))
    phones = tuple(
        replace(
            it,
            failed_s=tuple(sorted(failed_s.get(it.name, ()))),
            slow_sr=tuple(sorted(slow_sr.get(it.name, ()))),
        )
        for it in group.phones
    )
    return replace(group, phones=phones)


def record_faults(
    table: Table,
    service: str,
    session: int,
    result: GroupResult,
    faults: Faults,
    unit_of: Mapping[str, tuple[str, int]],
    turn: int,
) -> None:
    """Append what has struck the phones of a session that has ended (`simulator.faults.records.FAULTS`)."""
    struck = _struck(list(result.phones), faults, unit_of, turn, result.end_s - result.start_s)
    for name, unit, phone, (start_s, end_s) in sorted(
        struck, key=lambda it: (it.period.end_s, it.period.start_s)
    ):
        table.append(
            name,
            faults.specs[name].kind,
            unit_of[phone][0],
            "phone",
            unit,
            service,
            session,
            result.start_s + start_s,
            min(result.start_s + end_s, result.end_s),
            0,
        )


def _struck(
    phones: Sequence[str], faults: Faults, unit_of: Mapping[str, tuple[str, int]], turn: int, until_s: float
) -> Iterator[_Struck]:
    """Yield what strikes phones within `until_s` of the start of a session."""
    for name, spec in faults.specs.items():
        for phone in phones:
            device, unit = unit_of[phone]
            if device == spec.device and spec.unit in (None, unit):
                periods = faults.periods(name, unit, f"/{turn}")
                for period in takewhile(lambda it: it.start_s < until_s, periods):
                    yield _Struck(name, unit, phone, period)
