"""BOLA, BOLA-E, THROUGHPUT, DYNAMIC and fixed levels. Their decisions as a whole are held to Sabre's elsewhere."""

from __future__ import annotations

import pytest

from simulator.policies.abr import AbrSession, AbrView, Choice, Download
from simulator.policies.abr.bola import Bola
from simulator.policies.abr.bola_basic import BolaBasic, Objective
from simulator.policies.abr.bola_e import BolaE
from simulator.policies.abr.dynamic import Dynamic
from simulator.policies.abr.estimate import Estimate, Ewma
from simulator.policies.abr.fixed import Fixed
from simulator.policies.abr.throughput import InsufficientBuffer, Throughput
from simulator.policies.registry import find, policies
from simulator.streaming.video import Video

RATES = (1e6, 2e6, 4e6, 8e6)
VIDEO = Video("cbr", 2.0, RATES, (tuple(2.0 * rate for rate in RATES),) * 100)


def download(
    throughput_bps: float, *, latency_s: float = 0.1, level: int = 0, buffer_s: float = 10.0
) -> Download:
    """A download of one second after its latency."""
    return Download(0, level, throughput_bps, 0.0, latency_s, latency_s + 1.0, buffer_s, 0.0)


def told(session: AbrSession, throughput_bps: float, times: int = 5, **facts: float) -> AbrSession:
    """A session that has seen a steady network."""
    for _ in range(times):
        session.downloaded(download(throughput_bps, **facts))  # type: ignore[arg-type]
    return session


def test_all_rules_are_registered_and_start_low() -> None:
    names = {"bola", "bola_basic", "bola_e", "dynamic", "fixed", "throughput"}
    assert names <= set(policies("abr"))
    for name in names:
        session = find("abr", name)().session(VIDEO, 25.0)
        assert session.choose(AbrView(0, 0.0, None)) == Choice(0)


def test_a_moving_average_has_no_bias_at_the_start() -> None:
    average = Ewma(3.0)
    average.add(5.0, 0.01)
    assert average.value == pytest.approx(5.0)
    average.add(1.0, 3.0)
    # the new sample weighs 1/2, the old one what is left of its 0.01 s
    old = 0.5 * (1.0 - 0.5 ** (0.01 / 3.0))
    assert average.value == pytest.approx((old * 5.0 + 0.5 * 1.0) / (old + 0.5))


def test_the_worse_of_two_averages_counts() -> None:
    estimate = Estimate(VIDEO)
    fast, slow = Ewma(3.0), Ewma(8.0)
    for throughput_bps in (8e6, 2e6, 9e6):
        estimate.downloaded(download(throughput_bps, latency_s=throughput_bps / 1e8))
        fast.add(throughput_bps, 1.0)
        slow.add(throughput_bps, 1.0)
        assert estimate.throughput_bps == pytest.approx(min(fast.value, slow.value))
    assert slow.value < fast.value  # after a rise; after a fall it is the other way round
    assert 0.063 < estimate.latency_s < 0.09


def test_the_level_that_throughput_carries() -> None:
    estimate = Estimate(VIDEO)
    assert estimate.level() == 0
    estimate.downloaded(download(4.3e6, latency_s=0.1))
    assert estimate.level() == 2  # 0.1 s + 2 s * 4 / 4.3 is just below 2 s
    assert estimate.level(0.9) == 1
    estimate.downloaded(download(4.3e6, latency_s=0.5))
    assert estimate.level() == 1


def test_thresholds_of_the_objective_are_where_its_decisions_change() -> None:
    objective = Objective(VIDEO, 3.0, 5.0)
    for level in range(1, 4):
        enters_s = objective.enters_s(level)
        assert objective.level(enters_s - 1e-6) == level - 1
        assert objective.level(enters_s + 1e-6) == level
        assert objective.leaves_s(level) > enters_s
    assert objective.enters_s(0) == 0.0


def test_bola_basic_rises_with_the_buffer_up_to_the_highest_level() -> None:
    session = told(BolaBasic().session(VIDEO, 25.0), 100e6)
    levels = [session.choose(AbrView(50, float(buffer_s), 3)).level for buffer_s in range(24)]
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == (0, 3)


def test_a_switch_up_is_limited_by_throughput_and_none_down() -> None:
    for rule in (BolaBasic(), Bola()):
        session = told(rule.session(VIDEO, 25.0), 2.5e6)  # carries level 1
        assert session.choose(AbrView(50, 23.0, 0)).level == 2
        assert session.choose(AbrView(50, 23.0, 1)).level == 2
        assert session.choose(AbrView(50, 23.0, 2)).level == 2
        assert session.choose(AbrView(50, 23.0, 3)).level == 3
        assert session.choose(AbrView(50, 0.5, 3)).level == 0


