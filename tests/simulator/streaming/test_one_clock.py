"""Sessions on the simulation's one clock: one after the other, many groups side by side, beside other services."""

from __future__ import annotations

from math import inf, isnan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.errors import InputError
from simulator.core import Environment, Streams
from simulator.policies.collaboration.oasis import Oasis
from simulator.scenario import load_text
from simulator.scenario.load import Resolver
from simulator.streaming.group import Group, GroupResult, GroupRun, Shared, simulate_group
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.service import StreamedVideo
from simulator.world import RunResult, simulate

TEXT = """\
version: 1
name: groups
devices:
  a: {profile: galaxy-s20-ultra, phone: {wwan: {trace: synthetic, like: norway-3g}}}
  b: {profile: pixel-5, phone: {wwan: {trace: synthetic, like: ghent-4g}, joins: 7 s}}
  c: {profile: galaxy-s10, phone: {wwan: {trace: synthetic, like: ghent-4g}, away: [{start: 9 s, end: 14 s}]}}
  d: {profile: pixel-5, phone: {leaves: 20 s}}
services:
  video: {kind: streaming, phones: [a, b, c, d], group_size: 2}
workloads:
  watch: {trace: video, service: video, segments: 40}
"""
CHAT = """\
  chat: {trace: synthetic, service: chat, requests: 3, arrivals: at_once, input_tokens: 9, output_tokens: 4}
"""


def run(*overrides: str, text: str = TEXT) -> RunResult:
    return simulate(load_text(text, overrides))


def rows(result: RunResult, *phones: str) -> list[dict[str, Any]]:
    """Return the viewers' rows of some phones, without the times of the clock."""
    table = result.viewers["video"]
    names = [
        name for name in table.schema if name not in ("session", "end_s", "session_start_s", "session_end_s")
    ]
    columns = {
        name: [None if isinstance(it, float) and isnan(it) else it for it in table.column(name).tolist()]
        for name in names
    }
    each = [{name: columns[name][row] for name in names} for row in range(len(table))]
    return [row for row in each if row["phone"] in phones]


