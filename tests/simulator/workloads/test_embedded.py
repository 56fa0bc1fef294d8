"""The embedded workload against the published figures of its trace, and against the trace itself."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from simulator.core.streams import Streams
from simulator.workloads.derivation import derive
from simulator.workloads.embedded import NOTE, generate_sessions, mooncake_conversation
from simulator.workloads.readers import read_mooncake
from simulator.workloads.requests import Requests
from simulator.workloads.sources import SourceFile
from simulator.workloads.spec import MooncakeTrace
from simulator.workloads.statistics import describe, prefix_hit_rate

SEEDS = range(6)


@pytest.fixture(scope="module")
def drawn() -> list[Requests]:
    """The workload under six seeds."""
    return [generate_sessions(mooncake_conversation(), Streams(seed).stream) for seed in SEEDS]


def test_published_figures_hold_over_seeds(drawn):
    figures = [describe(requests) for requests in drawn]

    def mean(value) -> float:
        return float(np.mean([value(one) for one in figures]))

    assert {one.requests for one in figures} == {12_031}
    assert mean(lambda one: one.rate_per_s) == pytest.approx(3.40, rel=0.02)
    assert mean(lambda one: one.prefix_hit_rate) == pytest.approx(0.366, abs=0.015)
    assert mean(lambda one: one.input_tokens.mean) == pytest.approx(12_035, rel=0.05)
    assert mean(lambda one: one.input_tokens.p50) == pytest.approx(6_909, rel=0.05)
    assert mean(lambda one: one.input_tokens.p90) == pytest.approx(27_367, rel=0.07)
    assert mean(lambda one: one.input_tokens.p99) == pytest.approx(85_401, rel=0.10)
    assert mean(lambda one: one.output_tokens.mean) == pytest.approx(343, rel=0.02)


def test_hit_rates_of_finite_caches_are_those_of_the_trace(drawn, real):
    trace = read_mooncake(SourceFile(real("mooncake_fast25/conversation_trace.jsonl")))
    for capacity in (5_000, 20_000, 50_000):
        rates = [prefix_hit_rate(requests, capacity) for requests in drawn]
        assert np.mean(rates) == pytest.approx(prefix_hit_rate(trace, capacity), abs=0.015), capacity


def test_arrivals_are_as_bursty_as_those_of_the_trace(drawn, real):
    trace = describe(read_mooncake(SourceFile(real("mooncake_fast25/conversation_trace.jsonl"))))
    assert np.mean([describe(one).gap_cv for one in drawn]) == pytest.approx(trace.gap_cv, rel=0.02)


def test_the_figures_are_those_of_the_trace(real):
    derived = asdict(derive(read_mooncake(SourceFile(real("mooncake_fast25/conversation_trace.jsonl")))))
    for name, value in asdict(mooncake_conversation()).items():
        assert derived[name] == pytest.approx(value), name


def test_columns_are_those_of_a_trace(drawn):
    for requests in drawn:
        blocks = -(-requests.input_tokens // requests.hash_block_tokens)
        assert np.array_equal(np.diff(requests.hash_offsets), blocks)
        assert (np.diff(requests.arrival_s) >= 0).all()
        assert not (requests.arrival_s % 3).any()
        assert requests.input_tokens.min() >= 891
        assert requests.input_tokens.max() <= 126_195
        assert requests.output_tokens.min() >= 1


def test_equal_ids_stand_for_equal_fronts(drawn):
    before: dict[int, int] = {}
    requests = drawn[0]
    for begin, end in zip(requests.hash_offsets[:-1], requests.hash_offsets[1:], strict=True):
        ids = requests.hash_ids[begin:end].tolist()
        for front, block in zip([-1, *ids], ids, strict=False):
            assert before.setdefault(block, front) == front


def test_it_says_that_it_is_synthetic_and_is_cut_like_a_trace(make):
    whole = make(MooncakeTrace(trace="mooncake", service="chat"))
    assert whole.notes == (NOTE,)
    assert "synthetic" in NOTE
    part = make(MooncakeTrace(trace="mooncake", service="chat", start=300.0, requests=500, rate_scale=2.0))
    first = np.searchsorted(whole.arrival_s, 300)
    assert np.array_equal(part.input_tokens, whole.input_tokens[first : first + 500])
    np.testing.assert_allclose(part.arrival_s, (whole.arrival_s[first : first + 500] - 300) / 2)


def test_one_seed_one_workload(make):
    first, again, other = (make(MooncakeTrace(trace="mooncake", service="chat"), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.hash_ids, again.hash_ids)
    assert np.array_equal(first.arrival_s, again.arrival_s)
    assert not np.array_equal(first.input_tokens, other.input_tokens)
