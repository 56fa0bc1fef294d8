"""The virtual-time channel against processor sharing written out in exact arithmetic, on random histories."""

import math
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.core import Bandwidth, Channel, ConstantBandwidth, Environment, TraceBandwidth, Transfer
from simulator.core.transfer import operations_of

RELATIVE = 1e-9


@dataclass
class Job:
    """One transfer of a random history."""

    start_s: float
    n_bytes: float
    operation_bytes: float
    weight: float
    cancel_after_s: float | None
    shorten_after_s: float | None
    shorten_to_operations: int


@dataclass
class History:
    """A channel and what is sent through it."""

    times_s: list[float]
    values: list[float]
    period_s: float
    latency_s: float
    per_operation_s: float
    jobs: list[Job]

    def bandwidth(self) -> Bandwidth:
        if len(self.values) == 1:
            return ConstantBandwidth(self.values[0])
        return TraceBandwidth(self.times_s, self.values, self.period_s)


@st.composite
def histories(draw: st.DrawFn) -> History:
    pieces = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.floats(0.25, 4.0), min_size=pieces, max_size=pieces))
    values = draw(st.lists(st.just(0.0) | st.floats(1.0, 20.0), min_size=pieces, max_size=pieces))
    values[0] = values[0] or 5.0
    ends = [math.fsum(lengths[: k + 1]) for k in range(pieces)]
    number = st.floats(0.0, 10.0)
    jobs = st.builds(
        Job,
        start_s=number | st.integers(0, 5).map(float),
        n_bytes=st.floats(0.125, 40.0) | st.sampled_from([0.0, 8.0, 16.0]),
        operation_bytes=st.floats(1.0, 50.0) | st.just(8.0),
        weight=st.just(1.0) | st.floats(0.125, 8.0),
        cancel_after_s=st.none() | number,
        shorten_after_s=st.none() | number,
        shorten_to_operations=st.integers(0, 6),
    )
    return History(
        times_s=[0.0, *ends[:-1]],
        values=values,
        period_s=ends[-1],
        latency_s=draw(st.just(0.0) | st.floats(0.0, 1.0)),
        per_operation_s=draw(st.just(0.0) | st.floats(0.0, 0.5)),
        jobs=draw(st.lists(jobs, min_size=1, max_size=12)),
    )


def run_channel(history: History) -> tuple[Channel, list[Transfer]]:
    env = Environment()
    channel = Channel(env, history.bandwidth(), history.latency_s, history.per_operation_s)
    transfers: list[Transfer | None] = [None] * len(history.jobs)
    done: list[Transfer] = []

    def begin(index: int) -> None:
        job = history.jobs[index]
        transfer = channel.transfer(job.n_bytes, job.operation_bytes, job.weight, done.append)
        transfers[index] = transfer
        if job.cancel_after_s is not None:
            env.call_at(job.start_s + job.cancel_after_s, lambda: transfer.cancel() and None)
        if job.shorten_after_s is not None:
            fewer_bytes = job.shorten_to_operations * job.operation_bytes
            env.call_at(job.start_s + job.shorten_after_s, lambda: transfer.shorten(fewer_bytes))

    for index, job in enumerate(history.jobs):
        env.call_at(job.start_s, lambda index=index: begin(index))  # type: ignore[misc]
    env.run()
    ended = [transfer for transfer in transfers if transfer is not None]
    assert len(ended) == len(history.jobs)
    assert sorted(map(id, done)) == sorted(id(transfer) for transfer in ended if transfer.done)  # each once
    assert channel.active == 0
    return channel, ended


def run_naive(history: History, overhead: float) -> tuple[list[Fraction], list[Fraction], Fraction, Fraction]:
    """Return each transfer's end and work done, the busy time and the integral of the number of active ones.

    From one event to the next everything moves in a straight line; an event is a start, a cancellation, a
    shortening, a change of bandwidth or the first completion. All in fractions: no rounding at all.
    """
    period = Fraction(history.period_s)
    changes = [Fraction(time) for time in history.times_s] + [period]
    joins = [Fraction(job.start_s + history.latency_s) for job in history.jobs]
    cancels = [
        None if job.cancel_after_s is None else Fraction(job.start_s + job.cancel_after_s)
        for job in history.jobs
    ]
    shortenings = [
        None if job.shorten_after_s is None else Fraction(job.start_s + job.shorten_after_s)
        for job in history.jobs
    ]
    left = [
        Fraction(job.n_bytes) + operations_of(job.n_bytes, job.operation_bytes) * Fraction(overhead)
        for job in history.jobs
    ]
    did = [Fraction(0)] * len(left)

    def shorten(k: int) -> None:
        job = history.jobs[k]
        fewer = Fraction(job.shorten_to_operations * job.operation_bytes)
        if fewer < Fraction(job.n_bytes):
            work = fewer + operations_of(float(fewer), job.operation_bytes) * Fraction(overhead)
            left[k] = max(min(left[k], work - did[k]), Fraction(0))

    for k, shortening in enumerate(shortenings):
        if shortening is not None and shortening <= joins[k]:
            shorten(k)
    ends: dict[int, Fraction] = {}
    for index, (join, cancel) in enumerate(zip(joins, cancels, strict=True)):
        if cancel is not None and cancel <= join:
            ends[index] = cancel
        elif not left[index]:
            ends[index] = join
    now, busy, active_time = Fraction(0), Fraction(0), Fraction(0)
    while len(ends) < len(history.jobs):
        offset = now % period
        piece = max(k for k in range(len(history.values)) if changes[k] <= offset)
        rate = Fraction(history.values[piece])
        active = [k for k in range(len(history.jobs)) if joins[k] <= now and k not in ends]
        weights = sum(Fraction(history.jobs[k].weight) for k in active)
        candidates = [now - offset + changes[piece + 1]]
        candidates += [join for join in joins if join > now]
        candidates += [time for time in (*cancels, *shortenings) if time is not None and time > now]
        if rate:
            candidates += [
                now + left[k] * weights / (rate * Fraction(history.jobs[k].weight)) for k in active
            ]
        after = min(candidates)
        for k in active:
            work = (after - now) * rate * Fraction(history.jobs[k].weight) / weights
            did[k] += work
            left[k] -= work
        busy += (after - now) if active else 0
        active_time += (after - now) * len(active)
        now = after
        for k in active:
            if shortenings[k] == now:
                shorten(k)
            if left[k] <= 0 or cancels[k] == now:
                ends[k] = now
    return [ends[k] for k in range(len(history.jobs))], did, busy, active_time


