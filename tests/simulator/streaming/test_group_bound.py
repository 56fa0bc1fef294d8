"""The upper bound of a group: nothing beats it, and where the optimum is known by hand it is close to that."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from typing import Any

import numpy as np
import pytest

from devices.errors import InputError
from simulator.policies.abr.fixed import Fixed
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.no_sr import NoSr
from simulator.policies.collaboration.protocol import (
    Assignment,
    ChunkScheduler,
    ChunkView,
    Collaboration,
    Combination,
    GroupAbr,
    GroupView,
)
from simulator.policies.registry import policies
from simulator.streaming.group import Group, GroupPhone, GroupResult, PhonePower, WlanProfile, simulate_group
from simulator.streaming.group_bound import UpperBound, _envelope, upper_bound
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.offline import offline_optimum
from simulator.streaming.player import Player
from simulator.streaming.qoe import PlayedSession, figure
from simulator.streaming.video import Video

NO_POWER = PhonePower(1.0, 0.5, 2.0, 1e-6, 0.1, 3.0, 0.25, 1.0, 0.05, 0.2, 0.3, 0.4, 2.5)
SR = Combination(0, 180, 720, 1.5e6, 2e6)
COLLABORATION = policies("collaboration")
STALL_PER_S = 4.3


def steady(mbps: float) -> NetworkTrace:
    """The same bandwidth for ever, without latency."""
    return NetworkTrace("steady", (1e4,), (mbps * 1e6,))


def a_phone(name: str, mbps: float | None, fps: float | None) -> GroupPhone:
    wwan = None if mbps is None else steady(mbps)
    return GroupPhone(name, wwan, {} if fps is None else {SR.name: fps}, 0.2, 0.4, NO_POWER, 5e4)


def a_group(phones: Sequence[GroupPhone], segments: int, **fields: Any) -> Group:
    """One-second chunks of 1 and 2 Mbit, 10 frames a second."""
    film = Video("cbr", 1.0, (1e6, 2e6), ((1e6, 2e6),) * segments, (180, 720))
    values: dict[str, Any] = {"combinations": (SR,), "frames_per_s": 10.0}
    return Group(film, tuple(phones), **{**values, **fields})


def drawn_group(seed: int) -> Group:
    """Anything: outages, phones without WWAN or SR, slow WLANs, small buffers, VBR, stages in turn."""
    draw = random.Random(seed)
    segments, segment_s = draw.randint(6, 30), draw.choice([1.0, 1.0, 2.0])
    rates = (0.3e6, 0.8e6, 2.5e6)
    factors = [draw.uniform(0.5, 1.6) for _ in range(segments)]
    sizes = tuple(tuple(rate * segment_s * factor for rate in rates) for factor in factors)
    combinations = (Combination(0, 180, 720, 0.45e6, 2.5e6), Combination(1, 360, 720, 1.2e6, 2.5e6))
    phones = []
    for index in range(draw.randint(1, 4)):
        rates_fps: dict[str, float] = {}
        if index == 0 or draw.random() < 0.8:
            rates_fps["180p-720p"] = fps = draw.uniform(2.0, 25.0)
            if index == 0 or draw.random() < 0.8:
                rates_fps["360p-720p"] = fps * draw.uniform(0.4, 0.9)
        has_wwan = index == 0 or draw.random() < 0.7
        wwan = drawn_trace(draw) if has_wwan else None
        codec = draw.uniform(0.05, 0.4), draw.uniform(0.05, 0.6)
        phones.append(GroupPhone("abcd"[index], wwan, rates_fps, *codec, NO_POWER, 5e4))
    cap_s = draw.choice([4.0, 6.0, 10.0, 25.0])
    return Group(
        Video("vbr", segment_s, rates, sizes, (180, 360, 720)),
        tuple(phones),
        combinations,
        WlanProfile(near_bps=draw.choice([8e6, 50e6, 860e6]), latency_s=draw.choice([0.0, 0.003])),
        controller=draw.randrange(len(phones)),
        buffer_cap_s=cap_s,
        startup_chunks=draw.randint(1, min(3, int(cap_s / segment_s))),
        plain_first=draw.choice([0, 0, 2]),
        pipelined=draw.random() < 0.8,
        frames_per_s=10.0,
        limit_s=2000.0,
    )


def drawn_trace(draw: random.Random) -> NetworkTrace:
    periods = draw.randint(1, 8)
    bandwidths = [draw.choice([0.0, 0.2e6, 0.5e6, 1e6, 2e6, 4e6]) for _ in range(periods)]
    bandwidths[draw.randrange(periods)] = draw.choice([0.5e6, 2e6])
    return NetworkTrace(
        "random",
        tuple(draw.uniform(0.5, 6.0) for _ in range(periods)),
        tuple(bandwidths),
        tuple(draw.choice([0.0, 0.05, 0.2]) for _ in range(periods)),
    )


@dataclass(frozen=True)
class Viewer:
    """Who has seen the whole video."""

    qoe: float
    """Per chunk, figure ``oasis``."""
    startup_s: float
    later_s: float
    """How much later it began than the first of its session."""


def viewers(group: Group, policy: Collaboration, result: GroupResult) -> dict[str, Viewer]:
    """What `simulator.streaming.viewing` makes of a result, for those who were there from start to end."""
    made: dict[int, dict[str, tuple[int, float]]] = {}
    for chunk, phone, level, quality_bps in zip(
        *(result.chunks.column(name) for name in ("chunk", "processor", "level", "quality_bps")), strict=True
    ):
        made.setdefault(int(chunk), {})[phone] = int(level), quality_bps / 1e6
    found = {}
    names, chunks = result.viewing.column("phone"), result.viewing.column("chunk")
    stalls_s = result.viewing.column("stall_s")
    first_s = min([it.startup_s for it in result.phones.values() if it.startup_s is not None], default=0.0)
    for name, phone in result.phones.items():
        seen = np.flatnonzero(names == name)
        if len(seen) < group.video.segments or phone.startup_s is None:
            continue
        assert chunks[seen].tolist() == list(range(group.video.segments))
        mine = [by.get(name, next(iter(by.values()))) for by in (made[int(chunks[row])] for row in seen)]
        played = PlayedSession(
            group.video.bitrates_bps,
            [level for level, _ in mine],
            stalls_s[seen],
            phone.startup_s,
            {"effective_mbps": [quality for _, quality in mine]},
        )
        qoe = figure("oasis").of(played)
        assert qoe is not None
        later_s = phone.startup_s - first_s if policy.together else 0.0  # alone, each is the first
        found[name] = Viewer(qoe.per_segment, phone.startup_s, later_s)
    return found


def played(group: Group, policy: Collaboration) -> dict[str, Viewer]:
    return viewers(group, policy, simulate_group(group, policy))


def fits(group: Group, name: str) -> bool:
    """Whether a policy can play a group: alone, each phone has to do everything."""
    return name != "no_collaboration" or all(
        phone.wwan is None or len(phone.sr_frames_per_s) == len(group.combinations) for phone in group.phones
    )


@pytest.mark.parametrize("start", range(0, 45, 5))
def test_no_policy_beats_it(start: int) -> None:
    count = 0
    for seed in range(start, start + 5):
        group = drawn_group(seed)
        bound = upper_bound(group, whole_up_to=0)
        for name, policy in COLLABORATION.items():
            if fits(group, name):
                for viewer in played(group, policy()).values():
                    assert viewer.qoe <= bound.of_viewer(viewer.later_s), (seed, name)
                    count += 1
    assert count > 30


@pytest.mark.parametrize("start", range(0, 32, 4))
def test_nor_where_it_is_sharp(start: int) -> None:
    """With one combination, always SR or never, and the start that was: only stalls are left."""
    gaps = []
    for seed in range(start, start + 4):
        group, with_sr = drawn_group(seed), seed % 2 == 0
        group = replace(group, video=replace(group.video, sizes_bits=group.video.sizes_bits[:14]))
        if with_sr:
            phones = [
                replace(it, sr_frames_per_s=dict(list(it.sr_frames_per_s.items())[:1])) for it in group.phones
            ]
            group = replace(group, phones=tuple(phones), combinations=group.combinations[:1], plain_first=0)
        else:
            draw = random.Random(seed)
            sizes = tuple((sizes[0] * draw.choice([0.3, 3.0, 20.0]),) for sizes in group.video.sizes_bits)
            film = Video("uneven", group.video.segment_s, (0.3e6,), sizes, (180,))
            group = replace(group, video=film, combinations=(), plain_first=0)
        names = [name for name in COLLABORATION if name != "no_sr"] if with_sr else ["no_sr", "oasis"]
        for name in names:
            if not fits(group, name):
                continue
            for viewer in played(group, COLLABORATION[name]()).values():
                began_s = viewer.startup_s - viewer.later_s + 1e-9
                bound = upper_bound(group, plain=not with_sr, startup_s=began_s, whole_up_to=0)
                gaps.append(bound.of_viewer(viewer.later_s) - viewer.qoe)
                assert gaps[-1] >= 0.0, (seed, name)
    assert min(gaps) < 1e-4, "some policy is as good as anything can be"


@pytest.mark.parametrize("seed", range(100, 112))
def test_more_conditions_make_it_sharper(seed: int) -> None:
    """Whole phones and combinations, SR throughout, an earlier start."""
    group = drawn_group(seed)
    group = replace(group, video=replace(group.video, sizes_bits=group.video.sizes_bits[:7]))
    shares, whole = upper_bound(group, whole_up_to=0), upper_bound(group, time_limit_s=20.0)
    assert (shares.method, shares.closed, shares.plan) == ("lp", True, ())
    assert (whole.method, whole.closed) == ("milp", True)
    assert whole.qoe <= shares.qoe + 1e-6
    assert [len(it) for it in (whole.plan, {chunk.play_s for chunk in whole.plan})] == [
        group.video.segments
    ] * 2
    always = upper_bound(group, plain=False, whole_up_to=0)
    assert always.qoe <= shares.qoe + 1e-6
    starts = [upper_bound(group, startup_s=start_s, whole_up_to=0).qoe for start_s in (60.0, 200.0, inf)]
    assert starts[0] <= starts[1] + 1e-9 and starts[1] <= starts[2] + 1e-9
    assert starts[2] == shares.qoe


def test_a_limit_of_time_leaves_a_bound() -> None:
    group = drawn_group(3)
    cut = upper_bound(group, time_limit_s=1e-3, whole_up_to=10**6)
    assert cut.qoe >= upper_bound(group, time_limit_s=20.0, whole_up_to=10**6).qoe - 1e-6
    assert not cut.closed and cut.method == "milp"


# Sharpness


def test_it_is_reached_where_nothing_has_to_wait() -> None:
    group = a_group([a_phone("a", 3.0, None)], 20, combinations=())
    assert upper_bound(group).qoe - played(group, NoSr(Fixed(1)))["a"].qoe == pytest.approx(1e-6, abs=1e-9)
    with_sr = a_group([a_phone("a", 4.0, 30.0)], 20)
    viewer = played(with_sr, COLLABORATION["no_collaboration"]())["a"]
    assert upper_bound(with_sr, plain=False).qoe - viewer.qoe == pytest.approx(1e-6, abs=1e-9)
    assert upper_bound(with_sr).qoe == pytest.approx(2.0, abs=1e-5), "the plain 720p is better than SR here"


def test_stalls_of_a_slow_phone_are_known_but_for_a_frame() -> None:
    # SR takes 2 s of each 1-s chunk: 19 chunks each come a second late. What is left out is that decoding and encoding
    # a frame takes 0.06 s more, once: 4.3 * 0.06 / 20.
    group = a_group([a_phone("a", 4.0, 5.0)], 20)
    viewer = played(group, COLLABORATION["no_collaboration"]())["a"]
    assert viewer.qoe == pytest.approx(1.5 - STALL_PER_S * 19.0 / 20)
    bound = upper_bound(group, plain=False, startup_s=viewer.startup_s)
    assert 0.0 <= bound.qoe - viewer.qoe <= STALL_PER_S * 0.06 / 20 + 1e-5
    waits = upper_bound(group, plain=False)
    assert waits.qoe == pytest.approx(1.5, abs=1e-5), "20 chunks fit into the buffer before it begins"
    small = upper_bound(replace(group, buffer_cap_s=5.0), plain=False)
    # five chunks are ready when it begins, the sixth may be downloaded (1/4 s) a second later: 1.25 + 15 * 2 - 19
    assert small.qoe == pytest.approx(1.5 - STALL_PER_S * 12.25 / 20, abs=1e-5)


def test_oasis_reaches_it_where_one_phone_downloads_for_another() -> None:
    # Together 13 frames/s for 10: a downloads for b, which does most. No stall is needed, and OASIS has none.
    group = a_group([a_phone("a", 4.0, 5.0), a_phone("b", None, 8.0)], 60)
    found = {name: played(group, COLLABORATION[name]())["a"].qoe for name in ("oasis", "mpbond", "microcast")}
    bound = upper_bound(group, plain=False)
    assert bound.qoe == pytest.approx(1.5, abs=1e-5)
    assert found["oasis"] == pytest.approx(bound.qoe, abs=1e-3)
    assert max(found["mpbond"], found["microcast"]) < -3.0, "their downloader does all the SR"


def test_oasis_is_within_an_eighth_of_it_where_two_phones_are_just_fast_enough() -> None:
    group = a_group([a_phone("a", 4.0, 5.5), a_phone("b", 4.0, 5.5)], 60)
    bound = upper_bound(group, plain=False).qoe
    assert bound == pytest.approx(1.5, abs=1e-5)
    assert 0.87 * bound <= played(group, COLLABORATION["oasis"]())["a"].qoe <= bound


@dataclass(frozen=True)
class Script:
    """All chunks in one iteration, each with the phones that it is told; it is a policy and both its halves."""

    pairs: tuple[tuple[int, int], ...]
    together: bool = True
    waits_for_iteration: bool = True

    def abr(self) -> GroupAbr:
        return FixedCombination(chunks=len(self.pairs)).abr()

    def scheduler(self) -> ChunkScheduler:
        return self

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        return [Assignment(chunk.index, *self.pairs[chunk.index]) for chunk in unassigned]


@pytest.mark.parametrize(("fast", "slow"), [(10.0, 5.0), (6.0, 5.0), (7.0, 2.0)])
def test_against_every_assignment(fast: float, slow: float) -> None:
    """All 64 ways to share six chunks among two processors, one of which downloads."""
    group = a_group([a_phone("a", 3.0, slow), a_phone("b", None, fast)], 6, buffer_cap_s=4.0)
    found = [
        played(group, Script(tuple((0, who) for who in plan)))["b"] for plan in product(range(2), repeat=6)
    ]
    best = max(found, key=lambda viewer: viewer.qoe)
    latest_s = max(viewer.startup_s for viewer in found)
    assert all(
        it.qoe <= upper_bound(group, plain=False, startup_s=latest_s).of_viewer(it.later_s) for it in found
    )
    bound = upper_bound(group, plain=False, startup_s=best.startup_s).of_viewer(best.later_s)
    assert best.qoe <= bound <= best.qoe + 0.4


@pytest.mark.parametrize("seed", range(16))
def test_one_phone_without_sr_is_the_single_player(seed: int) -> None:
    """Whose best session is known: it must not exceed the bound, and on a steady network comes within 0.3 Mbit/s."""
    draw = random.Random(seed)
    factors = [draw.uniform(0.7, 1.3) for _ in range(8)]
    film = Video("vbr", 1.0, (1e6, 2e6), tuple((1e6 * it, 2e6 * it) for it in factors), (180, 720))
    trace = steady(draw.uniform(0.6, 2.2)) if seed % 2 else drawn_trace(draw)
    group = Group(film, (replace(a_phone("a", 1.0, None), wwan=trace),), buffer_cap_s=6.0)
    best = offline_optimum(film, trace, "linear", Player(max_buffer_s=6.0), tolerance=1e-6)
    # changes count once per chunk there, once per change here
    bound = upper_bound(group, startup_s=best.session.startup_s + 1e-9, change=7.0 / 8.0, time_limit_s=20.0)
    assert best.value / 8.0 <= bound.qoe
    if seed % 2:
        assert bound.qoe <= best.value / 8.0 + 0.3


def uneven(last: float) -> Group:
    """One phone downloads at 1 Mbit/s, the other sees the chunks later, over a WLAN of 8 Mbit/s."""
    sizes = ((4e6,), *((0.05e6,),) * 9, *((last,),) * 3)
    film = Video("uneven", 1.0, (1e6,), sizes, (180,))
    wlan = WlanProfile(near_bps=8e6, latency_s=0.0)
    return Group(film, (a_phone("a", 1.0, None), a_phone("b", None, None)), wlan=wlan, buffer_cap_s=3.0)


def test_who_begins_later_may_stall_as_much_less() -> None:
    # Chunk 0 (4 Mbit) plays after 4 s on a, after 4.5 s on b. a paces: chunk 10 (2 Mbit) may come when chunk 8 begins
    # to play and has 2 s for 2 s. Chunk 12 is then 2 s late for a. b gets each of the last ones 1/4 s later and has
    # 1/2 s more in its buffer, so that it stalls 1/4 s less.
    group = uneven(2e6)
    found, bound = played(group, NoSr(Fixed(0))), upper_bound(group)
    assert found["a"].qoe == pytest.approx(1.0 - STALL_PER_S * 2.0 / 13)
    assert found["b"].qoe == pytest.approx(1.0 - STALL_PER_S * 1.75 / 13)
    assert found["b"].later_s == pytest.approx(0.5)
    assert found["a"].qoe == pytest.approx(bound.qoe, abs=1e-5)
    assert bound.qoe < found["b"].qoe <= bound.of_viewer(found["b"].later_s)
    assert bound.of_viewer(0.5) == pytest.approx(bound.qoe + STALL_PER_S * 0.5 / 13)
    assert isinstance(bound, UpperBound) and bound.of_viewer(0.0) == bound.qoe


def test_the_envelope_lies_above_every_stretch_and_touches_it() -> None:
    draw = random.Random(8)
    for _ in range(20):
        trace = drawn_trace(draw)
        lines = _envelope(trace)
        ends_s = np.cumsum(trace.durations_s)
        times_s = np.concatenate([ends_s + cycle * trace.duration_s for cycle in range(3)] + [[0.0, 0.7]])
        bits = np.array([8.0 * trace.bandwidth.integral(0.0, float(time_s)) for time_s in times_s])
        above = np.min([rate_bps * times_s + at_0 for rate_bps, at_0 in lines], axis=0) - bits
        assert above.min() >= -1e-3
        assert above.min() == pytest.approx(0.0, abs=1e-3)


def test_weights_and_settings_count() -> None:
    group = a_group([a_phone("a", 1.0, 5.0)], 12, buffer_cap_s=4.0)
    bound = upper_bound(group, startup_s=3.0, whole_up_to=0).qoe
    assert upper_bound(group, startup_s=3.0, whole_up_to=0, stall_per_s=1.0).qoe > bound
    assert upper_bound(group, startup_s=3.0, whole_up_to=0, change=0.0).qoe >= bound
    faster = replace(group, phones=(a_phone("a", 1.5, 5.0),))
    assert upper_bound(faster, startup_s=3.0, whole_up_to=0).qoe > bound
    more = replace(group, phones=(*group.phones, a_phone("b", None, 5.0)))
    assert upper_bound(more, startup_s=3.0, whole_up_to=0).qoe > bound


def test_sr_throughout_needs_sr() -> None:
    with pytest.raises(InputError, match="needs a combination with SR"):
        upper_bound(a_group([a_phone("a", 1.0, None)], 3, combinations=()), plain=False)