def test_bola_plans_with_less_near_the_start_and_the_end() -> None:
    session = told(Bola().session(VIDEO, 25.0), 100e6)
    buffer_s = 6.0
    middle = session.choose(AbrView(50, buffer_s, 0)).level
    assert middle == told(BolaBasic().session(VIDEO, 25.0), 100e6).choose(AbrView(50, buffer_s, 0)).level
    assert session.choose(AbrView(3, buffer_s, 0)).level > middle
    assert session.choose(AbrView(97, buffer_s, 0)).level > middle


def test_an_insufficient_buffer_lowers_the_level_and_trusts_less_each_time() -> None:
    estimate = Estimate(VIDEO)
    estimate.downloaded(download(4e6, latency_s=0.0))
    guard = InsufficientBuffer(VIDEO, 0.9, 0.5)
    # level 2 needs 8 Mbit: 0.9 * 2.3 s * 4 Mbit/s is enough, 0.81 * ... is not
    assert guard.level(2, 2.3, estimate) == 2
    assert guard.level(2, 2.3, estimate) == 1
    for _ in range(20):
        guard.level(0, 9.0, estimate)
    assert guard.level(2, 4.1, estimate) == 2  # the share ends at 0.5
    assert guard.level(2, 3.9, estimate) == 1
    assert guard.level(3, 0.0, estimate) == 0


def test_throughput_counts_on_nine_tenths() -> None:
    session = told(Throughput().session(VIDEO, 25.0), 4.5e6)
    assert session.choose(AbrView(9, 20.0, 1)).level == 1
    assert told(Throughput().session(VIDEO, 25.0), 5e6).choose(AbrView(9, 20.0, 1)).level == 2
    assert told(Throughput().session(VIDEO, 25.0), 5e6).choose(AbrView(9, 0.8, 1)).level == 0


def test_dynamic_turns_to_bola_above_its_threshold() -> None:
    session = told(Dynamic().session(VIDEO, 25.0), 2.5e6)
    throughput = told(Throughput().session(VIDEO, 25.0), 2.5e6).choose(AbrView(50, 23.0, 2))
    assert throughput.level == 1
    assert session.choose(AbrView(50, 23.0, 2)).level == 2
    assert session.choose(AbrView(50, 9.0, 2)).level == 1  # low, and BOLA wants less than throughput carries


def test_bola_e_starts_at_what_throughput_carries() -> None:
    session = told(BolaE().session(VIDEO, 25.0), 5e6, times=1, buffer_s=0.0)
    assert session.choose(AbrView(1, 2.0, 0)).level == 2
    assert told(BolaBasic().session(VIDEO, 25.0), 5e6, times=1).choose(AbrView(1, 2.0, 0)).level == 0


def test_bola_e_takes_waiting_for_a_full_buffer_as_buffer() -> None:
    def level(waits: int) -> int:
        session = told(BolaE().session(VIDEO, 12.0), 100e6, times=1, buffer_s=0.0)
        session.choose(AbrView(1, 2.0, 0))
        told(session, 100e6, level=0, buffer_s=10.0)
        for _ in range(waits):
            session.waited(2.0)
        return session.choose(AbrView(20, 10.0, 3)).level

    assert level(0) < level(8) == 3


def test_bola_e_waits_rather_than_filling_the_buffer_with_a_level_that_it_must_keep() -> None:
    session = told(BolaE().session(VIDEO, 60.0), 1.1e6, times=1, buffer_s=0.0)
    session.choose(AbrView(1, 2.0, 0))
    told(session, 0.5e6, buffer_s=50.0)
    choice = session.choose(AbrView(50, 58.0, 0))
    objective = Objective(VIDEO, *_bola_e_terms(60.0), 1.0)
    assert choice.level == 1
    assert choice.wait_s == pytest.approx(58.0 - objective.leaves_s(1))


def _bola_e_terms(target_s: float) -> tuple[float, float]:
    """V p and gamma p of BOLA-E with 10 s at least, for a ladder that ends at 8 times its lowest bitrate."""
    gamma_p = 2.0794415416798357 / (target_s / 10.0 - 1.0)
    return 10.0 / gamma_p, gamma_p


def test_fixed_stays_in_the_ladder() -> None:
    assert Fixed(2).session(VIDEO, 25.0).choose(AbrView(5, 1.0, 2)) == Choice(2)
    assert Fixed(9).session(VIDEO, 25.0).choose(AbrView(5, 1.0, 3)) == Choice(3)


def test_levels_of_equal_bitrate_are_told_apart_by_quality() -> None:
    """As in a group of phones, where super-resolution adds quality to the same download."""

    class Enhanced:
        segment_s, segments, levels = 2.0, 100, 3
        bitrates_bps = (1e6, 1e6, 2e6)
        qualities_bps = (1e6, 1.5e6, 3e6)
        sizes_bits = ((2e6, 2e6, 4e6),) * 100

    for rule in (BolaBasic(), Bola(), BolaE(), Dynamic()):
        session = told(rule.session(Enhanced(), 25.0), 9e6, level=1)
        levels = {session.choose(AbrView(50, float(buffer_s), 1)).level for buffer_s in range(2, 24)}
        assert levels <= {1, 2}
        assert 2 in levels
