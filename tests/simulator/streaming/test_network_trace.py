"""Network traces: latency and bandwidth over time, repeated."""

from __future__ import annotations

import random

import pytest

from devices.errors import InputError
from simulator.streaming.network_trace import ALL_ZERO, NetworkTrace

STEPS = NetworkTrace("steps", (10.0, 5.0), (1e6, 4e6), (0.1, 0.2))


def test_within_a_period() -> None:
    assert STEPS.first_byte_s(3.0) == pytest.approx(3.1)
    assert STEPS.last_byte_s(3.0, 2e6) == pytest.approx(5.0)
    assert STEPS.duration_s == 15.0
    assert STEPS.mean_bps == pytest.approx(2e6)


def test_a_download_goes_on_in_the_next_period_and_around_the_end() -> None:
    assert STEPS.last_byte_s(9.0, 1e6 + 8e6) == pytest.approx(12.0)
    assert STEPS.last_byte_s(14.0, 4e6 + 3e6) == pytest.approx(18.0)
    assert STEPS.last_byte_s(0.0, 10 * 30e6) == pytest.approx(150.0)


def test_a_latency_is_consumed_by_shares() -> None:
    # half of the first period's 0.1 s passes before it ends; the other half is of the second's 0.2 s
    assert STEPS.first_byte_s(9.95) == pytest.approx(10.0 + 0.5 * 0.2)
    assert STEPS.first_byte_s(14.9) == pytest.approx(15.0 + 0.5 * 0.1)
    assert NetworkTrace("none", (1.0,), (1.0,)).first_byte_s(7.25) == 7.25


def test_a_latency_longer_than_periods() -> None:
    trace = NetworkTrace("slow", (1.0, 1.0), (1e6, 1e6), (4.0, 8.0))
    # 1/4, 1/8, 1/4, 1/8 of the request, then the last quarter of it at 4 s each
    assert trace.first_byte_s(0.0) == pytest.approx(5.0)


def test_pauses_are_waited_for() -> None:
    trace = NetworkTrace("pauses", (2.0, 3.0), (1e6, 0.0))
    assert trace.last_byte_s(1.0, 1.5e6) == pytest.approx(5.5)
    assert trace.last_byte_s(3.0, 1e6) == pytest.approx(6.0)


def test_against_stepping_through_periods() -> None:
    rng = random.Random(5)
    for _ in range(200):
        periods = [
            (rng.uniform(0.2, 3.0), rng.choice((0.0, rng.uniform(0.1, 9.0))), rng.uniform(0.0, 1.5))
            for _ in range(rng.randint(1, 6))
        ]
        periods.append((1.0, 2.0, 0.3))
        trace = NetworkTrace("random", *map(tuple, zip(*periods, strict=True)))
        start_s, bits = rng.uniform(0.0, 40.0), rng.uniform(0.01, 30.0)
        first_s = trace.first_byte_s(start_s)
        expected = stepped(periods, start_s, bits)
        assert (first_s, trace.last_byte_s(first_s, bits)) == pytest.approx(expected, abs=1e-9)


def stepped(periods: list[tuple[float, float, float]], now_s: float, bits: float) -> tuple[float, float]:
    """First and last byte by small bites, each within one period."""
    ends = [sum(duration for duration, _, _ in periods[: index + 1]) for index in range(len(periods))]
    cycles = int(now_s // ends[-1])

    def bite(time_s: float) -> tuple[int, float]:
        at_s = time_s - cycles * ends[-1]
        index = next(index for index, end in enumerate(ends) if at_s < end - 1e-12)
        return index, ends[index] - at_s

    share, first_s = 1.0, 0.0
    while True:
        if now_s - cycles * ends[-1] >= ends[-1] - 1e-12:
            cycles += 1
        index, left_s = bite(now_s)
        _, bandwidth, latency_s = periods[index]
        if share:
            passes_s = min(left_s, share * latency_s)
            share = 0.0 if passes_s == share * latency_s else share - passes_s / latency_s
            first_s = now_s + passes_s
        else:
            passes_s = left_s if bandwidth * left_s < bits else bits / bandwidth
            bits -= passes_s * bandwidth
            if bits <= 0.0:
                return first_s, now_s + passes_s
        now_s += passes_s


def test_scaled() -> None:
    assert STEPS.scaled(0.5).last_byte_s(3.0, 1e6) == pytest.approx(5.0)
    assert STEPS.scaled(0.5).latencies_s == STEPS.latencies_s
    for factor in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="above 0 and finite"):
            STEPS.scaled(factor)


@pytest.mark.parametrize(
    ("periods", "message"),
    [
        (((), ()), "as many durations"),
        (((1.0,), (1.0, 2.0)), "as many durations"),
        (((0.0,), (1.0,)), "duration must be above 0"),
        (((1.0,), (-1.0,)), "bandwidth must be at least 0"),
        (((1.0,), (float("nan"),)), "bandwidth must be at least 0"),
        (((1.0,), (1.0,), (-0.1,)), "latency must be at least 0"),
        (((1.0, 2.0), (0.0, 0.0)), ALL_ZERO),
    ],
)
def test_faults(periods: tuple[tuple[float, ...], ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NetworkTrace("bad", *periods)
