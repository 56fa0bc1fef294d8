"""Phones that join, leave, die, go out of range and run hot: no chunk is lost, none is played twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import InputError
from simulator.policies.collaboration.abr_halves import FixedCombination, SinglePlayerRule
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.microcast import MicroCast
from simulator.policies.collaboration.mpbond import MpBond
from simulator.policies.collaboration.no_collaboration import NoCollaboration
from simulator.policies.collaboration.oasis_scheduler import OasisScheduler
from simulator.policies.collaboration.protocol import EVERYONE, Assignment, ChunkView, GroupView
from simulator.streaming.group import GroupResult, Thermal, simulate_group

SEGMENTS = 24
LIMIT_S = 3000.0
"""A session that lasts so long stands still."""


def events(result: GroupResult, what: str) -> list[tuple[float, str, int]]:
    return [(entry.time_s, entry.phone, entry.chunk) for entry in result.log if entry.what == what]


def played(result: GroupResult, phone: str) -> list[int]:
    names, chunks = result.viewing.column("phone"), result.viewing.column("chunk")
    return [int(chunk) for name, chunk in zip(names, chunks, strict=True) if name == phone]


@dataclass
class Whim:
    """A scheduling half that gives chunks to anybody who may have them."""

    seed: int
    waits_for_iteration: bool
    draw: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        draw, assignments = self.draw, []
        assert all(phone.assigned() >= 0 for phone in view.phones)
        present = [phone for phone in view.phones if phone.present]
        for chunk in unassigned:
            if assignments and draw.random() < 0.3:
                break  # defers the rest
            downloaders = list(chunk.holders) or [phone.index for phone in present if phone.has_wwan]
            processors = [phone.index for phone in present if phone.sr_chunks_per_s(chunk.combination)]
            if not downloaders or not processors:
                continue
            downloader = draw.choice(downloaders)
            processor = downloader
            if chunk.combination.sr:
                processor = EVERYONE if draw.random() < 0.15 else draw.choice(processors)
            assignments.append(Assignment(chunk.index, downloader, processor))
        return assignments


def fields_of_churn() -> st.SearchStrategy[dict[str, Any]]:
    times = st.floats(0.5, 40.0, allow_nan=False).map(lambda time_s: round(time_s, 1))
    spans = st.lists(times, max_size=4, unique=True).map(
        lambda ends: tuple(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
    )
    return st.fixed_dictionaries(
        {
            "joins_s": st.one_of(st.just(0.0), times),
            "leaves_s": st.one_of(st.just(inf), times.map(lambda time_s: time_s + 40.0), times),
            "away_s": spans,
            "moves": st.lists(st.tuples(times, st.floats(0.0, 400.0), st.just(0.0)), max_size=3).map(
                lambda moves: tuple(sorted(moves))
            ),
            "battery_j": st.sampled_from([5e4, 5e4, 60.0, 150.0]),
            "mbps": st.sampled_from([None, 0.5, 2.0, 6.0]),
            "fps": st.sampled_from([None, 5.0, 20.0]),
            "thermal": st.sampled_from(
                [
                    Thermal(),
                    Thermal(resistance_k_per_w=8.0, time_constant_s=4.0, throttle_c=40.0, stop_c=44.0),
                ]
            ),
        }
    )


a_session = given(
    others=st.lists(fields_of_churn(), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
    waits=st.booleans(),
    chunks=st.integers(1, 7),
    controller=st.integers(0, 4),
    policy=st.sampled_from(["whim", "idle", "everyone", "oasis", "mpbond", "microcast"]),
    plain=st.booleans(),
    pipelined=st.booleans(),
    cap_s=st.sampled_from([3.0, 8.0, 25.0]),
    startup_chunks=st.integers(1, 3),
)


@a_session
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_chunk_is_lost_or_played_twice(lab: SimpleNamespace, **drawn: Any) -> None:
    check(lab, **drawn)


@pytest.mark.slow
@a_session
@settings(max_examples=20_000, deadline=None)
def test_no_chunk_is_lost_or_played_twice_in_many_sessions(lab: SimpleNamespace, **drawn: Any) -> None:
    check(lab, **drawn)


def check(
    lab: SimpleNamespace,
    others: list[dict[str, Any]],
    seed: int,
    waits: bool,
    chunks: int,
    controller: int,
    policy: str,
    plain: bool,
    pipelined: bool,
    cap_s: float,
    startup_chunks: int,
) -> None:
    """Play a session and look for what must not be."""
    phones = [lab.phone("anchor", mbps=4.0, fps=8.0)]
    for number, fields in enumerate(others):
        values = {**fields}
        if values["leaves_s"] <= values["joins_s"]:
            values["leaves_s"] = inf
        phones.append(lab.phone(f"p{number}", **values))
    group = lab.group(
        phones,
        SEGMENTS,
        controller=controller % len(phones),
        pipelined=pipelined,
        buffer_cap_s=cap_s,
        startup_chunks=startup_chunks,
        limit_s=LIMIT_S,
    )
    schedulers = {
        "whim": lambda: Whim(seed, waits),
        "idle": IdleTakesNext,
        "everyone": lambda: IdleTakesNext(everyone=True),
        "oasis": OasisScheduler,
        "mpbond": MpBond().scheduler,
        "microcast": MicroCast().scheduler,
    }
    half = SinglePlayerRule(chunks=chunks) if plain else FixedCombination(chunks=chunks)
    result = simulate_group(group, lab.Policy(schedulers[policy], half))

    assert result.end_s < LIMIT_S
    # The anchor never leaves and can do everything: unless the group has gone away from it, it saw the whole video.
    last_seen = {entry.phone: entry.what for entry in result.log if entry.what in ("enter", "exit")}
    if last_seen["anchor"] == "enter":
        assert played(result, "anchor") == list(range(SEGMENTS))
        assert {int(chunk) for chunk in result.chunks.column("chunk")} == set(range(SEGMENTS))
    for phone in phones:
        name, figures = phone.name, result.phones[phone.name]
        seen = played(result, name)
        assert seen == list(range(figures.first_chunk, figures.first_chunk + len(seen)))
        assert figures.played == len(seen)
        assert all(joules >= -1e-9 for joules in figures.energy_j.values())
        assert figures.battery_j == pytest.approx(max(phone.battery_j - figures.total_j, 0.0))
        table = result.intervals
        mine = table.column("phone") == name
        drawn_j = table.column("power_w")[mine] @ table.column("interval_s")[mine]
        assert figures.total_j == pytest.approx(drawn_j)
    table = result.viewing
    columns = zip(
        *(table.column(name) for name in ("phone", "play_s", "available_s", "stall_s")), strict=True
    )
    gone_s = {phone: time_s for what in ("leave", "die") for time_s, phone, _ in events(result, what)}
    last: dict[str, float] = {}
    stalled_s: Counter[str] = Counter()
    for name, play_s, available_s, stall_s in columns:
        assert play_s >= available_s - 1e-9
        assert play_s < gone_s.get(name, inf)
        assert stall_s >= 0.0
        assert play_s >= last.get(name, 0.0) + (1.0 if name in last else 0.0) - 1e-9
        last[name] = play_s
        stalled_s[name] += stall_s
    for name, figures in result.phones.items():
        left_s = gone_s.get(name, result.end_s)
        assert stalled_s[name] - 1e-9 <= figures.stall_s <= left_s
    assert result.air_busy_s <= result.end_s + 1e-9
    times = [entry.time_s for entry in result.log]
    assert times == sorted(times)
    # Everything assigned was finished or taken back, and nobody who could go on is left with a chunk unassigned.
    assigned = Counter(chunk for _, _, chunk in events(result, "assign"))
    taken_back = Counter(chunk for _, _, chunk in events(result, "reassign"))
    restored = Counter(chunk for _, _, chunk in events(result, "restore"))
    given_now = {index: assigned[index] + restored[index] - taken_back[index] for index in range(SEGMENTS)}
    assert set(given_now.values()) <= {0, 1}
    if any(phone.wwan is not None and last_seen.get(phone.name) == "enter" for phone in phones):
        assert assigned + restored == Counter(range(SEGMENTS)) + taken_back


def test_a_processor_that_leaves_costs_a_reassignment_and_a_stall(lab: SimpleNamespace) -> None:
    # b leaves at 1.5 s, in the middle of its SR of chunk 0, which a still holds: nothing is downloaded again.
    phones = [lab.phone("a"), lab.phone("b", leaves_s=1.5)]
    result = simulate_group(
        lab.group(phones, 2),
        lab.Policy(lambda: ThenFirst(lab.Script([(0, 1), (0, 0)])), FixedCombination(chunks=2)),
    )
    assert [(time_s, chunk) for time_s, _, chunk in events(result, "reassign")] == [(1.5, 0)]
    assert [(phone, chunk) for _, phone, chunk in events(result, "download")] == [("a", 0), ("a", 1)]
    assert [(time_s, phone) for time_s, phone, _ in events(result, "process")] == [
        (1.125, "b"),
        (1.5, "a"),
        (2.0, "a"),
    ]
    assert played(result, "a") == [0, 1]
    assert played(result, "b") == []
    assert not result.phones["b"].alive
    assert result.complete  # of those who stayed


def test_what_only_the_lost_phone_had_is_downloaded_again(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a"), lab.phone("b", leaves_s=1.5)]
    result = simulate_group(lab.group(phones, 1), lab.Policy(lambda: ThenFirst(lab.Script([(1, 1)]))))
    assert [(time_s, phone) for time_s, phone, _ in events(result, "download")] == [(0.0, "b"), (1.5, "a")]
    assert result.phones["a"].startup_s == pytest.approx(1.5 + 1.0 + 0.02 + 1.0 + 0.04)


@dataclass
class ThenFirst:
    """A script while its phones are present; after that the first phone does everything."""

    script: Any
    waits_for_iteration: bool = True

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        if all(phone.present for phone in view.phones):
            return list(self.script.assign(view, unassigned))
        return [Assignment(chunk.index, 0, 0) for chunk in unassigned]


def test_a_phone_out_of_range_catches_up_when_it_returns(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", mbps=20.0, fps=40.0), lab.phone("b", mbps=None, away_s=((3.0, 9.0),))]
    result = simulate_group(lab.group(phones, 30, buffer_cap_s=4.0), lab.Policy(IdleTakesNext))
    assert played(result, "b") == list(range(30))
    assert result.phones["a"].stall_s == 0.0
    assert 1.0 < result.phones["b"].stall_s < 6.0 + 1.0  # away 6 s, with some seconds in the buffer
    assert result.complete


def test_what_all_who_stay_have_is_not_given_away_again(lab: SimpleNamespace) -> None:
    # a goes out of range while it sends chunk 0 to b, which is to have it anew but leaves before anybody can make it.
    phones = [lab.phone("a", away_s=((2.1, 6.0),)), lab.phone("b", mbps=None, fps=None, leaves_s=4.0)]
    result = simulate_group(lab.group(phones, 4), lab.Policy(IdleTakesNext))
    assert (2.1, "", 0) in events(result, "reassign")
    assert [time_s for time_s, _, chunk in events(result, "assign") if chunk == 0] == [0.0]
    back_s = next(time_s for time_s, phone, _ in events(result, "enter") if phone == "a" and time_s > 2.1)
    assert events(result, "restore") == [(back_s, "a", 0)]
    assert (back_s, "", 0) in events(result, "complete")
    assert played(result, "a") == [0, 1, 2, 3]


def test_a_distance_out_of_range_is_an_absence(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", mbps=20.0, fps=40.0), lab.phone("b", moves=((3.0, 400.0, 0.0), (9.0, 5.0, 0.0)))]
    result = simulate_group(lab.group(phones, 30, buffer_cap_s=4.0), lab.Policy(IdleTakesNext))
    assert events(result, "exit") == [(3.0, "b", -1)]
    assert events(result, "enter")[-1] == (9.0, "b", -1)
    assert played(result, "b") == list(range(30))


def test_who_joins_watches_what_the_others_watch_after_finding_them(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", mbps=20.0, fps=40.0), lab.phone("b", joins_s=5.0)]
    result = simulate_group(lab.group(phones, 30), lab.Policy(IdleTakesNext))
    wlan = lab.WLAN
    assert events(result, "enter")[-1] == (5.0 + wlan.discovery_s + wlan.connect_s, "b", -1)
    first = result.phones["b"].first_chunk
    assert 4 <= first <= 6
    assert played(result, "b") == list(range(first, 30))
    startup_s = result.phones["b"].startup_s
    assert startup_s is not None
    assert startup_s >= wlan.discovery_s + wlan.connect_s


def test_the_controllers_death_costs_the_others_a_reconnection(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", battery_j=20.0), *(lab.phone(name, mbps=20.0, fps=40.0) for name in "bc")]
    result = simulate_group(lab.group(phones, 30), lab.Policy(IdleTakesNext))
    (died,) = events(result, "die")
    assert died[1] == "a"
    assert result.phones["a"].battery_j == 0.0
    assert [(phone, time_s) for time_s, phone, _ in events(result, "controller")][1] == ("b", died[0])
    wlan = lab.WLAN
    assert events(result, "enter")[-1] == (died[0] + wlan.discovery_s + wlan.connect_s, "c", -1)
    for name in "bc":
        assert played(result, name) == list(range(30))


def test_heat_throttles_then_stops_and_others_take_over(lab: SimpleNamespace) -> None:
    hot = Thermal(resistance_k_per_w=10.0, time_constant_s=10.0, throttle_c=45.0, stop_c=55.0)
    cool_phone = lab.phone("a", mbps=20.0, fps=20.0)
    group = lab.group([lab.phone("h", mbps=20.0, fps=10.0, thermal=hot), cool_phone], 80)
    result = simulate_group(group, lab.Policy(IdleTakesNext))
    first_throttled = events(result, "throttled")[0][0]
    stopped = events(result, "stopped")[0][0]
    assert 2.0 < first_throttled < stopped
    assert max(temperature for temperature in result.intervals.column("temperature_c")) < 60.0
    assert {phone for time_s, phone, _ in events(result, "process") if stopped < time_s < stopped + 2.0} == {
        "a"
    }
    for name in "ha":
        assert played(result, name) == list(range(80))
    rate = {
        bool(row_start > first_throttled): end - row_start
        for name, row_start, end in zip(
            result.chunks.column("processor"),
            result.chunks.column("sr_start_s"),
            result.chunks.column("sr_end_s"),
            strict=True,
        )
        if name == "h" and row_start < stopped
    }
    assert rate[True] == pytest.approx(rate[False] / hot.throttled_share)


def test_where_all_are_too_hot_chunks_come_without_sr(lab: SimpleNamespace) -> None:
    hot = Thermal(resistance_k_per_w=8.0, time_constant_s=4.0, throttle_c=40.0, stop_c=45.0)
    result = simulate_group(
        lab.group([lab.phone("a", mbps=20.0, thermal=hot)], 40), lab.Policy(IdleTakesNext)
    )
    assert events(result, "stopped")
    assert set(result.chunks.column("combination")) == {"180p", "180p-720p"}
    assert result.complete


def test_a_group_without_any_wwan_is_an_error(lab: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="no phone has a WWAN"):
        lab.group([lab.phone("a", mbps=None)], 3)
    with pytest.raises(InputError, match="no phone can run 180p-720p; they run: none"):
        lab.group([lab.phone("a", fps=None)], 3)
    with pytest.raises(InputError, match="two phones are called 'a'"):
        lab.group([lab.phone("a"), lab.phone("a")], 3)
    group = lab.group([lab.phone("a")], 3)
    with pytest.raises(InputError) as caught:
        replace(group, controller=4, startup_chunks=99, tick_s=0.0)
    assert len(caught.value.faults) == 3


def test_when_the_only_wwan_leaves_the_session_ends_with_what_there_is(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", leaves_s=4.0, fps=40.0), lab.phone("b", mbps=None, fps=40.0)]
    result = simulate_group(lab.group(phones, 30), lab.Policy(IdleTakesNext))
    assert not result.complete
    seen = played(result, "b")
    assert 0 < len(seen) < 6
    assert result.phones["b"].end_s < 10.0


def test_a_controller_that_moves_off_alone_leaves_a_group_that_can_go_on(lab: SimpleNamespace) -> None:
    # The queues of those who stay hold transmissions to the one that is out of range now.
    phones = [lab.phone("a", mbps=4.0, fps=8.0), lab.phone("b", mbps=None, fps=None)]
    phones.append(lab.phone("c", mbps=None, fps=5.0, moves=((17.0, 301.0, 0.0),)))
    group = lab.group(phones, SEGMENTS, controller=2)
    result = simulate_group(group, lab.Policy(lambda: IdleTakesNext(everyone=True)))
    assert events(result, "controller") == [(0.0, "c", -1), (17.0, "a", -1)]
    for name in "ab":
        assert played(result, name) == list(range(SEGMENTS))


def test_the_larger_part_of_a_group_goes_on(lab: SimpleNamespace) -> None:
    # d, the controller, moves away with c still in its range; a and b, and e far from both, are more.
    phones = [
        lab.phone("a", mbps=4.0, fps=8.0),
        lab.phone("b", mbps=None, fps=None),
        lab.phone("e", mbps=None),
    ]
    phones.append(lab.phone("c", mbps=None, position_m=(50.0, 0.0)))
    phones.append(lab.phone("d", mbps=None, moves=((5.0, 301.0, 0.0),)))
    group = lab.group(phones, SEGMENTS, controller=4)
    result = simulate_group(group, lab.Policy(IdleTakesNext))
    assert [(time_s, phone) for time_s, phone, _ in events(result, "controller")] == [(0.0, "d"), (5.0, "a")]
    for name in "abec":
        assert played(result, name) == list(range(SEGMENTS))


def test_who_takes_over_is_in_range_of_the_others(lab: SimpleNamespace) -> None:
    # b is 250 m to one side of the controller, c and d are on the other.
    phones = [lab.phone("a", leaves_s=5.0)]
    phones.append(lab.phone("b", position_m=(-250.0, 0.0)))
    phones += [lab.phone(name, mbps=20.0, fps=40.0, position_m=(100.0, 0.0)) for name in "cd"]
    group = lab.group(phones, SEGMENTS)
    result = simulate_group(group, lab.Policy(IdleTakesNext))
    assert events(result, "controller")[1][1] == "c"
    for name in "cd":
        assert played(result, name) == list(range(SEGMENTS))


def test_who_was_out_of_range_goes_on_when_the_controller_is_gone(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", leaves_s=5.0), lab.phone("b", position_m=(400.0, 0.0))]
    result = simulate_group(lab.group(phones, 4), lab.Policy(IdleTakesNext))
    assert events(result, "controller") == [(0.0, "a", -1), (5.0, "b", -1)]
    assert played(result, "b") == list(range(4))


def test_the_old_controller_has_to_find_the_new_hotspot(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", away_s=((3.0, 6.0),)), lab.phone("b", mbps=20.0, fps=40.0)]
    result = simulate_group(lab.group(phones, 30), lab.Policy(IdleTakesNext))
    wlan = lab.WLAN
    assert events(result, "controller") == [(0.0, "a", -1), (3.0, "b", -1)]
    assert events(result, "enter")[-1] == (6.0 + wlan.discovery_s + wlan.connect_s, "a", -1)
    assert played(result, "a") == list(range(30))


def test_a_download_that_waits_for_room_yields_to_a_chunk_that_came_back(lab: SimpleNamespace) -> None:
    # At 41 s b leaves with chunks that a lacks. What a was to download next has no room before those are played.
    phones = [lab.phone("a", mbps=4.0, fps=8.0)]
    phones.append(lab.phone("b", mbps=0.5, fps=None, leaves_s=41.0, moves=((1.0, 114.0, 0.0),)))
    group = lab.group(phones, SEGMENTS, buffer_cap_s=3.0, pipelined=False)
    result = simulate_group(group, lab.Policy(IdleTakesNext, SinglePlayerRule(chunks=1)))
    assert played(result, "a") == list(range(SEGMENTS))
    assert result.end_s < 100.0


def test_heat_takes_no_plain_download_back(lab: SimpleNamespace) -> None:
    hot = Thermal(resistance_k_per_w=8.0, time_constant_s=2.0, throttle_c=40.0, stop_c=44.0)
    group = lab.group([lab.phone("a", mbps=0.3, thermal=hot)], 4)
    result = simulate_group(group, lab.Policy(IdleTakesNext, lab.Levels()))
    assert events(result, "stopped")
    assert events(result, "reassign") == []


def test_a_phone_that_is_too_hot_by_the_time_a_chunk_comes_does_not_process_it(lab: SimpleNamespace) -> None:
    # The chunk is under way to both for 10 s; b stops at about 3 s.
    hot = Thermal(resistance_k_per_w=20.0, time_constant_s=3.0, throttle_c=43.0, stop_c=44.0)
    phones = [lab.phone("a"), lab.phone("b", mbps=None, position_m=(300.0, 0.0), thermal=hot)]
    policy = lab.Policy(lambda: lab.Script([(0, EVERYONE)]))
    result = simulate_group(lab.group(phones, 1), policy)
    assert 1.0 < events(result, "stopped")[0][0] < 11.0 < events(result, "forwarded")[0][0] + 0.1
    assert [phone for _, phone, _ in events(result, "process")] == ["a"]
    assert played(result, "b") == [0]


def test_what_a_phone_had_when_it_left(lab: SimpleNamespace) -> None:
    # Chunk 0 plays from 2.06 s, its end is a stall: chunk 1 comes too late for b, which leaves at 3.56 s.
    phones = [lab.phone("b", leaves_s=3.56), lab.phone("a", mbps=0.1)]
    result = simulate_group(lab.group(phones, 3), lab.Policy(lambda: lab.Script([(0, 0), (1, 1), (1, 1)])))
    gone = result.phones["b"]
    assert not gone.alive
    assert (gone.played, gone.stall_s, gone.end_s) == (1, pytest.approx(0.5), pytest.approx(3.06))
    assert gone.energy_j["display"] == pytest.approx(3.56 * lab.POWER.display_w)
    assert gone.energy_j["decode"] == pytest.approx(2 * lab.POWER.decode_w)  # for SR, and to be seen
    assert gone.battery_j == pytest.approx(5e4 - gone.total_j)
    table = result.intervals
    mine = table.column("phone") == "b"
    assert table.column("power_w")[mine] @ table.column("interval_s")[mine] == pytest.approx(gone.total_j)


def test_chunks_in_the_buffer_of_a_phone_that_left_were_not_played(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", mbps=20.0, fps=200.0, leaves_s=3.5), lab.phone("b", mbps=20.0, fps=200.0)]
    result = simulate_group(lab.group(phones, 20), lab.Policy(IdleTakesNext))
    assert played(result, "a") == [0, 1, 2, 3]
    assert result.phones["a"].played == 4
    assert result.complete


def test_a_phone_that_never_came_drew_nothing_and_watched_nothing(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a"), lab.phone("b", joins_s=500.0)]
    result = simulate_group(lab.group(phones, 3), lab.Policy(IdleTakesNext))
    assert result.phones["b"].battery_j == 5e4
    assert result.phones["b"].total_j == 0.0
    assert result.complete


def test_who_does_not_collaborate_cannot_lose_the_others(lab: SimpleNamespace) -> None:
    absent = lab.phone("a", away_s=((1.5, 9.0),), moves=((2.0, 999.0, 0.0),))
    both = simulate_group(lab.group([absent, lab.phone("b")], 10), NoCollaboration())
    assert both.phones["a"].stall_s == both.phones["b"].stall_s
    assert events(both, "exit") == []
