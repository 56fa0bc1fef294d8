"""Trace Event Format: the JSON that Perfetto and chrome://tracing open, written event by event.

A trace has *processes* (here: devices) and in each of them *tracks* (threads, in the format's words). A track holds
slices that nest or are disjoint; what would overlap gets further tracks, its *lanes*. Beside them a process has
counters. Times are whole microseconds of simulated time, so that rounding keeps slices disjoint and nested.

The format: "Trace Event Format", Google, https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple, TextIO

_FLOW_CATEGORY: Final = "flow"


def microseconds(time_s: float) -> int:
    """Return a time in whole microseconds."""
    return round(time_s * 1e6)


class Flow(NamedTuple):
    """One end of an arrow between two slices."""

    number: int
    """Which arrow; see `Trace.arrow`."""
    name: str
    """What it is called; the same at both ends."""
    begins: bool
    """Whether the arrow begins here."""
    at_us: int
    """When, within the slice."""


@dataclass(slots=True)
class Slice:
    """Something that lasted, in s of simulated time."""

    name: str
    """What it is called; slices of one name have one colour."""
    start_s: float
    """When it began."""
    end_s: float
    """When it ended; not before `start_s`."""
    args: dict[str, Any]
    """What is shown when it is chosen."""
    parts: tuple[Slice, ...] = ()
    """Slices within it, disjoint and in the order of time."""
    flows: list[Flow] = field(default_factory=list)
    """Arrows that begin or end here."""


class Trace:
    """A trace that is being written.

    Parameters
    ----------
    file
        Where to; the text is whole when `close` has been called.
    other_data
        What the trace is of.
    """

    def __init__(self, file: TextIO, other_data: Mapping[str, Any]) -> None:
        self._file = file
        self._processes = 0
        self._tracks: dict[int, int] = {}  # so far, by process
        self._arrows = 0
        self._before = ""  # of the next event
        file.write(f'{{"displayTimeUnit":"ms","otherData":{_text(other_data)},"traceEvents":[')

    def close(self) -> None:
        """Write the end."""
        self._file.write("\n]}\n")

    def process(self, name: str) -> int:
        """Add a process below those that there are and return its number."""
        self._processes += 1
        pid = self._processes
        self._tracks[pid] = 0
        self._write("M", pid, name="process_name", args={"name": name})
        self._write("M", pid, name="process_sort_index", args={"sort_index": pid})
        return pid

    def lanes(self, pid: int, name: str, slices: Iterable[Slice]) -> None:
        """Write slices, which come in the order of their starts, on as few tracks as keep them from overlapping.

        The tracks after the first have a number in their name.
        """
        tracks: list[int] = []
        free: list[int] = []  # places in `tracks`
        busy: list[tuple[int, int]] = []  # (end, place)
        for it in slices:
            while busy and busy[0][0] <= microseconds(it.start_s):
                heappush(free, heappop(busy)[1])
            if not free:
                free.append(len(tracks))
                tracks.append(self._track(pid, f"{name} {len(tracks) + 1}" if tracks else name))
            place = heappop(free)
            heappush(busy, (microseconds(it.end_s), place))
            self._slice(pid, tracks[place], it)

    def counter(self, pid: int, name: str, unit: str, points: Iterable[tuple[float, float]]) -> None:
        """Write a counter: `points` are (time in s, value from then on), in the order of time.

        Of several values at one microsecond the last one holds, and values that change nothing are left out.
        """
        for time_us, value in _changes(points):
            self._write("C", pid, name=name, ts=time_us, args={unit: value})

    def arrow(self, name: str, source: Slice, at_s: float, target: Slice) -> None:
        """Draw an arrow from a moment of one slice to the start of another one; both are still to be written.

        It begins at the last microsecond within `source` at which it can; where there is none it is left out.
        """
        begin_us = min(microseconds(at_s), microseconds(source.end_s) - 1)
        end_us = microseconds(target.start_s)
        if (
            begin_us < microseconds(source.start_s)
            or microseconds(target.end_s) <= end_us
            or end_us < begin_us
        ):
            return
        self._arrows += 1
        source.flows.append(Flow(self._arrows, name, True, begin_us))
        target.flows.append(Flow(self._arrows, name, False, end_us))

    def _track(self, pid: int, name: str) -> int:
        self._tracks[pid] += 1
        tid = self._tracks[pid]
        self._write("M", pid, tid=tid, name="thread_name", args={"name": name})
        self._write("M", pid, tid=tid, name="thread_sort_index", args={"sort_index": tid})
        return tid

    def _slice(self, pid: int, tid: int, it: Slice) -> None:
        events: list[tuple[int, str, dict[str, Any]]] = []
        for one in (it, *it.parts):
            start_us = microseconds(one.start_s)
            duration_us = microseconds(one.end_s) - start_us
            events.append((start_us, "X", {"name": one.name, "dur": duration_us, "args": one.args}))
        for flow in it.flows:
            ends = {"id": flow.number, "name": flow.name, "cat": _FLOW_CATEGORY}
            events.append((flow.at_us, "s", ends) if flow.begins else (flow.at_us, "f", {**ends, "bp": "e"}))
        for time_us, phase, fields in sorted(
            events, key=lambda event: event[0]
        ):  # stable: an arrow after its slice
            self._write(phase, pid, tid=tid, ts=time_us, **fields)

    def _write(self, phase: str, pid: int, **fields: Any) -> None:
        self._file.write(f"{self._before}\n{_text({'ph': phase, 'pid': pid, **fields})}")
        self._before = ","


_text = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _changes(points: Iterable[tuple[float, float]]) -> Iterator[tuple[int, float]]:
    """Yield the last value of each microsecond, where it differs from the one before."""
    shown: float | None = None
    held: tuple[int, float] | None = None
    for time_s, value in points:
        time_us = microseconds(time_s)
        if held is not None and held[0] != time_us and held[1] != shown:
            yield held
            shown = held[1]
        held = (time_us, value)
    if held is not None and held[1] != shown:
        yield held
