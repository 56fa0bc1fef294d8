"""The radio's time is shared out without loss; tokens come back in order and no faster than the link."""

from __future__ import annotations

import random

import pytest

from simulator.assistant.radio import RadioDraw, RadioMeter
from simulator.assistant.route import LONGEST_S, Route
from simulator.core import Channel, ConstantBandwidth, Environment, TraceBandwidth

DRAW = RadioDraw(1.0, 1e-6, 2.0, 2e-6, awake_w=0.5, tail_s=3.0)


def awake_s(spans: list[tuple[float, float]], tail_s: float) -> float:
    """Length of the union of spans, each with a tail."""
    total, end = 0.0, -1.0
    for start, stop in sorted(spans):
        total += max(0.0, stop + tail_s - max(start, end))
        end = max(end, stop + tail_s)
    return total


@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up_to_the_time_awake(seed: int) -> None:
    rng = random.Random(seed)
    spans = []
    for _ in range(rng.randint(1, 30)):
        start = rng.uniform(0.0, 60.0)
        spans.append((start, start + rng.expovariate(0.3)))
    meter, marks, shares = RadioMeter(DRAW), {}, []
    events = sorted((time, end, i) for i, span in enumerate(spans) for end, time in enumerate(span))
    for time, end, i in events:
        if end:
            shares.append(meter.end(time, marks[i]))
        else:
            marks[i] = meter.begin(time)
    # a tail that goes on while another question is under way is not booked: that one pays for the time
    assert sum(shares) == pytest.approx(0.5 * awake_s(spans, DRAW.tail_s), rel=1e-9)
    assert min(shares) >= 0.0


def test_two_questions_side_by_side_pay_half_each() -> None:
    meter = RadioMeter(DRAW)
    one, other = meter.begin(0.0), meter.begin(0.0)
    assert meter.end(10.0, one) == pytest.approx(0.5 * 5.0)
    assert meter.end(10.0, other) == pytest.approx(0.5 * (5.0 + 3.0))


def link(env: Environment, bytes_per_s: float, latency_s: float = 0.0) -> tuple[Channel, Channel]:
    return tuple(Channel(env, ConstantBandwidth(bytes_per_s), latency_s) for _ in range(2))  # type: ignore[return-value]


def test_an_answer_is_late_by_the_way_back() -> None:
    env = Environment()
    route = Route([link(env, 1e6, 0.1), link(env, 1e3, 0.2)])
    first_s, last_s = route.delivered_s(5.0, 9.0, 5, 100.0)
    assert first_s == pytest.approx(5.0 + 0.3 + 100 / 1e3 + 100 / 1e6)
    assert last_s == pytest.approx(9.0 + 0.3 + 100 / 1e3 + 100 / 1e6)


def test_tokens_that_come_faster_than_the_link_wait_for_each_other() -> None:
    env = Environment()
    route = Route([link(env, 1e3)])
    # ten tokens of 0.5 s each within 1 s: the link is busy from the first one on
    assert route.delivered_s(2.0, 3.0, 10, 500.0) == pytest.approx((2.5, 7.0))
    # the slowest way to see it: token by token
    free = 0.0
    for made in (2.0 + i / 9 for i in range(10)):
        free = max(free, made) + 0.5
    assert route.delivered_s(2.0, 3.0, 10, 500.0)[1] == pytest.approx(free)


def test_tokens_wait_for_the_end_of_an_outage() -> None:
    env = Environment()
    bandwidth = TraceBandwidth((0.0, 1.0, 4.0), (1e3, 1e-9, 1e3), 100.0)
    channel = Channel(env, bandwidth)
    route = Route([(channel, channel)])
    assert route.delivered_s(2.0, 3.0, 2, 100.0)[0] == pytest.approx(4.1)
    assert route.delivered_s(2.0, 3.0, 2, 100.0)[1] == pytest.approx(4.2)


def test_a_prompt_passes_link_after_link_and_tells_its_air_time() -> None:
    env = Environment()
    route = Route([link(env, 1e3, 0.5), link(env, 1e2, 1.0)])
    arrived: list[tuple[float, float]] = []
    route.send(100.0, lambda air_s: arrived.append((env.now, air_s)))
    env.run()
    assert arrived == [(pytest.approx(0.5 + 0.1 + 1.0 + 1.0), pytest.approx(0.1))]
    assert route.predicted_s(100.0) == pytest.approx(2.6)
    assert route.least_s(100.0) == pytest.approx(2.6)


def test_prompts_share_a_link() -> None:
    env = Environment()
    route = Route([link(env, 1e3)])
    arrived: list[float] = []
    for _ in range(2):
        route.send(100.0, arrived.append)
    assert route.predicted_s(100.0) == pytest.approx(0.3)  # a third one would get a third
    env.run()
    assert arrived == pytest.approx([0.2, 0.2])


def test_a_link_that_is_down_is_predicted_to_stay_so() -> None:
    env = Environment()
    channel = Channel(env, TraceBandwidth((0.0, 1.0), (0.0, 1e3), 2.0))
    route = Route([(channel, channel)])
    assert route.predicted_s(10.0) == route.token_s(10.0) == LONGEST_S


def test_without_links_everything_is_there_at_once() -> None:
    route, arrived = Route([]), []
    route.send(1e9, arrived.append)
    assert arrived == [0.0]
    assert route.delivered_s(1.0, 2.0, 5, 100.0) == (1.0, 2.0)
    assert route.air_s(1e9, sends=True) == route.predicted_s(1e9) == 0.0
