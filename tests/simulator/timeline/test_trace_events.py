"""The Trace Event Format: lanes, counters and arrows as they are written."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest

from simulator.timeline.curves import counted, summed
from simulator.timeline.trace_events import Slice, Trace


def written(*groups: list[Slice], **counters: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Return the events of one process with these groups of lanes and counters."""
    file = io.StringIO()
    trace = Trace(file, {})
    pid = trace.process("device")
    for number, slices in enumerate(groups):
        trace.lanes(pid, f"group {number}", slices)
    for name, points in counters.items():
        trace.counter(pid, name, "unit", points)
    trace.close()
    events: list[dict[str, Any]] = json.loads(file.getvalue())["traceEvents"]
    return events


def test_a_trace_without_events_is_valid() -> None:
    file = io.StringIO()
    Trace(file, {"scenario": "none"}).close()
    assert json.loads(file.getvalue()) == {
        "displayTimeUnit": "ms",
        "otherData": {"scenario": "none"},
        "traceEvents": [],
    }


def test_no_more_lanes_than_slices_that_overlap() -> None:
    rng = random.Random(0)
    starts = sorted(rng.uniform(0.0, 10.0) for _ in range(300))
    slices = [Slice("x", start, start + rng.choice([0.0, 0.01, 1.0]), {}) for start in starts]
    events = [it for it in written(slices) if it["ph"] == "X"]
    ends: dict[int, int] = {}
    for it in events:
        assert ends.get(it["tid"], 0) <= it["ts"]
        ends[it["tid"]] = it["ts"] + it["dur"]
    most = max(sum(it["ts"] <= at["ts"] < it["ts"] + it["dur"] for it in events) for at in events)
    assert len(ends) in (most, most + 1), "one more where a slice without length falls into full lanes"


def test_slices_that_touch_share_a_lane() -> None:
    events = written([Slice("a", 0.0, 1.0, {}), Slice("b", 1.0, 2.0, {}), Slice("c", 1.5, 3.0, {})])
    assert [it["tid"] for it in events if it["ph"] == "X"] == [1, 1, 2]
    names = [it["args"]["name"] for it in events if it["name"] == "thread_name"]
    assert names == ["group 0", "group 0 2"]


def test_parts_come_after_what_they_are_parts_of() -> None:
    parts = (Slice("a", 0.0, 0.4, {}), Slice("b", 0.4, 1.0, {}))
    events = [it for it in written([Slice("whole", 0.0, 1.0, {}, parts)]) if it["ph"] == "X"]
    assert [(it["name"], it["ts"], it["dur"]) for it in events] == [
        ("whole", 0, 1_000_000),
        ("a", 0, 400_000),
        ("b", 400_000, 600_000),
    ]


def test_a_counter_has_one_value_per_microsecond_and_none_that_changes_nothing() -> None:
    points = [(0.0, 1.0), (1.0, 2.0), (1.0 + 1e-8, 1.0), (2.0, 1.0), (3.0, 5.0), (4.0, 0.0)]
    events = [it for it in written(load=points) if it["ph"] == "C"]
    assert [(it["ts"], it["args"]) for it in events] == [
        (0, {"unit": 1.0}),
        (3_000_000, {"unit": 5.0}),
        (4_000_000, {"unit": 0.0}),
    ]


@pytest.mark.parametrize(
    ("source", "target", "drawn"),
    [
        ((0.0, 1.0), (1.0, 2.0), True),
        ((0.0, 1.0), (0.5, 2.0), False),  # it would go back in time
        ((1.0, 1.0), (1.0, 2.0), False),  # no slice to begin in
        ((0.0, 1.0), (1.0, 1.0), False),  # nor to end at
    ],
)
def test_an_arrow_joins_two_slices(
    source: tuple[float, float], target: tuple[float, float], drawn: bool
) -> None:
    file = io.StringIO()
    trace = Trace(file, {})
    pid = trace.process("device")
    one, two = Slice("one", *source, {}), Slice("two", *target, {})
    trace.arrow("then", one, 1.0, two)
    trace.lanes(pid, "first", [one])
    trace.lanes(pid, "second", [two])
    trace.close()
    ends = [it for it in json.loads(file.getvalue())["traceEvents"] if it["ph"] in "sf"]
    assert [(it["ph"], it["tid"], it["ts"]) for it in ends] == [
        ("s", 1, 999_999),
        ("f", 2, 1_000_000),
    ] * drawn


def test_sums_of_spans() -> None:
    assert counted([0.0, 1.0, 1.0], [2.0, 1.5, 1.0], 3.0) == [
        (0.0, 1),
        (1.0, 2),
        (1.5, 1),
        (2.0, 0),
        (3.0, 0),
    ]
    points = summed([0.0, 0.1], [0.3, 0.2], [0.1, 0.7], 1.0)
    assert points[-2] == (0.3, 0), "exactly 0, although 0.1 + 0.7 - 0.7 - 0.1 is not"
