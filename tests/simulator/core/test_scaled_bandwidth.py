"""Bandwidth with outages and slow times, against sums over small pieces and the theory of queues with breakdowns."""

from __future__ import annotations

import random
from itertools import count

import numpy as np
import pytest

from simulator.core import Channel, ConstantBandwidth, Environment, Streams, TraceBandwidth
from simulator.core.scaled_bandwidth import ScaledBandwidth
from simulator.faults.periods import Faults
from simulator.scenario.fault_spec import FaultSpec


def test_undisturbed_it_is_what_it_was():
    base = TraceBandwidth([0.0, 1.0], [10.0, 30.0], 2.0)
    scaled = ScaledBandwidth(base, [])
    assert scaled.rate(1.5) == 30.0
    assert scaled.integral(0.3, 7.9) == base.integral(0.3, 7.9)
    assert scaled.time_for(0.3, 123.0) == base.time_for(0.3, 123.0)


def test_an_outage_and_a_slow_time():
    scaled = ScaledBandwidth(ConstantBandwidth(10.0), [(1.0, 0.0), (3.0, 0.5), (5.0, 1.0)])
    assert [scaled.rate(time_s) for time_s in (0.5, 1.0, 2.9, 3.0, 5.0)] == [10.0, 0.0, 0.0, 5.0, 10.0]
    assert scaled.integral(0.0, 10.0) == 10.0 + 0.0 + 10.0 + 50.0
    assert scaled.time_for(0.5, 5.0) == 1.0  # just before the outage, not after it
    assert scaled.time_for(0.5, 7.5) == 3.5
    assert scaled.time_for(2.0, 12.5) == 5.25


def test_changes_at_one_instant_are_one_change():
    scaled = ScaledBandwidth(ConstantBandwidth(10.0), [(0.0, 0.5), (0.0, 0.1), (2.0, 0.0), (2.0, 1.0)])
    assert scaled.time_for(0.0, 3.0) == pytest.approx(2.1)
    assert scaled.integral(0.0, 3.0) == pytest.approx(12.0)


@pytest.mark.parametrize("seed", range(30))
def test_time_for_is_the_inverse_of_the_integral(seed):
    rng = random.Random(seed)
    times = np.cumsum([rng.expovariate(1.0) for _ in range(40)]).tolist()
    changes = [(time_s, rng.choice([0.0, 0.2, 1.0])) for time_s in times] + [(times[-1] + 1.0, 1.0)]
    base = TraceBandwidth([0.0, 0.7], [8.0, rng.choice([0.0, 3.0])], 1.5)
    scaled = ScaledBandwidth(base, changes)
    for _ in range(30):
        start_s, n_bytes = 40 * rng.random(), 100 * rng.random()
        end_s = scaled.time_for(start_s, n_bytes)
        assert scaled.integral(start_s, end_s) == pytest.approx(n_bytes, rel=1e-9)
        middle_s = (start_s + end_s) / 2
        parts = scaled.integral(start_s, middle_s) + scaled.integral(middle_s, end_s)
        assert parts == pytest.approx(n_bytes, rel=1e-9)


def test_changes_without_end_are_asked_for_as_needed():
    asked = count()
    changes = ((float(next(asked)) + 1.0, i % 2 * 1.0) for i in count())
    scaled = ScaledBandwidth(ConstantBandwidth(1.0), changes)
    assert scaled.time_for(0.0, 2.5) == pytest.approx(4.5)
    assert next(asked) < 10


def test_a_queue_with_breakdowns_is_as_long_as_theory_has_it():
    """M/M/1 whose server breaks down at rate a and is repaired at rate b, service going on where it was.

    The mean number is l * ((a + b)^2 + m * a) / ((a + b) * (m * b - l * (a + b))) for arrivals at rate l and service
    at rate m (White and Christie 1958; Avi-Itzhak and Naor 1963). With exponential work it is the same whether the
    server is shared or serves one after the other.
    """
    arrival, service, breaks, repairs = 0.5, 1.0, 0.1, 0.5
    both = breaks + repairs
    mean = arrival * (both**2 + service * breaks) / (both * (service * repairs - arrival * both))
    spec = FaultSpec("outage", link="lan", mtbf=1 / breaks, mttr=1 / repairs)
    means = []
    for replication in range(30):
        env = Environment()
        streams = Streams(7, replication)
        factors = Faults({"drop": spec}, streams).bandwidth_factors(link="lan")
        assert factors is not None
        channel = Channel(env, ScaledBandwidth(ConstantBandwidth(1.0), factors))
        rng = streams.stream("jobs")

        def arrive(env=env, channel=channel, rng=rng) -> None:
            channel.transfer(rng.exponential(1 / service))
            env.call_at(env.now + rng.exponential(1 / arrival), arrive)

        arrive()
        env.run(until=1000.0)
        warm = channel.active_s
        env.run(until=6000.0)
        means.append((channel.active_s - warm) / 5000.0)
    half_width = 2.045 * np.std(means, ddof=1) / len(means) ** 0.5  # Student's t, 29 degrees of freedom, 95 %
    assert abs(np.mean(means) - mean) < half_width
    assert half_width < 0.15 * mean