@settings(max_examples=250, deadline=None, derandomize=True)
@given(histories())
def test_channel_equals_exact_processor_sharing(history: History) -> None:
    channel, transfers = run_channel(history)
    ends, did, busy, active_time = run_naive(history, channel.operation_overhead_bytes)
    for transfer, end, work in zip(transfers, ends, did, strict=True):
        assert transfer.ended_s == pytest.approx(float(end), rel=RELATIVE, abs=RELATIVE)
        done_work = transfer._work if transfer.done else transfer._work_of(transfer.progress_bytes())
        assert done_work == pytest.approx(float(work), abs=RELATIVE * (float(work) + 20.0))
        if transfer.done:
            assert transfer.progress_bytes() == transfer.bytes
            assert transfer.operations_done() == transfer.operations
    # Conservation: bytes, busy time and the integral of the number in the channel.
    moved = math.fsum(transfer.progress_bytes() for transfer in transfers)
    assert channel.moved_bytes == pytest.approx(moved, rel=RELATIVE)
    assert channel.busy_s == pytest.approx(float(busy), rel=RELATIVE, abs=1e-12)
    assert channel.active_s == pytest.approx(float(active_time), rel=RELATIVE, abs=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(histories(), st.floats(0.0, 12.0), st.floats(0.0, 1.0))
def test_bounds_and_predictions_hold(history: History, look_s: float, share: float) -> None:
    """`earliest` is never late, whoever comes or goes; the prediction is right if nobody does."""
    env = Environment()
    channel = Channel(env, history.bandwidth(), history.latency_s, history.per_operation_s)
    transfers: list[Transfer] = []
    for job in history.jobs:
        env.call_at(
            min(job.start_s, look_s),
            lambda job=job: transfers.append(  # type: ignore[misc]
                channel.transfer(job.n_bytes, job.operation_bytes, job.weight)
            ),
        )
    env.run(until=look_s + history.latency_s + 1e-6)  # all are on the channel by now
    running = [transfer for transfer in transfers if not transfer.done]
    predicted = [transfer.predicted_end_s() for transfer in running]
    goals = [share * transfer.bytes for transfer in running]
    bounds = [transfer.earliest(goal) for transfer, goal in zip(running, goals, strict=True)]
    for transfer, goal, bound in zip(running, goals, bounds, strict=True):
        if bound > env.now:

            def check(transfer: Transfer = transfer, goal: float = goal) -> None:
                assert transfer.progress_bytes() <= goal + 1e-9 * (goal + 20.0)

            env.call_at(bound, check)
    env.run()
    ends = [transfer.ended_s for transfer in running]
    assert ends == pytest.approx(predicted, rel=RELATIVE)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(histories())
def test_reruns_are_equal_to_the_last_bit(history: History) -> None:
    first, second = run_channel(history), run_channel(history)
    assert [t.ended_s for t in first[1]] == [t.ended_s for t in second[1]]
    assert [t.progress_bytes() for t in first[1]] == [t.progress_bytes() for t in second[1]]
    assert first[0].busy_s == second[0].busy_s


@settings(max_examples=60, deadline=None, derandomize=True)
@given(histories())
def test_work_conservation(history: History) -> None:
    """The channel is busy exactly while there is work: all bandwidth of the busy time goes into transfers."""
    history.values, history.times_s = history.values[:1], [0.0]
    for job in history.jobs:
        job.cancel_after_s = job.shorten_after_s = None
    channel, transfers = run_channel(history)
    work = math.fsum(transfer._work for transfer in transfers)
    assert channel.busy_s == pytest.approx(work / history.values[0], rel=RELATIVE)
    assert channel.moved_bytes == pytest.approx(math.fsum(job.n_bytes for job in history.jobs), rel=1e-14)