def close(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return [list(row.values()) for row in one] == [
        [
            it if it is None or isinstance(it, str) else pytest.approx(it, rel=1e-9, abs=1e-9)
            for it in row.values()
        ]
        for row in other
    ]


@pytest.mark.parametrize("policy", ["oasis", "mpbond", "microcast", "no_collaboration"])
def test_a_session_that_begins_later_is_the_same_session(policy: str) -> None:
    chosen = f"services.video.policies.collaboration={policy}"
    now, later = run(chosen), run(chosen, "workloads.watch.delay=1234.5 s")
    assert close(rows(now, *"abcd"), rows(later, *"abcd"))
    for number, session in now.sessions["video"].items():
        shifted = later.sessions["video"][number]
        assert (session.start_s, shifted.start_s) == (0.0, 1234.5)
        assert shifted.end_s == pytest.approx(1234.5 + session.end_s)
        for table, name in (("chunks", "complete_s"), ("viewing", "play_s"), ("intervals", "time_s")):
            before, after = (getattr(it, table).column(name) for it in (session, shifted))
            np.testing.assert_allclose(after - 1234.5, before, atol=1e-8)
        assert [it[1:] for it in shifted.log] == [it[1:] for it in session.log]


def test_a_group_among_others_is_as_it_is_alone() -> None:
    together = run()
    for pair in ("ab", "cd"):
        others = [
            line
            for line in TEXT.splitlines()
            if line[:3] not in {f"  {it}" for it in set("abcd") - set(pair)}
        ]
        alone = run(
            "services.video.group_size=null", text="\n".join(others).replace("a, b, c, d", ", ".join(pair))
        )
        assert rows(together, *pair) == rows(alone, *pair)
    assert together.simulated_s == max(it.end_s for it in together.sessions["video"].values())


def test_the_last_group_takes_who_is_left() -> None:
    result = run("services.video.group_size=3", "devices.d.phone.wwan={trace: steady, bandwidth: 3 Mbit/s}")
    assert [list(it.phones) for _, it in sorted(result.sessions["video"].items())] == [["a", "b", "c"], ["d"]]


def test_sessions_of_a_group_follow_one_another() -> None:
    result = run("workloads.watch.sessions=3", "workloads.watch.delay=5 s")
    sessions = result.sessions["video"]
    assert sorted(sessions) == list(range(6))
    for group in (0, 1):
        mine = [sessions[number] for number in (group, group + 2, group + 4)]
        assert mine[0].start_s == 5.0
        assert [it.start_s for it in mine[1:]] == [it.end_s for it in mine[:-1]]
    numbers = result.viewers["video"].column("session")
    first = [row for row, number in zip(rows(result, *"abcd"), numbers, strict=True) if number < 2]
    assert first == rows(run("workloads.watch.delay=5 s"), *"abcd"), "it knows nothing of the next"


def test_groups_begin_within_the_spread() -> None:
    text = TEXT.replace("a: {profile: galaxy-s20-ultra,", "a: {profile: galaxy-s20-ultra, count: 20,")
    text = text.replace("[a, b, c, d]", "[a]").replace(
        "segments: 40", "segments: 5, delay: 3 s, spread: 1 min"
    )
    kept = "\n".join(line for line in text.splitlines() if line[:3] not in ("  b", "  c", "  d"))
    starts = [it.start_s for it in run(text=kept).sessions["video"].values()]
    assert len(set(starts)) == 10 and 3.0 <= min(starts) < 20.0 and 40.0 < max(starts) <= 63.0
    again = [
        it.start_s
        for it in run("services.video.policies.collaboration=mpbond", text=kept).sessions["video"].values()
    ]
    assert sorted(again) == sorted(starts), "whatever the policy"


def test_services_have_one_clock() -> None:
    text = TEXT.replace("devices:\n", "devices:\n  gpu: {profile: a100-80g-sxm}\n")
    text = (
        text.replace("services:\n", "services:\n  chat: {kind: llm, model: llama-2-7b, gpus: gpu}\n") + CHAT
    )
    alone, late = run(), run("workloads.chat.delay=2000 s", text=text)
    assert late.summary()["services"]["video"] == alone.summary()["services"]["video"]  # type: ignore[index]
    assert late.simulated_s > 2000.0 > alone.simulated_s
    early = run(text=text)
    assert early.simulated_s == alone.simulated_s, "the questions are answered long before the video ends"
    assert early.devices["gpu"].energy_j < late.devices["gpu"].energy_j


def test_the_horizon_ends_what_plays_and_begins_no_more() -> None:
    whole = run("workloads.watch.sessions=3").sessions["video"]
    horizon_s = (whole[2].start_s + whole[2].end_s) / 2.0
    result = run("workloads.watch.sessions=3", f"horizon={horizon_s} s")
    sessions = result.sessions["video"]
    assert set(sessions) == {number for number, it in whole.items() if it.start_s < horizon_s}
    assert all(it.end_s == min(whole[number].end_s, horizon_s) for number, it in sessions.items())
    assert result.simulated_s == horizon_s
    assert any(f"{6 - len(sessions)} of 6 sessions had not begun" in note for note in result.notes)
    cut = result.sessions["video"][2]
    assert not cut.complete
    for phone in cut.phones.values():
        mine = cut.intervals.column("phone") == phone.name
        power_j = float(cut.intervals.column("power_w")[mine] @ cut.intervals.column("interval_s")[mine])
        assert phone.total_j == pytest.approx(power_j), "booked up to the horizon"
    none = run("horizon=3 s", "workloads.watch.delay=4 s")
    assert not none.sessions["video"] and none.summary()["simulated_s"] == 3.0


def test_what_was_planned_for_a_session_that_is_over_keeps_no_clock_alive() -> None:
    result = run("devices.d.phone.leaves=4000 s", "devices.c.phone.away=[{start: 3000 s, end: 3001 s}]")
    assert result.simulated_s < 200.0
    env = Environment()
    done: list[GroupResult] = []
    GroupRun(env, _group(), Oasis(), None, Shared(), done.append).begin()
    env.run()
    assert env.peek() == inf and env.now == done[0].end_s


def test_a_group_alone_begins_at_0() -> None:
    result = simulate_group(_group(), Oasis())
    assert result.start_s == 0.0 and result.complete


def _group() -> Group:
    return StreamedVideo(load_text(TEXT), "video", Streams(0), Resolver(Path())).group(0)


def test_a_group_without_a_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"services\.video\.group_size: .*group 3 \(d\) has no WWAN"):
        load_text(TEXT, ["services.video.group_size=1"])


def test_a_constant_network_is_the_same_from_any_time_on() -> None:
    steady = NetworkTrace("steady", (1.0,), (8e6,), (0.1,))
    assert steady.starting_at(-0.3) is steady
    trace = NetworkTrace("n", (2.0, 3.0), (1e6, 2e6))
    assert trace.starting_at(-1.5).last_byte_s(1.5, 4e6) == pytest.approx(1.5 + trace.last_byte_s(0.0, 4e6))
