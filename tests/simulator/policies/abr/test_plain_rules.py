"""Buffer-based, rate-based, throughput, dynamic and fixed rules: decisions computed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from simulator.policies.abr import Abr, AbrSession, AbrView, Choice, Download
from simulator.policies.abr.bba import Bba
from simulator.policies.abr.dynamic import Dynamic
from simulator.policies.abr.fixed import Fixed
from simulator.policies.abr.rate import HarmonicMean, Rate
from simulator.policies.abr.throughput import Throughput
from simulator.policies.registry import policies
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import Player
from simulator.streaming.video import Video

KBPS = (300, 750, 1200, 1850, 2850, 4300)
ENVIVIO = Video(
    "envivio", 4.0, tuple(1e3 * rate for rate in KBPS), (tuple(4e3 * rate for rate in KBPS),) * 48
)


def download(bps: float, *, time_s: float = 2.0, latency_s: float = 0.0, level: int = 0) -> Download:
    """A download of so many bits per second, its latency included."""
    return Download(0, level, bps * time_s, 10.0, 10.0 + latency_s, 10.0 + time_s, 8.0, 0.0)


def told(rule: Abr, rates_bps: Sequence[float], **facts: float) -> AbrSession:
    session = rule.session(ENVIVIO, 60.0)
    for rate_bps in rates_bps:
        session.downloaded(download(rate_bps, **facts))  # type: ignore[arg-type]
    return session


def at(session: AbrSession, buffer_s: float, last: int | None = 2) -> int:
    return session.choose(AbrView(9, buffer_s, last)).level


# BBA


@pytest.mark.parametrize(
    ("buffer_s", "level"),
    [
        (0.0, 0),
        (4.999, 0),
        (5.0, 0),
        (6.99, 0),  # 5 levels over 10 s: one every 2 s
        (7.0, 1),
        (9.5, 2),
        (12.99, 3),
        (13.0, 4),
        (14.99, 4),
        (15.0, 5),
        (60.0, 5),
    ],
)
def test_bba_is_pensieves(buffer_s: float, level: int) -> None:
    for rates_bps in ((), (1e3,), (1e9,)):
        assert at(told(Bba(), rates_bps), buffer_s) == level, "whatever the network does"


def test_bba_with_another_reservoir_and_cushion() -> None:
    session = told(Bba(reservoir_s=10.0, cushion_s=50.0), ())
    assert [at(session, buffer_s) for buffer_s in (9.0, 19.9, 20.0, 59.9, 60.0)] == [0, 0, 1, 4, 5]


def test_bba_without_a_cushion_knows_two_levels() -> None:
    session = told(Bba(reservoir_s=5.0, cushion_s=0.0), ())
    assert [at(session, buffer_s) for buffer_s in (4.9, 5.0, 9.0)] == [0, 5, 5]


# Rate-based


def test_a_harmonic_mean_by_hand() -> None:
    mean = HarmonicMean(3)
    assert mean.bps is None
    for rate_bps, expected in ((2e6, 2e6), (1e6, 4e6 / 3), (4e6, 12e6 / 7), (4e6, 2e6)):
        mean.add(download(rate_bps))
        assert mean.bps == pytest.approx(expected)
    latency = HarmonicMean(5)
    latency.add(download(3e6, time_s=2.0, latency_s=1.5))
    assert latency.bps == pytest.approx(3e6), "latency is part of it"
    # each download counts the same, however long it took
    latency.add(download(1e6, time_s=99.0))
    assert latency.bps == pytest.approx(1.5e6)


@pytest.mark.parametrize(
    ("rates_bps", "level"),
    [
        ((), 0),
        ((0.1e6,), 0),
        ((1.2e6,), 2),
        ((1.199e6,), 1),
        ((9e6,), 5),
        ((2e6, 1e6), 2),
        ((0.01e6, 2e6, 2e6, 2e6, 2e6, 2e6), 3),  # the first one is forgotten
        ((2e6, 2e6, 2e6, 2e6, 0.1e6), 0),  # 5 / (4 / 2 + 10) = 0.42
    ],
)
def test_rate_takes_the_highest_bitrate_of_the_mean(rates_bps: Sequence[float], level: int) -> None:
    for buffer_s in (0.0, 50.0):
        assert at(told(Rate(), rates_bps), buffer_s) == level, "whatever the buffer holds"


def test_rate_with_another_window() -> None:
    assert at(told(Rate(window=1), (9e6, 0.8e6)), 5.0) == 1
    assert at(told(Rate(window=2), (9e6, 0.8e6)), 5.0) == 2  # 2 / (1/9 + 1/0.8) = 1.47


# Throughput


def test_throughput_by_hand() -> None:
    # 0.9 * 2.1 Mbit/s carry 1.85 Mbit/s, with half a second of latency only 1.2: 0.5 + 4 * 1.85 / 1.89 > 4
    assert at(told(Throughput(), (2.1e6,)), 30.0) == 3
    steady = told(Throughput(), (2.1e6 * 2.0 / 2.5,), time_s=2.5, latency_s=0.5)
    assert at(steady, 30.0) == 2
    assert at(told(Throughput(safety=0.5), (2.1e6,)), 30.0) == 1
    assert told(Throughput(), (9e6,)).choose(AbrView(0, 0.0, None)) == Choice(0)


def test_throughput_keeps_to_what_the_buffer_outlasts() -> None:
    # 4 s of 1.2 Mbit/s are 4.8 Mbit: at 0.9 * 2.1 Mbit/s they take 2.54 s
    assert at(told(Throughput(), (2.1e6,)), 2.55) == 2
    assert at(told(Throughput(), (2.1e6,)), 2.53) == 1
    assert at(told(Throughput(), (2.1e6,)), 0.0) == 0
    session = told(Throughput(), (2.1e6,))
    # the share falls from 0.9 by nine tenths at each decision: 2.54 s, 2.82 s, 3.14 s
    assert [at(session, 2.9) for _ in range(3)] == [2, 2, 1]


# Dynamic


def test_dynamic_by_hand() -> None:
    session = told(Dynamic(), (2.1e6,))
    assert at(session, 10.0) == 3, "throughput; at the threshold it stays"
    assert at(session, 40.0) == 4, "BOLA, one above what is carried"
    # low buffer and BOLA below throughput: back again, and BOLA's level does not count
    assert at(session, 9.0) == 3
    assert at(session, 9.9) == 3


def test_dynamic_stays_with_bola_while_that_is_no_lower() -> None:
    fast = told(Dynamic(threshold_s=0.5), (0.2e6,))  # throughput wants level 0, BOLA no less
    assert at(fast, 0.6, last=0) == 0
    assert at(fast, 30.0, last=0) > 0, "it has turned to BOLA"


# Fixed


def test_fixed_whatever_happens() -> None:
    for level in range(8):
        session = told(Fixed(level), (1e9, 1.0))
        for buffer_s, last in ((0.0, None), (60.0, 0), (1.0, 5)):
            assert session.choose(AbrView(3, buffer_s, last)) == Choice(min(level, 5))


# All


@pytest.mark.parametrize("name", sorted(policies("abr")))
def test_a_rule_keeps_nothing_between_sessions(name: str) -> None:
    rule = policies("abr")[name]()
    trace = NetworkTrace("steps", (7.0, 5.0, 11.0), (3e6, 0.4e6, 1.5e6), (0.1, 0.3, 0.05))
    first = Player().play(ENVIVIO, trace, rule)
    Player().play(ENVIVIO, NetworkTrace("other", (1.0,), (9e6,)), rule)
    assert Player().play(ENVIVIO, trace, rule) == first


@pytest.mark.parametrize("name", sorted(set(policies("abr")) - {"fixed"}))
def test_ample_bandwidth_ends_at_the_top_and_none_at_the_bottom(name: str) -> None:
    rule = policies("abr")[name]()
    ample = Player().play(ENVIVIO, NetworkTrace("ample", (1.0,), (1e9,)), rule)
    scant = Player().play(ENVIVIO, NetworkTrace("scant", (1.0,), (0.2e6,)), rule)
    assert ample.levels[0] == 0 and ample.levels[20:28] == (5,) * 8 and ample.rebuffer_s == 0.0
    assert set(scant.levels) == {0}
