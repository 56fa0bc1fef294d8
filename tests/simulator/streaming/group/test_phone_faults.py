"""Phones that fail, come back and become slow: their chunks are given to others, and every session ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.scenario.load import load, load_text
from simulator.world import simulate

TEXT = """\
version: 1
name: phones
devices:
  handset: {profile: galaxy-s20-ultra, count: 3, phone: {wwan: {trace: steady, bandwidth: 4 Mbit/s}}}
services:
  watch: {kind: streaming, phones: [handset], policies: {collaboration: oasis}}
workloads:
  video: {trace: video, service: watch, segments: 30, sessions: 2}
"""


def run(faults: str = "", text: str = TEXT):
    return simulate(load_text(text + (f"faults:\n  it: {{{faults}}}\n" if faults else "")))


def happened(session, *kinds):
    """Return what of these kinds happened, with times from the start of the session."""
    return [
        (it.what, it.phone, round(it.time_s - session.start_s, 9)) for it in session.log if it.what in kinds
    ]


def test_a_phone_that_fails_is_gone_and_comes_back():
    result = run("device: handset, unit: 1, kind: failure, at: 20 s, duration: 15 s")
    for session in result.sessions["watch"].values():
        assert happened(session, "fault", "repair") == [
            ("fault", "handset-2", 20.0),
            ("repair", "handset-2", 35.0),
        ]
        exits = happened(session, "exit", "enter")
        assert ("exit", "handset-2", 20.0) in exits
        assert ("enter", "handset-2", 35.0) in exits
        chunks = session.chunks
        mine = chunks.column("downloader") == "handset-2"
        done_s = chunks.column("download_end_s") - session.start_s
        assert not ((done_s > 20.0) & (done_s < 35.0) & mine).any()
    viewers = result.viewers["watch"]
    assert len(viewers) == 6


def test_a_phone_that_fails_for_good_is_switched_off_and_the_others_go_on():
    result = run("device: handset, unit: 0, kind: failure, at: 20 s")
    for session in result.sessions["watch"].values():
        assert happened(session, "fail") == [("fail", "handset-1", 20.0)]
        assert not session.phones["handset-1"].alive
        assert session.phones["handset-2"].played == 30
    assert any("failed for good" in note for note in result.notes)


def test_a_phone_alone_can_fail_as_well():
    alone = TEXT.replace("collaboration: oasis", "collaboration: no_collaboration")
    crash = "device: handset, kind: failure, at: 10 s, duration: 200 s"
    calm, struck = run(text=alone), run(crash, alone)
    stalled_s = [it.summary()["services"]["watch"]["rebuffer_s"]["mean"] for it in (calm, struck)]
    assert stalled_s[1] > stalled_s[0] + 50.0
    for session in struck.sessions["watch"].values():
        assert all(phone.played == 30 for phone in session.phones.values())


def test_slow_super_resolution_takes_as_much_longer():
    """Of a chunk that is super-resolved at once: SR bounds it, not decoding."""
    calm = run()
    slow = run("device: handset, kind: slowdown, factor: 0.25, at: 0 s")

    def sr_s(result):
        chunks = result.sessions["watch"][0].chunks
        taken = chunks.column("sr_end_s") - chunks.column("sr_start_s")
        return taken[taken > 0.0]

    assert min(sr_s(slow)) == pytest.approx(4.0 * min(sr_s(calm)), rel=1e-9)


def test_slowness_ends():
    calm = run().summary()
    before = run("device: handset, kind: slowdown, factor: 0.3, at: 0 s, duration: 0 s").summary()
    assert before.pop("faults")["phone"]["slowdowns"] == 6
    assert before["services"]["watch"].pop("faults")["downtime_s"] == 0.0
    assert before == calm


def test_random_faults_end_and_are_the_same_for_all_policies():
    seen = []
    for policy in ("oasis", "mpbond", "microcast", "no_collaboration", "local_only", "no_sr"):
        text = TEXT.replace("collaboration: oasis", f"collaboration: {policy}")
        result = run("device: handset, kind: failure, mtbf: 10 s, mttr: 4 s", text)
        assert len(result.viewers["watch"]) == 6
        sessions = [happened(session, "fault")[:3] for session in result.sessions["watch"].values()]
        assert sessions[0] != sessions[1]
        seen.append(sessions)
        again = run("device: handset, kind: failure, mtbf: 10 s, mttr: 4 s", text)
        assert again.summary() == result.summary()
    assert all(sessions == seen[0] for sessions in seen)


def test_the_shipped_scenario_runs():
    result = simulate(load(Path(__file__).parents[4] / "scenarios" / "faults" / "phone_failure.yaml"))
    assert len(result.viewers["video"]) == 12
