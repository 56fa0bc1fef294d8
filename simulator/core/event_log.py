"""What happened when: an optional log that tests assert on and timelines are drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class LogEntry(NamedTuple):
    """One thing that happened."""

    time_s: float
    """Simulated time."""
    kind: str
    """What happened, such as ``arrival`` or ``transfer_done``."""
    subject: str
    """To whom or where, such as the name of a request, a replica or a channel."""
    detail: float | str
    """One figure or word more; what it means depends on the kind."""


class EventLog:
    """A list of `LogEntry`, in the order of events.

    `Environment.log` holds it. The serving engine writes, with the request's ``workload/number`` as subject:
    ``arrive``, ``admit`` (detail: tokens resident), ``load`` (tokens to load), ``meet`` (tokens that were loaded, when
    the prefix is complete), ``first_token``, ``preempt``, ``lose`` (with its GPU; tokens that were out), ``finish``;
    ``write`` with a storage device as subject (bytes); ``fault`` and ``repair`` with ``device/unit`` or ``link/0`` as
    subject (name and kind of the fault). Without a log, the default, it costs a comparison per event.
    """

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        """All entries so far."""

    def add(self, time_s: float, kind: str, subject: str = "", detail: float | str = "") -> None:
        """Append an entry."""
        self.entries.append(LogEntry(time_s, kind, subject, detail))

    def times(self, kind: str) -> list[tuple[str, float]]:
        """Return ``[(subject, time_s), ...]`` of all entries of one kind."""
        return [(entry.subject, entry.time_s) for entry in self.entries if entry.kind == kind]

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
