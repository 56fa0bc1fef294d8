"""Phones of streaming services on a timeline: chunks in their pipeline, what viewers saw, power, heat, battery."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.experiments.run_store import StoredRun
from simulator.timeline.trace_events import Slice, Trace
from simulator.viz.pipeline import bars
from simulator.viz.viewers import TINY_S, Course, courses

TRACKS = {
    "download": "download",
    "decode": "decode",
    "super-resolve": "SR",
    "encode": "encode",
    "forward": "transmit",
    "broadcast": "transmit",
}
"""Track by stage."""


def add_phones(trace: Trace, run: StoredRun) -> None:
    """Write a process for each phone and helper of each session of each streaming service of a run."""
    for service in run.scenario.streaming_services:
        tables = [
            frame[frame["service"] == service] for frame in (run.viewers, run.viewing, run.phones, run.chunks)
        ]
        sessions = sorted(set(tables[0]["session"]))
        for session in sessions:
            viewers, viewing, phones, chunks = (table[table["session"] == session] for table in tables)
            stages = bars(chunks).assign(track=lambda table: table["stage"].map(TRACKS))
            where = f"{service}, session {session}" if len(sessions) > 1 else service
            devices = dict(zip(viewers["phone"].astype(str), viewers["device"].astype(str), strict=True))
            for course in courses(viewing, viewers, phones):
                phone, device = course.phone, devices[course.phone]
                pid = trace.process(
                    f"{phone}: {where}" if phone == device else f"{phone} ({device}): {where}"
                )
                _add_stages(trace, pid, stages[stages["phone"] == phone])
                trace.lanes(pid, "viewer", _viewed(course))
                if course.here[1] > course.here[0]:
                    trace.lanes(pid, "switched on", [Slice(course.gone or "on", *course.here, {})])
                trace.lanes(pid, "state", _states(course))
                _add_counters(trace, pid, phones[phones["phone"] == phone].sort_values("time_s"))
            for helper in sorted(set(stages["phone"].astype(str)) - set(devices)):
                pid = trace.process(f"{helper} (helper): {where}")
                _add_stages(trace, pid, stages[stages["phone"] == helper])


def _add_stages(trace: Trace, pid: int, own: pd.DataFrame) -> None:
    for track in dict.fromkeys(TRACKS.values()):
        trace.lanes(pid, track, _chunks(own[own["track"] == track]))


def _chunks(rows: pd.DataFrame) -> Iterator[Slice]:
    for row in rows.sort_values(["start_s", "chunk"], kind="stable").to_dict("records"):
        args = {"chunk": row["chunk"], "stage": row["stage"]}
        yield Slice(f"chunk {row['chunk']}", row["start_s"], row["end_s"], args)


def _viewed(course: Course) -> list[Slice]:
    """Return what the viewer saw: the wait for the first picture, each chunk until the next or a stall, and stalls."""
    slices = [Slice("stalled", start_s, end_s, {}) for start_s, end_s in course.stalls]
    if course.startup is not None and course.startup[1] > course.startup[0]:
        slices.append(Slice("start-up", *course.startup, {}))
    chunk = course.chunks["chunk"].tolist()
    play_s = course.chunks["play_s"].tolist()
    stall_s = np.where(course.chunks["stall_s"] > TINY_S, course.chunks["stall_s"], 0.0).tolist()
    ends_s = [play - stall for play, stall in zip(play_s[1:], stall_s[1:], strict=True)]
    ends_s += [course.played_until_s] * bool(play_s)
    slices += [
        Slice("playing", start_s, end_s, {"chunk": number})
        for number, start_s, end_s in zip(chunk, play_s, ends_s, strict=True)
    ]
    return sorted(slices, key=lambda it: (it.start_s, it.end_s))


def _states(course: Course) -> list[Slice]:
    """Return when the phone was out of the group or too hot."""
    slices = []
    for name, spans in (("away", course.away), ("throttled", course.throttled), ("stopped", course.stopped)):
        slices += [Slice(name, start_s, end_s, {}) for start_s, end_s in spans]
    return sorted(slices, key=lambda it: (it.start_s, -it.end_s, it.name))


def _add_counters(trace: Trace, pid: int, rows: pd.DataFrame) -> None:
    """Write the mean power of each interval and the state at its end; power and buffer are 0 once the phone is off."""
    times = rows["time_s"].tolist()
    since = (rows["time_s"] - rows["interval_s"]).tolist()
    off = [(times[-1], 0.0)] if times else []
    trace.counter(pid, "power", "W", [*zip(since, rows["power_w"].tolist(), strict=True), *off])
    for column, name, unit in (("temperature_c", "temperature", "°C"), ("battery_j", "battery", "J")):
        trace.counter(pid, name, unit, zip(times, rows[column].tolist(), strict=True))
    trace.counter(pid, "buffer", "s", [*zip(times, rows["buffer_s"].tolist(), strict=True), *off])
