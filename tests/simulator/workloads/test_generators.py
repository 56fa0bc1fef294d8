"""Generators: arrival processes and lengths against theory, determinism, independence of the streams."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from devices.errors import InputError
from simulator.workloads.arrival_spec import (
    AtOnce,
    Closed,
    Cyclic,
    Fixed,
    Gamma,
    OnOff,
    Poisson,
    ReplayedRate,
)
from simulator.workloads.build import faults
from simulator.workloads.length_spec import Evenly, LogNormal, Quantiles, Uniform
from simulator.workloads.lengths import draw_lengths
from simulator.workloads.spec import Sessions, Stored, Synthetic


def spec(**fields) -> Synthetic:
    """A Poisson workload of 100 requests, but for `fields`."""
    given = {"requests": 100, "rate": 5.0, "input_tokens": 100, "output_tokens": 10} | fields
    return Synthetic(trace="synthetic", service="chat", **given)


def test_poisson_gaps_have_the_mean_and_cv_of_theory(make):
    n, rate = 100_000, 4.0
    gaps = np.diff(make(spec(requests=n, rate=rate)).arrival_s)
    assert gaps.mean() == pytest.approx(1 / rate, abs=4 / (rate * math.sqrt(n)))
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=4 * math.sqrt(2 / n))


@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0])
def test_gamma_gaps_have_the_cv_asked_for(make, cv):
    n = 200_000
    gaps = np.diff(make(spec(requests=n, arrivals=Gamma(cv=cv))).arrival_s)
    assert gaps.mean() == pytest.approx(0.2, abs=4 * 0.2 * cv / math.sqrt(n))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_on_off_keeps_the_long_run_rate_and_comes_in_bursts(make):
    cycles, process = 2_000, OnOff(on=10.0, off=30.0)
    arrival_s = make(spec(requests=None, duration=cycles * 40.0, rate=5.0, arrivals=process)).arrival_s
    # variance of the on time of alternating exponential periods: 2 (on off)^2 / (on + off)^3 per second
    spread = 20 * math.sqrt(2 * (10 * 30) ** 2 / 40**3 * cycles * 40)
    assert len(arrival_s) == pytest.approx(5 * cycles * 40, abs=4 * spread)
    gaps = np.diff(arrival_s)
    assert np.median(gaps) == pytest.approx(math.log(2) / 20, rel=0.05)  # 20 per second while on


def test_on_off_without_off_periods_is_poisson(make):
    gaps = np.diff(make(spec(requests=20_000, arrivals=OnOff(on=10.0, off=0.0))).arrival_s)
    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(1, rel=0.03)


def test_fixed_at_once_and_closed(make):
    assert make(spec(requests=4, arrivals=Fixed())).arrival_s.tolist() == [0, 0.2, 0.4, pytest.approx(0.6)]
    assert make(spec(requests=3, arrivals=AtOnce(), delay=2.0)).arrival_s.tolist() == [2, 2, 2]
    closed = make(spec(requests=3, rate=None, arrivals=Closed(2), delay=2.0))
    assert np.isnan(closed.arrival_s).all()
    assert (closed.concurrency, closed.start_s) == (2, 2.0)


def replay(tmp_path, text: str, **fields) -> Synthetic:
    path = tmp_path / "rates.csv"
    path.write_text(text)
    select = fields.pop("select", None)
    return spec(arrivals=ReplayedRate(str(path), select), **({"requests": None, "rate": None} | fields))


def test_a_replayed_rate_is_followed_and_repeats(make, tmp_path):
    text = "model,start_s,rate_rps\na,0,10\nb,0,99\na,600,0\na,1200,30\n"
    workload = replay(tmp_path, text, select={"model": "a"}, duration=3600.0)
    counts = np.histogram(make(workload).arrival_s, bins=np.arange(0, 3601, 600))[0]
    assert counts[1] == counts[4] == 0
    for at, expected in ((0, 6_000), (2, 18_000), (3, 6_000), (5, 18_000)):
        assert counts[at] == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_a_replayed_rate_is_scaled_to_the_mean_and_cut_by_time(make, tmp_path):
    text = "start_s,rate_rps\n0,1\n600,3\n"
    n = len(make(replay(tmp_path, text, rate=20.0, start=600.0, duration=600.0)).arrival_s)
    assert n == pytest.approx(18_000, abs=4 * math.sqrt(18_000))  # 20 x 3/2 per second in the second half


@pytest.mark.parametrize(
    ("text", "select", "message"),
    [
        ("start_s,rate_rps\n0,-1\n5,x\n", None, "rate_rps is '-1'"),
        ("start_s,rate_rps\n0,0\n5,0\n", None, "no rate is above 0"),
        ("start_s,rate_rps\n0,1\n0,2\n", None, "choose one with select"),
        ("start_s,rate\n0,1\n", None, "column 'rate_rps' is missing; nearest: rate"),
        ("model,start_s,rate_rps\nm-small,0,1\n", {"model": "m-smal"}, "nearest: m-small"),
        (
            "model,start_s,rate_rps\nm-small,0,1\n",
            {"mode": "m-small"},
            "column 'mode' is missing; nearest: model",
        ),
    ],
)
def test_faulty_rates(make, tmp_path, text, select, message):
    with pytest.raises(InputError, match=message) as error:
        make(replay(tmp_path, text, select=select, duration=60.0))
    assert {fault.path for fault in error.value.faults} == {"workloads.chat.arrivals.path"}


@pytest.mark.parametrize("process", [Poisson(), Gamma(cv=2.0), OnOff(on=5.0, off=5.0), Fixed()])
def test_a_longer_run_sees_the_same_arrivals_and_more(make, process):
    short, long = (make(spec(requests=n, arrivals=process)).arrival_s for n in (50, 5_000))
    assert np.array_equal(short, long[:50])
    timed = make(spec(requests=None, duration=float(long[70]), arrivals=process)).arrival_s
    assert np.array_equal(timed, long[:70])


def test_start_skips_arrivals_of_the_same_process(make):
    whole = make(spec(requests=1_000)).arrival_s
    part = make(spec(requests=20, start=60.0, delay=7.0)).arrival_s
    first = np.searchsorted(whole, 60.0)
    np.testing.assert_allclose(part, whole[first : first + 20] - 60 + 7)


def test_the_rate_only_stretches_time(make):
    slow, fast = (make(spec(rate=rate)).arrival_s for rate in (1.0, 4.0))
    np.testing.assert_allclose(slow, 4 * fast)


def test_one_seed_one_workload(make):
    workload = spec(arrivals=Gamma(cv=2.0), input_tokens=LogNormal(500, 1.0), output_tokens=Uniform(1, 50))
    first, again, other = make(workload), make(workload), make(workload, seed=2)
    for column in ("arrival_s", "input_tokens", "output_tokens"):
        assert np.array_equal(getattr(first, column), getattr(again, column))
        assert not np.array_equal(getattr(first, column), getattr(other, column))
    assert not np.array_equal(first.arrival_s, make(workload, name="batch").arrival_s)


@pytest.mark.parametrize(
    ("change", "unmoved"),
    [
        ({"arrivals": Gamma(cv=3.0)}, ("input_tokens", "output_tokens")),
        ({"input_tokens": 7}, ("arrival_s", "output_tokens")),
        ({"output_tokens": Uniform(1, 9)}, ("arrival_s", "input_tokens")),
        ({"stored": Stored("disk")}, ("arrival_s", "input_tokens", "output_tokens")),
    ],
)
def test_one_stream_does_not_move_another(make, change, unmoved):
    base = spec(input_tokens=LogNormal(500, 1.0), output_tokens=LogNormal(50, 1.0))
    before, after = make(base), make(dataclasses.replace(base, **change))
    for column in unmoved:
        assert np.array_equal(getattr(before, column), getattr(after, column))


def test_log_normal_lengths_have_mean_and_cv(stream):
    n = 400_000
    drawn = draw_lengths(LogNormal(mean=2_000, cv=1.2), n, stream("x"))
    assert drawn.mean() == pytest.approx(2_000, abs=4 * 2_400 / math.sqrt(n))
    assert drawn.std() / drawn.mean() == pytest.approx(1.2, rel=0.03)
    assert draw_lengths(LogNormal(mean=2_000, cv=1.2, maximum=1_500), 1_000, stream("x")).max() == 1_500
    assert set(draw_lengths(LogNormal(mean=300, cv=0), 10, stream("x"))) == {300}


def test_quantiles_are_reproduced(stream):
    probabilities, tokens = (0.0, 0.25, 0.5, 0.9, 1.0), (10, 100, 400, 4_000, 20_000)
    drawn = draw_lengths(Quantiles(probabilities, tokens), 200_000, stream("x"))
    np.testing.assert_allclose(np.quantile(drawn, probabilities[1:-1]), tokens[1:-1], rtol=0.02)
    assert drawn.min() >= 10
    assert drawn.max() <= 20_000
    assert draw_lengths(Quantiles((0.0, 1.0), (0, 0)), 5, stream("x")).tolist() == [1] * 5


def test_uniform_evenly_and_fixed_lengths(stream):
    uniform = draw_lengths(Uniform(3, 6), 40_000, stream("x"))
    np.testing.assert_allclose(np.bincount(uniform)[3:] / 40_000, 0.25, atol=0.01)
    assert draw_lengths(Evenly(10, 50), 5, stream("x")).tolist() == [10, 20, 30, 40, 50]
    assert draw_lengths(Evenly(10, 50), 1, stream("x")).tolist() == [10]
    assert draw_lengths(8, 3, stream("x")).tolist() == [8, 8, 8]


def test_stored_prompts_have_ids_of_their_own(make):
    requests = make(spec(requests=3, input_tokens=Evenly(15, 33), stored=Stored("disk", share=0.5)))
    assert requests.stored_tier == "disk"
    assert requests.stored_tokens.tolist() == [7, 12, 16]
    assert requests.hash_block_tokens == 16
    assert requests.hash_offsets.tolist() == [0, 1, 3, 6]
    assert len(set(requests.hash_ids.tolist())) == 6


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"requests": None}, "requests", "needs one of them to end"),
        ({"rate": None}, "rate", "poisson arrivals need a mean rate"),
        ({"rate": 0.0}, "rate", "allowed: finite numbers above 0"),
        ({"rate": math.nan}, "rate", "allowed: finite numbers above 0"),
        ({"requests": None, "arrivals": AtOnce()}, "requests", "at_once arrivals need a number"),
        ({"arrivals": AtOnce(), "duration": 5.0}, "duration", "has no meaning with at_once arrivals"),
        ({"arrivals": Closed(2), "start": 5.0}, "start", "has no meaning with closed arrivals"),
        ({"arrivals": Closed(2), "sessions": Sessions(3, 1.0)}, "sessions", "cannot have sessions"),
        ({"arrivals": Gamma(cv=0.0)}, "arrivals.cv", "allowed: finite numbers from 0.001 to 1000"),
        ({"arrivals": OnOff(on=0.0, off=1.0)}, "arrivals.on", "allowed: above 0 s"),
        ({"duration": 0.0}, "duration", "allowed: above 0 s"),
        ({"input_tokens": LogNormal(0, 1)}, "input_tokens", "mean is 0"),
        ({"output_tokens": LogNormal(5, -1)}, "output_tokens", "cv is -1"),
        ({"input_tokens": Uniform(9, 3)}, "input_tokens", r"low \(9\) is above high \(3\)"),
        ({"input_tokens": Quantiles((0.0, 0.5), (1, 2))}, "input_tokens", "from 0 to 1"),
        ({"input_tokens": Quantiles((0.0, 0.5, 0.5, 1.0), (1, 2, 3, 4))}, "input_tokens", "do not ascend"),
        ({"input_tokens": Quantiles((0.0, 1.0), (5, 2))}, "input_tokens", "descend"),
        ({"input_tokens": Quantiles((0.0, 1.0), (5,))}, "input_tokens", "as many of both"),
        ({"sessions": Sessions(Uniform(9, 3), 1.0)}, "sessions.turns", "is above high"),
    ],
)
def test_settings_that_cannot_be(make, fields, field, message):
    with pytest.raises(InputError, match=message) as error:
        make(spec(**fields))
    assert [fault.path for fault in error.value.faults] == [f"workloads.chat.{field}"]


def test_all_faults_of_a_workload_are_reported_together():
    wrong = faults(spec(rate=-1.0, input_tokens=Uniform(9, 3), output_tokens=LogNormal(0, -1)), "chat")
    assert len(wrong) == 4
    assert faults(spec(), "chat") == []


def test_cyclic_arrivals_follow_their_shape_with_the_mean_rate(make):
    cycle = Cyclic((1.0, 0.0, 3.0), 30.0)
    arrival_s = make(spec(arrivals=cycle, rate=50.0, requests=None, duration=3000.0)).arrival_s
    counts = np.bincount((arrival_s % 30.0 // 10.0).astype(int), minlength=3)
    expected = 3000.0 * 50.0 / 4 * np.array([1.0, 0.0, 3.0])
    assert counts[1] == 0
    assert (abs(counts - expected) <= 4.5 * np.sqrt(expected)).all()


def test_a_cycle_in_which_nothing_arrives_is_refused():
    (fault,) = faults(spec(arrivals=Cyclic((0.0, 0.0), 30.0)), "chat")
    assert "no rate above 0" in fault.message
