"""QoE of streamed text, against the areas under timelines that are walked token by token."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.core import Table
from simulator.metrics.text_qoe import DEFAULT_READER, qoe_of_requests, text_qoe
from simulator.scenario.reader_spec import ReaderSpec
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.serving.service import request_schema

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
READER = ReaderSpec(ttft=1.0, tokens_per_s=5.0)


def one(ttft_s: float, tpot_s: float, tokens: int, reader: ReaderSpec = READER) -> float:
    return float(text_qoe([ttft_s], [tpot_s], [tokens], reader)[0])


def by_areas(ttft_s: float, tpot_s: float, tokens: int, reader: ReaderSpec) -> float:
    """Integrate both timelines, which are steps, piece by piece until the last token has been read."""
    expected = [reader.ttft + i / reader.tokens_per_s for i in range(tokens)]
    read: list[float] = []
    for i in range(tokens):
        there = ttft_s + i * tpot_s
        free = read[-1] + 1.0 / reader.tokens_per_s if read else 0.0
        read.append(max(there, expected[i], free))
    times = np.unique([0.0, *expected, *read])
    times = times[times <= read[-1]]
    lengths = np.diff(times)
    e = np.searchsorted(np.sort(expected), times[:-1], side="right")
    a = np.searchsorted(np.sort(read), times[:-1], side="right")
    return 1.0 - float((np.maximum(e - a, 0) * lengths).sum() / (e * lengths).sum())


@RELAXED
@given(
    ttft_s=st.floats(0.0, 60.0),
    tpot_s=st.floats(0.0, 2.0),
    tokens=st.integers(2, 60),
    reader_ttft_s=st.floats(0.0, 5.0),
    tokens_per_s=st.floats(0.5, 50.0),
)
def test_is_the_share_of_the_area_under_the_expected_timeline(
    ttft_s: float, tpot_s: float, tokens: int, reader_ttft_s: float, tokens_per_s: float
) -> None:
    reader = ReaderSpec(reader_ttft_s, tokens_per_s)
    found = one(ttft_s, tpot_s, tokens, reader)
    assert found == pytest.approx(by_areas(ttft_s, tpot_s, tokens, reader), abs=1e-9)
    assert 0.0 < found <= 1.0


@RELAXED
@given(ttft_s=st.floats(0.0, 60.0), tpot_s=st.floats(0.0, 2.0), tokens=st.integers(2, 200))
def test_waiting_longer_for_the_first_token_is_never_better(
    ttft_s: float, tpot_s: float, tokens: int
) -> None:
    assert one(ttft_s + 0.5, tpot_s, tokens) <= one(ttft_s, tpot_s, tokens) + 1e-12


@RELAXED
@given(share=st.floats(-1.0, 1.0), tpot_s=st.floats(0.0, 2.0), tokens=st.integers(2, 200))
def test_a_slower_pace_is_not_better_unless_the_start_was_later_than_half_the_reading(
    share: float, tpot_s: float, tokens: int
) -> None:
    half_s = (tokens - 1) / (2.0 * READER.tokens_per_s)
    ttft_s = max(0.0, READER.ttft + share * half_s)
    assert one(ttft_s, tpot_s + 0.01, tokens) <= one(ttft_s, tpot_s, tokens) + 1e-12


def test_pace_alone_costs_at_most_half() -> None:
    """Half the tokens of an even pace are there half of the time, however long that takes."""
    assert one(1.0, 2.0, 1000) == pytest.approx(0.526, abs=1e-3)  # ten times as slow as it is read
    assert one(1.0, 1e6, 1000) == pytest.approx(0.5, abs=1e-3)


def test_nothing_is_lost_where_nothing_is_waited_for() -> None:
    assert one(1.0, 0.2, 100) == 1.0  # just in time
    assert one(0.1, 0.01, 100) == 1.0
    assert one(0.0, 0.0, 2) == 1.0  # out before anybody expects it
    assert one(0.0, 0.25, 20) == 1.0  # slower than the reader, but with a start that lasts


def test_answers_by_hand() -> None:
    # Expected at 1 and 1.2 s, read at 2 and 2.2 s: 2 token seconds late of (2.2 - 1) + (2.2 - 1.2).
    assert one(2.0, 0.0, 2) == pytest.approx(1.0 - 2.0 / 2.2)
    # 25 tokens expected one by one from 1 s on, read from 5 s on: each 4 s late of 28 + 27 + ... + 4.
    assert one(5.0, 0.2, 25, ReaderSpec(1.0, 1.0)) == pytest.approx(0.75)
    # Expected at 1, 1.2, 1.4 s, there at 0.5, 1.5, 2.5 s: 0.3 + 1.1 late of 1.5 + 1.3 + 1.1.
    assert one(0.5, 1.0, 3) == pytest.approx(1.0 - 1.4 / 3.9)


def test_a_burst_does_not_make_up_for_a_late_start() -> None:
    assert one(5.0, 0.0, 50) == one(5.0, 0.2, 50) < 1.0


def test_answers_without_a_pace_have_none() -> None:
    assert np.isnan(text_qoe([0.5, 0.5], [0.0, 0.0], [0, 1])).all()
    assert text_qoe([], [], []).shape == (0,)


def test_requests_without_an_answer_have_none() -> None:
    table = Table(request_schema([]))
    rest = (10, 100, 0, 10, 0)
    table.append(0, "chat", 0, COMPLETED, 1.0, 1.0, 3.0, 12.9, *rest)
    table.append(1, "chat", 0, FAILED, 1.0, 1.0, -1.0, -1.0, *rest)
    table.append(2, "chat", 0, UNFINISHED, 1.0, 1.0, 3.0, -1.0, *rest)
    found = qoe_of_requests(table)
    assert found[0] == pytest.approx(float(text_qoe([2.0], [0.1], [100], DEFAULT_READER)[0]))
    assert np.isnan(found[1:]).all()
