"""The bandit of OASIS: its formulas by hand."""

from __future__ import annotations

from math import log, sqrt
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.oasis_abr import (
    Arm,
    InOasisIterations,
    IterationLength,
    OasisAbr,
    estimate_qoe,
)
from simulator.policies.collaboration.protocol import Decision


def test_estimated_qoe_by_hand() -> None:
    # 6 chunks at 2 a second take 3 s, of which the buffer holds 1: 2 s of stall for 6 chunks
    values = {"chunks": 6, "quality_bps": 1.5e6, "last_quality_bps": 0.9e6}
    assert estimate_qoe(2.0, 1.0, **values) == pytest.approx(1.5 - 0.6 / 6 - 4.3 * 2.0 / 6)
    assert estimate_qoe(2.0, 9.0, **values) == pytest.approx(1.5 - 0.1)
    assert estimate_qoe(2.0, 9.0, **{**values, "last_quality_bps": None}) == pytest.approx(1.5)
    assert estimate_qoe(2.0, 1.0, stall_per_s=1.0, **values) == pytest.approx(1.4 - 2.0 / 6)


def test_an_arm_keeps_means() -> None:
    arm = Arm()
    for overestimate, rates in ((0.6, (1.0, 0.0)), (0.0, (2.0, 4.0)), (-0.3, (0.0, 0.0))):
        arm.learn(overestimate, rates)
    assert arm.count == 3
    assert arm.offset == pytest.approx(0.1)
    assert arm.sr == {0: (2, pytest.approx(1.5)), 1: (1, pytest.approx(4.0))}


def a_view(still: SimpleNamespace, **fields: Any) -> Any:
    """Two phones that download 6 low chunks a second and super-resolve 3 low ones or 1.5 high ones."""
    phones = [still.phone(0, 4.0, 2.0), still.phone(1, 2.0, 1.0)]
    return still.group(phones, **{"combinations": (still.LOW, still.HIGH), "buffer_s": 0.0, **fields})


def test_the_first_iteration_goes_by_what_is_expected(still: SimpleNamespace) -> None:
    # 10 chunks: low ones take 10/3 s, high ones 10/1.5 s; nothing has been tried, so that nothing is added
    abr = OasisAbr(1.0, IterationLength(5))
    low, high = (
        estimate_qoe(rate, 0.0, chunks=10, quality_bps=one.quality_bps, last_quality_bps=None)
        for rate, one in ((3.0, still.LOW), (1.5, still.HIGH))
    )
    assert low == pytest.approx(1.5 - 4.3 / 3)
    assert high == pytest.approx(2.5 - 4.3 / 1.5)
    assert abr.decide(a_view(still)) == Decision(still.LOW, 10)
    ample = OasisAbr(1.0, IterationLength(5))
    assert ample.decide(a_view(still, buffer_s=10.0)) == Decision(still.HIGH, 10)


def test_upper_confidence_bounds_by_hand(still: SimpleNamespace) -> None:
    abr = OasisAbr(1.0, IterationLength(5))
    first = abr.decide(a_view(still))
    # predicted 3 chunks/s, measured 10 in 4 s: the offset is 0.5, SR of phone 0 is 1.8
    abr.observe(still.report(0, first.chunks, 0.0, 4.0, sr_chunks_per_s=(1.8, 0.0)))
    arm = abr.arms[still.LOW]
    assert (arm.count, arm.offset, arm.sr) == (1, pytest.approx(0.5), {0: (1, 1.8)})
    assert abr.arms[still.HIGH].count == 0

    # the next one: low has min(1.8, 2) + 1 - 0.5, high 1.5; both have 3 chunks (2:1), which the buffer outlasts
    view = a_view(still, next_chunk=10, buffer_s=2.0)
    bounds = {
        still.LOW: estimate_qoe(2.3, 2.0, chunks=3, quality_bps=1.5e6, last_quality_bps=1.5e6)
        + sqrt(log(2.0) / 2.0),
        still.HIGH: estimate_qoe(1.5, 2.0, chunks=3, quality_bps=2.5e6, last_quality_bps=1.5e6)
        + sqrt(log(2.0) / 1.0),
    }
    assert bounds[still.LOW] == pytest.approx(1.5 + sqrt(log(2.0) / 2.0))
    assert bounds[still.HIGH] == pytest.approx(2.5 - 1.0 / 3 + sqrt(log(2.0)))
    assert bounds[still.HIGH] > bounds[still.LOW]
    assert abr.decide(view) == Decision(still.HIGH, 3)
    # it takes 3 s instead of 2: the offset is 0.5 of 1.5
    abr.observe(still.report(10, 3, 4.0, 7.0, still.HIGH))
    assert abr.arms[still.HIGH].offset == pytest.approx(0.5)

    view = a_view(still, next_chunk=13, buffer_s=1.0)
    low = estimate_qoe(2.3, 1.0, chunks=3, quality_bps=1.5e6, last_quality_bps=2.5e6) + sqrt(log(3.0) / 2.0)
    high = estimate_qoe(1.0, 1.0, chunks=3, quality_bps=2.5e6, last_quality_bps=2.5e6) + sqrt(log(3.0) / 2.0)
    assert low == pytest.approx(1.5 - 1.0 / 3 - 4.3 * (3 / 2.3 - 1.0) / 3 + sqrt(log(3.0) / 2.0))
    assert high == pytest.approx(2.5 - 4.3 * 2.0 / 3 + sqrt(log(3.0) / 2.0))
    assert low > high
    assert abr.decide(view) == Decision(still.LOW, 3)
    # predicted 2.8 (without its offset), measured 2: the mean error is (0.5 + 0.8) / 2
    abr.observe(still.report(13, 3, 7.0, 8.5))
    assert abr.arms[still.LOW].offset == pytest.approx(0.65)


