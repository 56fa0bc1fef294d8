"""Multi-turn sessions: prompts that contain all that was said, and block ids that say so."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.workloads.length_spec import Evenly, LogNormal, Uniform
from simulator.workloads.spec import Sessions, Synthetic


def spec(**fields) -> Synthetic:
    given = {
        "requests": 300,
        "rate": 2.0,
        "input_tokens": Uniform(1, 90),
        "output_tokens": LogNormal(40, 1.0),
        "sessions": Sessions(turns=Uniform(1, 6), think_time=10.0, shared_prefix_tokens=100),
        "hash_block_tokens": 16,
    } | fields
    return Synthetic(trace="synthetic", service="chat", **given)


def ids_of(requests, row: int) -> list[int]:
    return requests.hash_ids[requests.hash_offsets[row] : requests.hash_offsets[row + 1]].tolist()


def test_a_prompt_is_everything_said_before_and_a_message(make):
    sessions = Sessions(turns=3, think_time=1.0, shared_prefix_tokens=100)
    requests = make(spec(requests=6, input_tokens=Evenly(10, 60), output_tokens=7, sessions=sessions))
    # messages 10, 20, 30 in the first session and 40, 50, 60 in the second
    assert requests.input_tokens.tolist() == [110, 137, 174, 140, 197, 264]
    assert requests.after.tolist() == [-1, 0, 1, -1, 3, 4]
    assert np.isnan(requests.arrival_s).tolist() == [False, True, True] * 2


def test_the_next_turn_finds_prompt_and_answer(make):
    requests = make(spec())
    later = np.flatnonzero(requests.after >= 0)
    assert len(later) > 100
    for row in later:
        before = requests.after[row]
        known = requests.input_tokens[before] + requests.output_tokens[before]
        assert requests.input_tokens[row] > known
        earlier, now = ids_of(requests, before), ids_of(requests, row)
        full = known // 16
        assert now[:full] == earlier[:full]
        assert not set(now[full:]) & set(earlier)  # an unfilled block is not the block it becomes


def test_ids_cover_prompt_and_answer(make):
    requests = make(spec())
    blocks = -(-(requests.input_tokens + requests.output_tokens) // 16)
    assert np.array_equal(np.diff(requests.hash_offsets), blocks)


def test_sessions_share_the_full_blocks_of_the_system_prompt_and_nothing_else(make):
    requests = make(spec())
    first, second = np.flatnonzero(requests.after < 0)[:2]
    one, two = ids_of(requests, first), ids_of(requests, second)
    assert one[:6] == two[:6]  # 100 tokens fill six blocks of 16
    assert not set(one[6:]) & set(two[6:])
    alone = make(spec(sessions=Sessions(turns=1, think_time=1.0)))
    assert len(set(alone.hash_ids.tolist())) == len(alone.hash_ids)


def test_think_times_are_exponential_with_the_mean_asked_for(make):
    requests = make(spec(requests=40_000))
    later = requests.after >= 0
    assert requests.think_s[later].mean() == pytest.approx(10, rel=0.03)
    assert requests.think_s[later].std() == pytest.approx(10, rel=0.03)
    assert not requests.think_s[~later].any()


def test_the_number_of_requests_counts_turns(make):
    assert len(make(spec(requests=17))) == 17
    timed = make(spec(requests=None, duration=200.0))
    assert np.nanmax(timed.arrival_s) < 200
    assert (timed.after < 0).sum() == np.isfinite(timed.arrival_s).sum()


def test_other_turns_leave_the_openings_alone(make):
    few, many = (make(spec(requests=None, duration=50.0, sessions=Sessions(turns, 1.0))) for turns in (1, 5))
    assert np.array_equal(few.arrival_s, many.arrival_s[many.after < 0])
