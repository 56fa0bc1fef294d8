"""Figures of a workload, on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.workloads.requests import Requests
from simulator.workloads.statistics import describe, prefix_hit_rate


def workload(*ids: list[int], prompt_blocks: list[int] | None = None) -> Requests:
    """Requests with these block ids of 16 tokens, one per second."""
    blocks = np.array([len(one) for one in ids] if prompt_blocks is None else prompt_blocks)
    return Requests(
        arrival_s=np.arange(len(ids), dtype=float),
        input_tokens=blocks * 16,
        output_tokens=np.ones(len(ids), np.int64),
        hash_block_tokens=16,
        hash_ids=np.array([block for one in ids for block in one], np.int64),
        hash_offsets=np.cumsum([0] + [len(one) for one in ids]),
    )


def test_hits_are_leading_blocks():
    assert prefix_hit_rate(workload([1, 2], [1, 3], [1, 2, 4])) == 3 / 7
    assert prefix_hit_rate(workload([1, 2], [9, 2])) == 0  # block 2 is known, but not what stands before it
    assert prefix_hit_rate(workload([1, 2], [1, 2])) == 0.5


def test_blocks_of_an_answer_are_found_later_but_not_looked_up():
    assert prefix_hit_rate(workload([1, 2, 3], [1, 2, 3, 4], prompt_blocks=[2, 4])) == 3 / 6


def test_a_small_cache_forgets_the_least_recent_and_the_deepest_first():
    requests = workload([1, 2, 3], [7], [1, 2, 3])
    assert prefix_hit_rate(requests, 4) == 3 / 7
    assert prefix_hit_rate(requests, 3) == 2 / 7
    assert prefix_hit_rate(requests, 1) == 0


def test_without_ids_nothing_hits():
    requests = Requests(np.zeros(2), np.array([5, 5]), np.array([1, 1]))
    assert prefix_hit_rate(requests) == prefix_hit_rate(requests, 10) == 0


@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True), min_size=1, max_size=20))
def test_an_unlimited_cache_is_one_that_is_large_enough(ids):
    requests = workload(*ids)
    assert prefix_hit_rate(requests) == pytest.approx(prefix_hit_rate(requests, 1_000))
    rates = [prefix_hit_rate(requests, capacity) for capacity in (0, 1, 1_000)]
    assert rates[0] == 0
    assert rates[1] <= rates[2]


def test_description():
    figures = describe(workload([1], [1], [1, 2]))
    assert (figures.requests, figures.rate_per_s, figures.gap_cv) == (3, 1.0, 0.0)
    assert figures.input_tokens.mean == pytest.approx(64 / 3)
    assert figures.input_tokens.p50 == 16
    assert figures.prefix_hit_rate == 0.5
    at_once = describe(Requests(np.zeros(3), np.ones(3, np.int64), np.ones(3, np.int64)))
    assert np.isnan(at_once.rate_per_s)
