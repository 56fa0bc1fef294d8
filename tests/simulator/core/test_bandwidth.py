"""Bandwidth over time: closed forms, brute force, and the inverse of the integral."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.core import Bandwidth, ConstantBandwidth, CoreError, TraceBandwidth, UniformBandwidth


def sawtooth() -> TraceBandwidth:
    """100 bytes/s for 1 s, nothing for 2 s, 30 bytes/s for 1 s: 130 bytes every 4 s."""
    return TraceBandwidth([0.0, 1.0, 3.0], [100.0, 0.0, 30.0], 4.0)


def test_closed_form_of_a_trace() -> None:
    trace = sawtooth()
    assert [trace.rate(time) for time in (0.0, 0.999, 1.0, 2.9, 3.0, 3.999, 4.0, 405.5)] == [
        *(100.0, 100.0, 0.0, 0.0, 30.0, 30.0, 100.0, 0.0)
    ]
    assert trace.mean_bytes_per_s == 32.5
    assert trace.peak_bytes_per_s == 100.0
    assert trace.integral(0.0, 4.0) == 130.0
    assert trace.integral(0.25, 0.75) == 50.0
    assert trace.integral(0.5, 3.5) == 65.0
    assert trace.integral(3.5, 4.5) == 65.0
    assert trace.integral(0.5, 400.5) == 13000.0
    assert trace.integral(1.5, 2.5) == 0.0


def test_time_for_is_the_first_time_and_exact_at_change_points() -> None:
    trace = sawtooth()
    assert trace.time_for(0.5, 0.0) == 0.5
    assert trace.time_for(0.5, 25.0) == 0.75
    assert trace.time_for(0.5, 50.0) == 1.0  # not 3.0: they have passed before the pause
    assert trace.time_for(0.5, 50.0 + 15.0) == 3.5
    assert trace.time_for(0.0, 130.0) == 4.0
    assert trace.time_for(0.0, 13000.0) == 400.0
    assert trace.time_for(1.5, 30.0) == 4.0
    assert trace.time_for(1.5, 130.0) == 5.0
    assert trace.time_for(1.5, 3e-6) == pytest.approx(3.0 + 1e-7, rel=1e-15)  # nothing passes before 3
    # A last bit too much at the start of a pause does not wait for its end.
    assert trace.time_for(0.9, 100.0 * (1.0 - 0.9)) == 1.0
    assert trace.time_for(0.5, math.nextafter(50.0, 51.0)) == 1.0
    assert trace.time_for(0.5, math.nextafter(50.0 + 130.0, 181.0)) == 5.0
    assert trace.time_for(402.0, 30.0 + 100.0) == 405.0


@st.composite
def traces(draw: st.DrawFn) -> TraceBandwidth:
    lengths = draw(st.lists(st.floats(0.1, 10.0), min_size=1, max_size=6))
    values = draw(st.lists(st.just(0.0) | st.floats(1e-2, 1e4), min_size=len(lengths), max_size=len(lengths)))
    if not any(values):
        values[0] = 1.0
    ends = np.cumsum(lengths).tolist()
    return TraceBandwidth([0.0, *ends[:-1]], values, ends[-1])


def exact_integral(trace: TraceBandwidth, start_s: float, end_s: float) -> float:
    """Sum over every stretch in turn, in exact arithmetic."""
    period = Fraction(trace.period_s)
    points = [Fraction(start) for start in trace._starts] + [period]
    total = Fraction(0)
    cycle = int(Fraction(start_s) / period)
    while cycle * period < Fraction(end_s):
        for (a, b), value in zip(pairwise(points), trace._values, strict=True):
            low, high = max(cycle * period + a, Fraction(start_s)), min(cycle * period + b, Fraction(end_s))
            total += max(high - low, Fraction(0)) * Fraction(value)
        cycle += 1
    return float(total)


@settings(max_examples=60, deadline=None)
@given(traces(), st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_integral_against_exact_arithmetic(trace: TraceBandwidth, start_s: float, length_s: float) -> None:
    end_s = start_s + length_s
    expected = exact_integral(trace, start_s, end_s)
    # A time is known to half a unit in its last place, and that is worth this many bytes.
    resolution = 16 * math.ulp(end_s) * trace.peak_bytes_per_s
    assert trace.integral(start_s, end_s) == pytest.approx(expected, rel=1e-12, abs=resolution)


def test_integral_against_small_steps() -> None:
    trace = sawtooth()
    steps = np.linspace(0.37, 11.21, 200_001)
    middles = (steps[1:] + steps[:-1]) / 2
    brute = math.fsum(trace.rate(time) for time in middles.tolist()) * (steps[1] - steps[0])
    assert trace.integral(0.37, 11.21) == pytest.approx(brute, rel=1e-5)


def check_inverse(bandwidth: Bandwidth, start_s: float, n_bytes: float) -> None:
    end_s = bandwidth.time_for(start_s, n_bytes)
    assert start_s <= end_s < math.inf
    resolution = 16 * math.ulp(end_s) * bandwidth.peak_bytes_per_s
    assert bandwidth.integral(start_s, end_s) == pytest.approx(n_bytes, rel=1e-11, abs=resolution)
    earlier = max(start_s, end_s * (1 - 1e-9) - 1e-9)
    assert bandwidth.integral(start_s, earlier) <= n_bytes + resolution


@settings(max_examples=300, deadline=None)
@given(traces(), st.floats(0.0, 100.0), st.floats(0.0, 1e6))
def test_time_for_inverts_the_integral(trace: TraceBandwidth, start_s: float, n_bytes: float) -> None:
    check_inverse(trace, start_s, n_bytes)


@settings(max_examples=100, deadline=None)
@given(traces(), st.integers(0, 1000), st.integers(0, 1000), st.data())
def test_whole_periods_and_change_points(
    trace: TraceBandwidth, cycle: int, cycles: int, data: st.DataObject
) -> None:
    start_s = cycle * trace.period_s + data.draw(st.sampled_from(trace._starts))
    check_inverse(trace, start_s, cycles * trace.mean_bytes_per_s * trace.period_s)
    check_inverse(trace, math.nextafter(start_s, math.inf), 1e-9)
    check_inverse(trace, math.nextafter(start_s, 0.0), 5e-324)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0, 100.0), st.floats(0.0, 1e4), st.integers(0, 5))
def test_uniform_inverts_too(start_s: float, n_bytes: float, seed: int) -> None:
    check_inverse(UniformBandwidth(0.0, 100.0, 0.3, np.random.default_rng(seed)), start_s, n_bytes)


def test_uniform_is_the_same_whatever_is_asked_first() -> None:
    def make() -> UniformBandwidth:
        return UniformBandwidth(10.0, 30.0, 0.5, np.random.default_rng(3))

    forward, backward = make(), make()
    times = [0.25 + 0.5 * k for k in range(500)]
    rates = [forward.rate(time) for time in times]
    assert [backward.rate(time) for time in reversed(times)] == rates[::-1]
    assert len(set(rates)) == 500
    assert all(10.0 <= rate < 30.0 for rate in rates)
    assert forward.rate(0.5) == rates[1]
    expected = 0.25 * rates[0] + 0.5 * sum(rates[1:3]) + 0.25 * rates[3]
    assert forward.integral(0.25, 1.75) == pytest.approx(expected)
    assert (forward.mean_bytes_per_s, forward.peak_bytes_per_s) == (20.0, 30.0)
    assert np.mean(rates) == pytest.approx(20.0, abs=1.0)


def test_constant() -> None:
    constant = ConstantBandwidth(8)
    assert (constant.rate(3.0), constant.integral(1.0, 3.0), constant.time_for(1.0, 16.0)) == (8.0, 16.0, 3.0)
    assert constant.mean_bytes_per_s == constant.peak_bytes_per_s == 8.0


def test_change_points_far_from_zero_belong_to_the_new_stretch() -> None:
    trace = TraceBandwidth([0.0, 0.1, 0.3], [1.0, 2.0, 3.0], 0.7)
    for cycle in range(2000):
        base = cycle * trace.period_s
        assert [trace.rate(base + start) for start in (0.0, 0.1, 0.3)] == [1.0, 2.0, 3.0]
        assert trace.rate(math.nextafter(base + 0.3, 0.0)) == 2.0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_constant_refuses(rate: float) -> None:
    with pytest.raises(CoreError, match="above 0 and finite"):
        ConstantBandwidth(rate)


@pytest.mark.parametrize(
    ("times", "values", "period", "message"),
    [
        ([], [], 1.0, "at least one"),
        ([0.0, 1.0], [1.0], 2.0, "as many times as values"),
        ([0.5], [1.0], 1.0, "start at 0"),
        ([0.0], [1.0], math.inf, "finite period"),
        ([0.0], [1.0], math.nan, "finite period"),
        ([0.0, 2.0, 1.0], [1.0, 1.0, 1.0], 3.0, "ascend: entry 1"),
        ([0.0, 1.0], [1.0, 1.0], 1.0, "ascend: entry 1"),
        ([0.0, 1.0], [1.0, -1.0], 2.0, "entry 1 is -1.0"),
        ([0.0, 1.0], [1.0, math.inf], 2.0, "entry 1 is inf"),
        ([0.0, 1.0], [math.nan, 1.0], 2.0, "entry 0 is nan"),
        ([0.0, 1.0], [0.0, 0.0], 2.0, "some bytes per period"),
        ([0.0, 1.0], [1e308, 1e308], 9.0, "finitely many"),
    ],
)
def test_trace_refuses(times: list[float], values: list[float], period: float, message: str) -> None:
    with pytest.raises(CoreError, match=message):
        TraceBandwidth(times, values, period)


@pytest.mark.parametrize(
    ("low", "high", "period"),
    [
        (2.0, 1.0, 1.0),
        (-1.0, 1.0, 1.0),
        (0.0, 0.0, 1.0),
        (1.0, math.inf, 1.0),
        (1.0, 2.0, 0.0),
        (1.0, 2.0, math.nan),
    ],
)
def test_uniform_refuses(low: float, high: float, period: float) -> None:
    with pytest.raises(CoreError):
        UniformBandwidth(low, high, period, np.random.default_rng(0))
