"""Transfers that are cut short, and estimates, against a channel that is advanced in small steps."""

from __future__ import annotations

import random
from math import inf

import pytest

from simulator.core import Channel, ConstantBandwidth, Environment, TraceBandwidth

RATE = 100.0
"""Bytes per second."""


def channel(latency_s: float = 0.0, per_operation_s: float = 0.0) -> tuple[Environment, Channel]:
    env = Environment()
    return env, Channel(env, ConstantBandwidth(RATE), latency_s, per_operation_s)


class Watched:
    """A transfer that remembers when it was done."""

    def __init__(self, channel: Channel, *args: float, **kwargs: float) -> None:
        self.done_s: list[float] = []
        env = channel.env
        self.transfer = channel.transfer(*args, on_done=lambda _: self.done_s.append(env.now), **kwargs)


def test_shortened_transfer_ends_when_the_shorter_one_would():
    env, shared = channel(per_operation_s=0.5)
    watched = Watched(shared, 400.0, operation_bytes=100.0)
    env.call_at(1.0, lambda: watched.transfer.shorten(200.0))
    env.run()
    assert watched.done_s == [pytest.approx(3.0)]  # two operations of 1 s + 0.5 s
    assert watched.transfer.bytes == 200.0
    assert watched.transfer.operations == watched.transfer.operations_done() == 2
    assert shared.moved_bytes == pytest.approx(200.0)
    assert shared.busy_s == pytest.approx(3.0)


def test_shortening_to_what_has_arrived_ends_it_at_once_with_what_has_arrived():
    env, shared = channel()
    watched = Watched(shared, 400.0, operation_bytes=100.0)
    env.call_at(2.5, lambda: watched.transfer.shorten(100.0))
    env.run()
    assert watched.done_s == [2.5]
    assert watched.transfer.bytes == pytest.approx(250.0)
    assert watched.transfer.operations_done() == 2
    assert shared.moved_bytes == pytest.approx(250.0)


@pytest.mark.parametrize("n_bytes", [400.0, 500.0, inf])
def test_no_more_bytes_than_it_has_changes_nothing(n_bytes):
    env, shared = channel()
    watched = Watched(shared, 400.0, operation_bytes=100.0)
    env.call_at(1.0, lambda: watched.transfer.shorten(n_bytes))
    env.run()
    assert watched.done_s == [4.0]
    assert watched.transfer.bytes == 400.0


def test_shortening_what_has_ended_changes_nothing():
    env, shared = channel()
    done, cancelled = Watched(shared, 100.0), Watched(shared, 400.0)
    env.call_at(2.5, cancelled.transfer.cancel)
    env.call_at(3.0, lambda: [w.transfer.shorten(10.0) for w in (done, cancelled)])
    env.run()
    assert done.done_s == [2.0]
    assert cancelled.done_s == []
    assert done.transfer.bytes == 100.0
    assert shared.moved_bytes == pytest.approx(250.0)


def test_shortening_within_the_latency():
    env, shared = channel(latency_s=2.0)
    watched, nothing = Watched(shared, 400.0), Watched(shared, 400.0)
    env.call_at(1.0, lambda: watched.transfer.shorten(150.0))
    env.call_at(1.0, lambda: nothing.transfer.shorten(0.0))
    env.run()
    assert nothing.done_s == [2.0]
    assert watched.done_s == [pytest.approx(3.5)]


def test_the_others_get_the_channel_when_a_shortened_one_leaves():
    env, shared = channel()
    first, second = Watched(shared, 400.0), Watched(shared, 400.0, weight=3.0)
    env.call_at(2.0, lambda: second.transfer.shorten(225.0))  # it has 150 by then, the first 50
    env.run()
    assert second.done_s == [pytest.approx(3.0)]
    assert first.done_s == [pytest.approx(3.0 + (400.0 - 75.0) / RATE)]


def test_shortening_again_and_again_is_shortening_once():
    env, shared = channel(per_operation_s=0.1)
    other = Watched(shared, 1000.0)
    watched = Watched(shared, 1000.0, operation_bytes=10.0)
    for i in range(1, 60):
        env.call_at(0.01 * i, lambda n=1000.0 - 15.0 * i: watched.transfer.shorten(n))
    env.run()
    assert watched.transfer.bytes == 115.0
    assert watched.done_s == [pytest.approx(2 * 12 * 0.1 + 2 * 1.15)]
    assert other.done_s == [pytest.approx(10.1 + 12 * 0.1 + 1.15)]
    assert shared.active == 0


