"""Courses computed by hand, pipelining, pacing, and the air."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.policies.abr.bola import Bola
from simulator.policies.abr.bola_basic import BolaBasic
from simulator.policies.abr.dynamic import Dynamic
from simulator.policies.abr.fixed import Fixed
from simulator.policies.abr.throughput import Throughput
from simulator.policies.collaboration.abr_halves import FixedCombination, SinglePlayerRule
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.no_collaboration import NoCollaboration
from simulator.policies.collaboration.no_sr import NoSr
from simulator.policies.registry import PolicyError
from simulator.streaming.group import GroupResult, simulate_group
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import Player
from simulator.streaming.video import Video


def rows(table: Any) -> list[dict[str, Any]]:
    columns = {name: table.column(name) for name in table.schema}
    return [{name: column[i] for name, column in columns.items()} for i in range(len(table))]


def plays(result: GroupResult, phone: str) -> list[float]:
    return [row["play_s"] for row in rows(result.viewing) if row["phone"] == phone]


def test_two_phones_by_hand(lab: SimpleNamespace) -> None:
    # Downloads take 1 s. Chunk 0 goes to b: forwarded in 1/8 s; b at 20 frames/s needs 0.5 s for its 10 frames.
    # Chunk 1 stays with a, at 10 frames/s. The first frame is decoded after 0.02 s, the last one encoded 0.04 s
    # after its SR; a result of 4 Mbit takes 0.5 s of air.
    group = lab.group([lab.phone("a", fps=10.0), lab.phone("b", fps=20.0)], 2)
    policy = lab.Policy(lambda: lab.Script([(0, 1), (0, 0)]), FixedCombination(chunks=2))
    result = simulate_group(group, policy)
    first, second = rows(result.chunks)
    assert (first["downloader"], first["processor"], second["processor"]) == ("a", "b", "a")
    assert first["download_end_s"] == pytest.approx(1.0)
    assert first["forward_end_s"] == pytest.approx(1.125)
    assert first["decode_end_s"] == pytest.approx(1.325)
    assert first["sr_start_s"] == pytest.approx(1.145)
    assert first["sr_end_s"] == pytest.approx(1.645)
    assert first["encode_start_s"] == pytest.approx(1.195)  # with the first frame
    assert first["encode_end_s"] == pytest.approx(1.685)
    assert first["complete_s"] == pytest.approx(2.185)
    assert second["download_start_s"] == pytest.approx(1.0)
    assert second["download_end_s"] == pytest.approx(2.0)
    assert second["sr_end_s"] == pytest.approx(3.02)
    assert second["encode_end_s"] == pytest.approx(3.06)
    assert second["complete_s"] == pytest.approx(3.56)
    # b makes chunk 0 and shows it at once; a gets it from the air. a makes chunk 1, b waits for it.
    assert plays(result, "b") == pytest.approx([1.685, 3.56])
    assert plays(result, "a") == pytest.approx([2.185, 3.185])
    assert result.phones["b"].stall_s == pytest.approx(3.56 - 2.685)
    assert result.phones["a"].stall_s == 0.0
    assert result.phones["b"].startup_s == pytest.approx(1.685)
    assert result.end_s == pytest.approx(4.56)
    assert result.complete
    assert result.air_busy_s == pytest.approx(0.125 + 1.0)
    happened = [(round(entry.time_s, 3), entry.what, entry.phone, entry.chunk) for entry in result.log]
    assert happened[:3] == [(0.0, "controller", "a", -1), (0.0, "enter", "a", -1), (0.0, "enter", "b", -1)]
    assert [entry for entry in happened if entry[1] not in ("controller", "enter")] == [
        (0.0, "iteration", "", 0),
        (0.0, "assign", "a", 0),
        (0.0, "download", "a", 0),
        (0.0, "assign", "a", 1),
        (1.0, "downloaded", "a", 0),
        (1.0, "download", "a", 1),
        (1.125, "forwarded", "b", 0),
        (1.125, "process", "b", 0),
        (1.685, "processed", "b", 0),
        (2.0, "downloaded", "a", 1),
        (2.0, "process", "a", 1),
        (2.185, "complete", "", 0),
        (3.06, "processed", "a", 1),
        (3.56, "complete", "", 1),
    ]


def test_one_thing_at_a_time_adds_the_stages_up(lab: SimpleNamespace) -> None:
    group = lab.group([lab.phone("a")], 2, pipelined=False)
    result = simulate_group(group, lab.Policy(lambda: lab.Script([(0, 0)] * 2), FixedCombination(chunks=2)))
    first, second = rows(result.chunks)
    assert first["encode_end_s"] == pytest.approx(1.0 + 0.2 + 1.0 + 0.4)
    assert second["download_start_s"] == pytest.approx(first["encode_end_s"])
    assert second["encode_end_s"] == pytest.approx(2 * 2.6)


@pytest.mark.parametrize(
    ("download_s", "sr_s", "encode_s", "decode_s"),
    [(0.58, 3.02, 2.64, 0.15), (0.59, 5.71, 5.45, 0.15), (1.10, 4.44, 4.17, 0.20), (1.11, 6.80, 6.59, 0.23)],
)
def test_pipelining_cuts_the_published_stage_times_by_more_than_half(
    lab: SimpleNamespace, download_s: float, sr_s: float, encode_s: float, decode_s: float
) -> None:
    # The paper's seconds per chunk; it says "about 60 %". The published times of encoding contain the wait for SR.
    phone = lab.phone(
        "a", mbps=1.0 / download_s, fps=10.0 / sr_s, decode_s_per_s=decode_s, encode_s_per_s=encode_s
    )
    ends = []
    for pipelined in (True, False):
        group = lab.group([phone], 40, pipelined=pipelined)
        result = simulate_group(group, lab.Policy(IdleTakesNext))
        ends.append(float(result.chunks.column("complete_s").max()))
    cut = 1.0 - ends[0] / ends[1]
    assert cut == pytest.approx(1.0 - sr_s / (download_s + sr_s + encode_s + decode_s), abs=0.02)
    assert 0.5 < cut < 0.6


def vbr(segments: int) -> Video:
    draw = random.Random(7)
    rates = (0.3e6, 0.8e6, 1.8e6, 4.3e6)
    sizes = tuple(tuple(rate * 2.0 * draw.uniform(0.7, 1.4) for rate in rates) for _ in range(segments))
    return Video("vbr", 2.0, rates, sizes)


@pytest.mark.parametrize("rule", [Fixed(0), Fixed(3), Throughput(), BolaBasic(), Bola(), Dynamic()])
def test_one_phone_alone_is_the_single_player(lab: SimpleNamespace, rule: Any) -> None:
    draw = random.Random(3)
    trace = NetworkTrace(
        "random",
        tuple(draw.uniform(0.5, 6.0) for _ in range(50)),
        tuple(draw.choice([0.0, 0.5e6, 1e6, 3e6, 8e6]) for _ in range(50)),
        tuple(draw.uniform(0.02, 0.3) for _ in range(50)),
    )
    film = vbr(80)
    group = replace(lab.group([lab.phone("a", wwan=trace)], 1), video=film, combinations=())
    result = simulate_group(group, NoSr(rule))
    session = Player(max_buffer_s=25.0).play(film, trace, rule)
    assert [row["level"] for row in rows(result.chunks)] == list(session.levels)
    starts = [row["download_start_s"] for row in rows(result.chunks)]
    assert starts == pytest.approx([download.start_s for download in session.downloads], abs=1e-6)
    stalls = [row["stall_s"] for row in rows(result.viewing)]
    assert stalls == pytest.approx(list(session.stalls_s), abs=1e-6)
    assert result.phones["a"].startup_s == pytest.approx(session.startup_s)
    assert result.end_s == pytest.approx(session.play_time_s)


def test_the_buffer_cap_paces_the_viewer_who_is_ahead(lab: SimpleNamespace) -> None:
    group = lab.group(
        [lab.phone(name, mbps=20.0, fps=200.0) for name in "abc"], 60, buffer_cap_s=6.0, startup_chunks=4
    )
    result = simulate_group(group, lab.Policy(IdleTakesNext))
    assert result.complete
    buffers_s = result.intervals.column("buffer_s").reshape(-1, 3)  # a row per interval
    assert buffers_s.min(axis=1).max() <= 6.0 + 1e-9
    starts_s = [plays(result, name)[0] for name in "abc"]
    assert buffers_s.max() <= 6.0 + max(starts_s) - min(starts_s) + 1e-9
    assert all(phone.stall_s == 0.0 for phone in result.phones.values())


def test_plain_chunks_first_start_at_once(lab: SimpleNamespace) -> None:
    slow = lab.group([lab.phone("a", mbps=10.0, fps=4.0), lab.phone("b", mbps=10.0, fps=4.0)], 20)
    policy = lab.Policy(IdleTakesNext)
    plain = simulate_group(replace(slow, plain_first=3), policy)
    with_sr = simulate_group(slow, policy)
    assert plain.phones["a"].startup_s < 0.3
    assert with_sr.phones["a"].startup_s > 2.0
    assert [row["combination"] for row in rows(plain.chunks)][:4] == ["180p"] * 3 + ["180p-720p"]


def test_the_air_is_never_taken_twice(lab: SimpleNamespace) -> None:
    wlan = replace(lab.WLAN, near_bps=5e6)  # a result takes 0.8 s: four phones want more than there is
    group = lab.group([lab.phone(name, mbps=20.0, fps=100.0) for name in "abcd"], 40, wlan=wlan)
    result = simulate_group(group, lab.Policy(IdleTakesNext, FixedCombination()))
    air_s = 40 * 4e6 / 5e6
    assert result.air_busy_s == pytest.approx(air_s)
    last_s = float(result.chunks.column("complete_s").max())
    first_s = float(result.chunks.column("encode_end_s").min())
    assert last_s - first_s >= air_s - 1e-6
    assert last_s - first_s == pytest.approx(air_s, rel=0.02)  # and none of it is wasted


def test_a_broadcast_goes_at_the_rate_of_its_slowest_receiver(lab: SimpleNamespace) -> None:
    phones = [
        lab.phone("a", mbps=20.0),
        lab.phone("b", position_m=(0.0, 30.0)),
        lab.phone("c", position_m=(3.0, 0.0)),
    ]
    group = lab.group(phones, 1)
    result = simulate_group(group, lab.Policy(lambda: lab.Script([(0, 0)])))
    (row,) = rows(result.chunks)
    rate_bps = lab.WLAN.rate_bps(30.0)
    assert rate_bps < lab.WLAN.rate_bps(3.0)
    assert row["complete_s"] - row["encode_end_s"] == pytest.approx(4e6 / rate_bps)


def test_rate_falls_with_distance_through_both_ends(lab: SimpleNamespace) -> None:
    wlan = lab.WLAN
    assert wlan.rate_bps(20.0) == wlan.near_bps
    assert wlan.rate_bps(300.0) == pytest.approx(wlan.edge_bps)
    assert wlan.rate_bps(300.1) == 0.0
    rates = [wlan.rate_bps(float(distance)) for distance in range(0, 301, 10)]
    assert all(near >= far for near, far in pairwise(rates))


def test_each_phone_alone_is_its_own_session(lab: SimpleNamespace) -> None:
    phones = [lab.phone("a", fps=10.0), lab.phone("b", fps=5.0)]
    both = simulate_group(lab.group(phones, 20), NoCollaboration())
    for phone in phones:
        alone = simulate_group(lab.group([phone], 20), NoCollaboration())
        assert plays(both, phone.name) == plays(alone, phone.name)
        assert both.phones[phone.name] == alone.phones[phone.name]
    assert both.air_busy_s == 0.0
    assert [entry.time_s for entry in both.log] == sorted(entry.time_s for entry in both.log)


def test_the_same_session_twice_is_the_same(lab: SimpleNamespace) -> None:
    group = lab.group([lab.phone(name) for name in "abc"], 30)
    once, again = (simulate_group(group, lab.Policy(IdleTakesNext)) for _ in range(2))
    assert once.log == again.log
    assert once.phones == again.phones


def test_a_single_player_rule_drives_the_level_under_a_fixed_sr_height(lab: SimpleNamespace) -> None:
    group = lab.group([lab.phone("a"), lab.phone("b")], 20)
    result = simulate_group(
        group,
        lab.Policy(IdleTakesNext),
        abr=SinglePlayerRule(Throughput(), output_height=720, sees="pipeline"),
    )
    assert result.complete
    assert {row["combination"] for row in rows(result.chunks)} == {"180p-720p"}


class _Nothing:
    waits_for_iteration = False

    def assign(self, view: Any, unassigned: Any) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            lambda lab: _Nothing(),
            "policy of class Policy gives chunk 0 to nobody although nothing is under way",
        ),
        (lambda lab: lab.Script([(1, 0)]), "downloader b has no WWAN"),
        (lambda lab: lab.Script([(0, 2)]), "there is no phone 2"),
        (lambda lab: lab.Script([(0, 1)]), "b cannot run 180p-720p now"),
    ],
)
def test_decisions_that_make_no_sense_name_the_policy(
    lab: SimpleNamespace, scheduler: Any, message: str
) -> None:
    group = lab.group([lab.phone("a"), lab.phone("b", mbps=None, fps=None)], 1)
    with pytest.raises(PolicyError) as caught:
        simulate_group(group, lab.Policy(lambda: scheduler(lab)))
    assert message in str(caught.value)