@pytest.mark.parametrize(("alpha", "high"), [(0.0, False), (5.0, True)])
def test_alpha_weighs_exploration(still: SimpleNamespace, alpha: float, high: bool) -> None:
    abr = OasisAbr(alpha, IterationLength(5))
    abr.decide(a_view(still))
    abr.observe(still.report(0, 10, 0.0, 10.0 / 3.0))
    tight = a_view(still, next_chunk=10, buffer_s=0.0)
    assert (abr.decide(tight).combination is still.HIGH) == high


@pytest.mark.parametrize(("wwan", "wlan", "sr", "narrowest"), [(6, 9, 3, 3), (2, 9, 3, 2), (6, 1, 3, 1)])
def test_the_narrowest_stage_counts(
    still: SimpleNamespace, wwan: float, wlan: float, sr: float, narrowest: float
) -> None:
    phones = [still.phone(index, wwan / 2, sr / 2, wlan=wlan / 2) for index in range(2)]
    phones.append(still.phone(2, 99.0, 99.0, present=False))
    abr = OasisAbr(1.0, IterationLength(5))
    abr.decide(still.group(phones))
    abr.observe(still.report(0, 10, 0.0, 20.0))  # 1/2 chunk a second
    assert abr.arms[still.LOW].offset == pytest.approx(narrowest - 0.5)


def test_where_there_is_no_sr_the_plain_ladder_is_chosen_from(still: SimpleNamespace) -> None:
    abr = OasisAbr(1.0, IterationLength(5))
    decision = abr.decide(a_view(still, combinations=(), buffer_s=10.0))
    assert decision == Decision(still.PLAIN[2], 10), "10 chunks of 4 at 6 a second take 6.7 s"
    assert set(abr.arms) == set(still.PLAIN)


def test_iterations_that_overlap_share_their_time(still: SimpleNamespace) -> None:
    abr = OasisAbr(1.0, IterationLength(1))
    for first in (0, 2, 4):
        abr.decide(a_view(still, next_chunk=first))
    abr.observe(still.report(0, 2, 0.0, 2.0))
    abr.observe(still.report(2, 2, 1.0, 3.0))  # during it four chunks ended: 2 a second
    arm = abr.arms[still.LOW]
    assert arm.offset == pytest.approx(((3.0 - 1.0) + (3.0 - 2.0)) / 2)
    abr.observe(still.report(77, 2, 3.0, 4.0))  # not decided here: plain chunks at the start, say
    assert arm.count == 2


@pytest.mark.parametrize("devices", range(1, 8))
def test_equal_devices_get_one_chunk_each(still: SimpleNamespace, devices: int) -> None:
    view = still.group([still.phone(index, 3.0, 0.37) for index in range(devices)])
    length = IterationLength()
    assert length.first(view) == 5 * devices
    assert length.later(view, still.LOW) == devices
    assert length.later(view, still.PLAIN[0]) == devices


def test_later_iterations_fit_the_speeds(still: SimpleNamespace) -> None:
    view = still.group([still.phone(0, 1.0, 2.0), still.phone(1, 1.0, 3.0), still.phone(2, 1.0, 1.0)])
    assert IterationLength().later(view, still.LOW) == 6
    assert IterationLength().later(view, still.PLAIN[0]) == 3, "without SR the networks count"
    view.phones[1].present = False
    assert IterationLength().first(view) == 10
    assert IterationLength().later(view, still.LOW) == 3
    assert IterationLength().later(still.group([still.phone(0)]), still.LOW) == 1, "nobody can do SR"


def test_another_half_in_iterations_of_oasis(still: SimpleNamespace) -> None:
    view = a_view(still)
    half = InOasisIterations(FixedCombination(180, 720).abr(), IterationLength(4))
    assert half.decide(view) == Decision(still.LOW, 8)
    assert half.decide(view) == Decision(still.LOW, 3)


def test_a_fixed_combination_is_plain_while_no_phone_can_run_it(still: SimpleNamespace) -> None:
    half = FixedCombination(180, 720, chunks=2).abr()
    assert half.decide(a_view(still)) == Decision(still.LOW, 2)
    assert half.decide(a_view(still, combinations=(still.HIGH,))) == Decision(still.PLAIN[0], 2)
    assert half.decide(a_view(still, combinations=())) == Decision(still.PLAIN[0], 2)
    assert FixedCombination(720, 720).abr().decide(a_view(still)) == Decision(still.PLAIN[2], 1)