@pytest.mark.parametrize("seed", range(40))
def test_against_a_channel_advanced_event_by_event(seed):
    """Random joins and cuts; progress is advanced with the exact shares between any two events."""
    rng = random.Random(seed)
    overhead_s = rng.choice([0.0, 0.05])
    env, shared = channel(per_operation_s=overhead_s)
    operation = 20.0
    starts = [(rng.uniform(0, 3), rng.uniform(10, 300), rng.choice([1.0, 2.5])) for _ in range(6)]
    cuts = [(rng.uniform(0, 8), rng.randrange(6), rng.uniform(0, 200)) for _ in range(8)]
    watched: dict[int, Watched] = {}

    def start(i: int) -> None:
        watched[i] = Watched(shared, starts[i][1], operation_bytes=operation, weight=starts[i][2])

    def cut(i: int, n_bytes: float) -> None:
        if i in watched:
            watched[i].transfer.shorten(n_bytes)

    for i, (time_s, _, _) in enumerate(starts):
        env.call_at(time_s, lambda i=i: start(i))
    for time_s, i, n_bytes in cuts:
        env.call_at(time_s, lambda i=i, n=n_bytes: cut(i, n))
    env.run()

    def work_of(n_bytes: float) -> float:
        return n_bytes + -(-n_bytes // operation) * overhead_s * RATE

    events = sorted(
        [(time_s, 0, i, 0.0) for i, (time_s, _, _) in enumerate(starts)]
        + [(time_s, 1, i, n_bytes) for time_s, i, n_bytes in cuts]
    )
    left: dict[int, float] = {}
    size = {i: n_bytes for i, (_, n_bytes, _) in enumerate(starts)}
    done: dict[int, float] = {}
    now = 0.0
    while events or left:
        weights = sum(starts[i][2] for i in left)
        ends = {i: now + work * weights / starts[i][2] / RATE for i, work in left.items()}
        next_end = min(ends.values(), default=inf)
        until = min(next_end, events[0][0] if events else inf)
        for i in left:
            left[i] -= (until - now) * RATE * starts[i][2] / weights
        now = until
        if until == next_end:
            i = min(ends, key=lambda j: ends[j])
            done[i] = now
            del left[i]
            continue
        _, kind, i, n_bytes = events.pop(0)
        if kind == 0:
            left[i] = work_of(size[i])
        elif i in left and n_bytes < size[i]:
            progress = work_of(size[i]) - left[i]
            whole, part = divmod(progress, operation + overhead_s * RATE)
            arrived = whole * operation + part * operation / (operation + overhead_s * RATE)
            last = size[i] - (-(-size[i] // operation) - 1) * operation
            if whole * operation > size[i] - last - 1e-9:  # within the last operation
                arrived = size[i] - last + part * last / (last + overhead_s * RATE)
            left[i] = 0.0 if arrived >= n_bytes else max(0.0, work_of(n_bytes) - progress)
            size[i] = n_bytes
    for i, transfer in watched.items():
        assert transfer.done_s == [pytest.approx(done[i], abs=1e-9)]
    assert shared.active == 0


def test_estimate_on_an_idle_channel_is_what_the_transfer_takes():
    env, shared = channel(latency_s=0.25, per_operation_s=0.1)
    estimate_s = shared.estimate_s(130.0, 50.0)
    assert estimate_s == pytest.approx(0.25 + 3 * 0.1 + 1.3)
    assert shared.estimate_s(130.0, 50.0, idle=True) == pytest.approx(estimate_s)
    watched = Watched(shared, 130.0, operation_bytes=50.0)
    env.run()
    assert watched.done_s == [pytest.approx(estimate_s)]


def test_estimate_shares_with_those_who_are_there_but_not_when_idle_is_assumed():
    _, shared = channel()
    for weight in (1.0, 2.0):
        shared.transfer(1000.0, weight=weight)
    assert shared.estimate_s(100.0, 100.0) == pytest.approx(4.0)
    assert shared.estimate_s(100.0, 100.0, idle=True) == pytest.approx(1.0)


def test_estimate_knows_the_bandwidth_to_come():
    env = Environment()
    shared = Channel(env, TraceBandwidth([0.0, 1.0], [100.0, 50.0], 2.0))
    assert shared.estimate_s(100.0, 100.0) == pytest.approx(1.0)
    assert shared.estimate_s(100.0, 100.0, after_s=0.5) == pytest.approx(1.5)  # 50 in 0.5 s, 50 in 1 s
    assert shared.estimate_s(60.0, 60.0, after_s=1.0) == pytest.approx(1.1)
    assert shared.estimate_s(75.0, 75.0, idle=True) == pytest.approx(1.0)  # at the mean of 75 B/s


def test_reach_assumes_that_the_others_stay():
    env, shared = channel(per_operation_s=0.5)
    short = shared.transfer(100.0)
    long = shared.transfer(400.0, operation_bytes=100.0)
    assert long.reach_s(100.0) == pytest.approx(3.0)
    assert long.reach_s(400.0) == pytest.approx(12.0)
    assert long.predicted_end_s() == pytest.approx(1.5 + 6.0)
    env.run(until=4.0)  # the short one went at 3.0
    assert short.done
    assert long.reach_s(200.0) == pytest.approx(4.5)
    assert long.reach_s(50.0) == 4.0  # arrived long ago
    env.run()
    assert long.reach_s(400.0) == long.ended_s


def test_reach_within_the_latency():
    _, shared = channel(latency_s=2.0)
    assert shared.transfer(100.0).reach_s(50.0) == pytest.approx(2.5)


def test_retagging_keeps_the_virtual_time_of_a_long_busy_channel():
    """Many joins, cuts and ends: stale entries must neither end a transfer nor keep the channel busy."""
    env, shared = channel()
    rng = random.Random(7)
    transfers = []

    def step() -> None:
        transfers.append(shared.transfer(rng.uniform(50, 150), operation_bytes=10.0))
        for transfer in rng.sample(transfers[-5:], k=min(3, len(transfers))):
            transfer.shorten(transfer.bytes * rng.uniform(0.5, 1.0))
        if len(transfers) < 500:
            env.call_at(env.now + rng.uniform(0.2, 1.2), step)

    step()
    env.run()
    assert all(transfer.done for transfer in transfers)
    assert shared.moved_bytes == pytest.approx(sum(transfer.bytes for transfer in transfers), rel=1e-9)
    assert shared.busy_s == pytest.approx(shared.moved_bytes / RATE, rel=1e-9)
    assert shared.active == 0
