"""The shared channel: closed forms, one behaviour per test."""

import math
from collections.abc import Callable

import pytest
from simpy.events import ProcessGenerator

from simulator.core import (
    ARRIVAL,
    STEP_END,
    TRANSFER_DONE,
    Channel,
    ConstantBandwidth,
    CoreError,
    Environment,
    TraceBandwidth,
    Transfer,
)

Log = list[tuple[str, float]]


def at(env: Environment, time_s: float, function: Callable[[], object], priority: int = 1) -> None:
    """Call a function whose result does not matter."""
    env.call_at(time_s, lambda: function() and None, priority)


def start(channel: Channel, log: Log, name: str, n_bytes: float, weight: float = 1.0) -> Transfer:
    return channel.transfer(
        n_bytes, weight=weight, on_done=lambda transfer: log.append((name, transfer.channel.env.now))
    )


def test_one_transfer_alone() -> None:
    env, log = Environment(), Log()
    transfer = start(Channel(env, ConstantBandwidth(100.0)), log, "a", 250.0)
    assert (transfer.predicted_end_s(), transfer.earliest(250.0), transfer.earliest(100.0)) == (2.5, 2.5, 1.0)
    env.run()
    assert log == [("a", 2.5)]
    assert (transfer.done, transfer.cancelled, transfer.ended_s) == (True, False, 2.5)
    assert (transfer.progress_bytes(), transfer.operations_done()) == (250.0, 1)


def test_two_share_then_one_has_all() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0))
    a = start(channel, log, "a", 100.0)
    at(env, 0.5, lambda: start(channel, log, "b", 100.0))
    at(env, 1.0, lambda: log.append(("a has", a.progress_bytes())))
    env.run()
    # a: 50 bytes alone, 50 at half rate until 1.5; b: 50 by then, 50 alone until 2.0
    assert log == [("a has", 75.0), ("a", 1.5), ("b", 2.0)]


def test_weights() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0))
    start(channel, log, "heavy", 75.0, weight=3.0)
    start(channel, log, "light", 50.0)
    assert channel.predicted_rate() == 20.0
    assert channel.predicted_rate(weight=4.0) == 50.0
    env.run()
    assert log == [("heavy", 1.0), ("light", 1.25)]


def test_equal_transfers_end_together_in_the_order_of_joining() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(30.0))
    for name in "abc":
        start(channel, log, name, 10.0)
    env.run()
    assert log == [("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_latency_does_not_occupy_the_channel() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=1.0)
    a = start(channel, log, "a", 100.0)
    assert (channel.active, a.predicted_end_s(), a.earliest(50.0)) == (0, 2.0, 1.5)
    assert (a.progress_bytes(), a.operations_done()) == (0.0, 0)
    at(env, 1.0, lambda: start(channel, log, "b", 100.0))  # joins at 2.0, when a ends
    env.run()
    assert log == [("a", 2.0), ("b", 3.0)]
    assert channel.busy_s == 2.0


def test_operations_cost_channel_time() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=0.5, per_operation_s=0.25)
    transfer = channel.transfer(100.0, operation_bytes=25.0)
    assert transfer.operations == 4
    env.run()
    assert transfer.ended_s == 0.5 + 4 * (0.25 + 0.25)


def test_whole_operations_count_at_the_instant_they_complete() -> None:
    env = Environment(0.1)
    channel = Channel(env, ConstantBandwidth(1e9), latency_s=0.003, per_operation_s=1e-4)
    operations, block = 50, 3e5
    transfer = channel.transfer(operations * block + 1000.0, operation_bytes=block)  # and a small last one
    assert transfer.operations == 51
    seen: list[tuple[int, float]] = []

    def look() -> None:
        seen.append((transfer.operations_done(), transfer.progress_bytes()))

    for k in range(1, 51):
        # By sums, so that every instant is off by some rounding.
        time = 0.1 + 0.003 + sum([1e-4 + block / 1e9] * k)
        at(env, time, look, TRANSFER_DONE)
        at(env, time - 1e-9, look)
    env.run()
    assert [count for count, _ in seen] == [k - before for k in range(1, 51) for before in (1, 0)]
    assert [moved for _, moved in seen[1::2]] == pytest.approx([k * block for k in range(1, 51)], rel=1e-9)
    assert transfer.operations_done() == 51
    assert env.now == pytest.approx(0.1 + 0.003 + 51 * 1e-4 + transfer.bytes / 1e9, rel=1e-12)


def test_a_whole_number_of_operations_stays_whole_under_rounding() -> None:
    channel = Channel(Environment(), ConstantBandwidth(1.0), per_operation_s=1.0)
    assert channel.transfer(0.1 * 3, operation_bytes=0.1).operations == 3
    assert channel.transfer(7.0, operation_bytes=2.0).operations == 4
    assert channel.transfer(1.0, operation_bytes=2.0).operations == 1


def test_progress_in_bytes_and_its_inverse_with_a_partial_operation() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(10.0), per_operation_s=1.0)
    transfer = channel.transfer(25.0, operation_bytes=20.0)  # 30 work for 20 bytes, then 15 work for 5
    log: Log = []
    for time in (1.5, 3.0, 3.75):
        at(env, time, lambda: log.append(("moved", transfer.progress_bytes())))
    assert [transfer.earliest(n) for n in (10.0, 20.0, 22.5, 25.0)] == [1.5, 3.0, 3.75, 4.5]
    env.run()
    assert log == [("moved", 10.0), ("moved", 20.0), ("moved", 22.5)]
    assert env.now == 4.5


def test_no_bytes_are_done_after_the_latency_without_channel_time() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(1.0), latency_s=0.5, per_operation_s=9.0)
    transfer = start(channel, log, "empty", 0.0)
    assert (transfer.progress_bytes(), transfer.operations, transfer.earliest(0.0)) == (0.0, 0, 0.0)
    assert transfer.predicted_end_s() == 0.5
    env.run()
    assert (log, channel.busy_s) == ([("empty", 0.5)], 0.0)
    immediate = Channel(env, ConstantBandwidth(1.0)).transfer(0.0)
    assert not immediate.done
    env.run()
    assert (immediate.done, env.now) == (True, 0.5)


def test_cancel_returns_the_bytes_and_frees_the_channel() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0))
    a = start(channel, log, "a", 100.0)
    b = start(channel, log, "b", 200.0)
    at(env, 1.0, lambda: log.append(("cancel returns", a.cancel())))
    env.run()
    assert log == [("cancel returns", 50.0), ("b", 2.5)]
    assert (a.done, a.cancelled, a.ended_s, a.cancel(), a.progress_bytes()) == (False, True, 1.0, 50.0, 50.0)
    assert (b.cancel(), b.done, b.cancelled) == (200.0, True, False)
    assert (channel.moved_bytes, channel.busy_s, channel.active) == (250.0, 2.5, 0)


def test_cancel_of_the_last_one_leaves_nothing_pending() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=1.0)
    waiting = channel.transfer(100.0)
    assert waiting.cancel() == 0.0
    assert env.peek() == math.inf
    transfer = channel.transfer(100.0)
    env.run(until=1.25)
    assert transfer.cancel() == 25.0
    assert env.peek() == math.inf
    with pytest.raises(CoreError, match="never has"):
        transfer.earliest(26.0)
    assert transfer.earliest(25.0) == 1.25
    env.run()
    assert env.now == 1.25


def test_shorten_ends_earlier_and_speeds_up_the_others() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0), per_operation_s=0.1)
    a = channel.transfer(400.0, operation_bytes=40.0, on_done=lambda t: log.append(("a", env.now)))
    b = channel.transfer(200.0, operation_bytes=200.0, on_done=lambda t: log.append(("b", env.now)))
    at(env, 1.0, lambda: a.shorten(80.0))  # one operation of 50 work is done, one is left
    at(env, 1.5, lambda: log.append(("a has", a.progress_bytes())))
    env.run()
    assert log == [("a has", 60.0), ("a", 2.0), ("b", 3.1)]
    assert (a.bytes, a.operations, a.operations_done(), b.bytes) == (80.0, 2, 2, 200.0)
    assert channel.moved_bytes == 280.0


def test_shorten_to_what_has_arrived_is_done_at_once() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0), per_operation_s=0.1)
    a = channel.transfer(400.0, operation_bytes=40.0, on_done=lambda t: log.append(("a", env.now)))
    at(env, 1.25, lambda: a.shorten(40.0))  # two and a half operations have arrived
    env.run()
    assert log == [("a", 1.25)]
    assert (a.done, a.bytes, a.progress_bytes(), a.operations_done()) == (True, 100.0, 100.0, 2)
    a.shorten(1.0)  # ended: no effect
    assert a.bytes == 100.0


def test_shorten_in_the_latency_and_by_nothing() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=1.0)
    a, b, c = (channel.transfer(100.0, operation_bytes=50.0) for _ in range(3))
    a.shorten(50.0)
    b.shorten(100.0)
    c.shorten(0.0)
    env.run()
    assert [(t.ended_s, t.bytes, t.operations) for t in (a, b, c)] == [
        (2.0, 50.0, 1),
        (2.5, 100.0, 2),
        (1.0, 0.0, 0),
    ]


def test_estimates_from_the_present_state() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=0.5, per_operation_s=0.1)
    assert channel.estimate_s(200.0, 100.0) == channel.estimate_s(200.0, 100.0, idle=True) == 0.5 + 2.2
    a = channel.transfer(200.0, operation_bytes=100.0)
    assert (a.reach_s(100.0), a.reach_s(200.0)) == pytest.approx((1.6, 2.7))
    b = channel.transfer(1000.0)
    env.run(until=1.0)
    assert channel.estimate_s(200.0, 100.0) == pytest.approx(0.5 + 3 * 2.2)
    assert channel.estimate_s(200.0, 100.0, idle=True) == 0.5 + 2.2
    assert a.reach_s(100.0) == pytest.approx(0.5 + 2 * 1.1)
    assert b.reach_s(1000.0) == pytest.approx(0.5 + 2 * 10.1)  # not aware that the other one will have gone
    assert b.predicted_end_s() == pytest.approx(0.5 + 10.1 + 2.2)
    env.run()
    assert b.reach_s(1.0) == b.ended_s


def test_completed_at_the_instant_of_a_step_end_is_seen_by_it_but_not_by_a_plain_event() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(10.0))
    transfer = channel.transfer(7.0)
    end_s = transfer.predicted_end_s()
    for name, priority in (("arrival", ARRIVAL), ("step end", STEP_END), ("plain", 1)):
        at(env, end_s, lambda name=name: log.append((name, transfer.done)), priority)  # type: ignore[misc]
    at(env, end_s, lambda: log.append(("operations", transfer.operations_done())))
    env.run()
    assert log == [("plain", False), ("operations", 1), ("step end", True), ("arrival", True)]


def test_a_newcomer_at_the_instant_of_an_end_delays_nobody() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(7.0))
    a = start(channel, log, "a", 1.3)
    end_s = a.predicted_end_s()
    at(env, 0.05, lambda: None)
    at(env, end_s, lambda: start(channel, log, "b", 1.0))
    at(env, end_s, lambda: start(channel, log, "c", 1.0))
    env.run()
    assert log[0] == ("a", end_s)
    assert [time for _, time in log[1:]] == pytest.approx([end_s + 2 / 7] * 2, rel=1e-14)


def test_on_done_may_use_the_channel() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(10.0))
    twin: list[Transfer] = []

    def chain(transfer: Transfer) -> None:
        log.append(("done", env.now))
        twin[0].cancel()  # ended at this instant too: no effect
        if len(log) < 3:
            channel.transfer(10.0, on_done=chain)

    channel.transfer(10.0, on_done=chain)
    twin.append(start(channel, log, "twin", 10.0))
    env.run()
    assert log == [("done", 2.0), ("twin", 2.0), ("done", 3.0)]
    assert twin[0].done


def test_bandwidth_that_changes() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, TraceBandwidth([0.0, 1.0, 2.0], [100.0, 0.0, 50.0], 4.0))
    a = start(channel, log, "a", 150.0)
    at(env, 0.5, lambda: start(channel, log, "b", 60.0))
    at(env, 1.5, lambda: log.append(("a has", a.progress_bytes())))
    env.run()
    # By 1.0: a 75, b 25. The pause. From 2.0 on 25 each: b ends at 3.4 (a 110), then 30 at 50 until 4.0, 10
    # at 100.
    assert log[0] == ("a has", 75.0)
    assert [time for _, time in log[1:]] == pytest.approx([3.4, 4.1], rel=1e-14)
    assert [name for name, _ in log[1:]] == ["b", "a"]


def test_overhead_under_varying_bandwidth_is_work_at_the_mean() -> None:
    env = Environment()
    trace = TraceBandwidth([0.0, 1.0], [10.0, 30.0], 2.0)
    channel = Channel(env, trace, per_operation_s=0.5)  # 10 bytes' worth at the mean of 20 bytes/s
    transfer = channel.transfer(30.0, operation_bytes=30.0)
    env.run()
    assert transfer.ended_s == 2.0


def test_event_for_processes() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(10.0))

    def waits(name: str, transfer: Transfer) -> ProcessGenerator:
        ended = yield transfer.event
        assert ended is transfer
        log.append((f"{name} {transfer.done}", env.now))

    a, b = channel.transfer(10.0), channel.transfer(30.0)
    assert a.event is a.event
    env.process(waits("a", a))
    env.process(waits("b", b))
    at(env, 3.0, b.cancel)
    at(env, 4.0, lambda: env.process(waits("late", a)))
    env.run()
    assert log == [("a True", 2.0), ("b False", 3.0), ("late True", 4.0)]


def test_predictions() -> None:
    env, log = Environment(), Log()
    channel = Channel(env, ConstantBandwidth(100.0), latency_s=0.0)
    transfers = [start(channel, log, name, n) for name, n in (("a", 50.0), ("b", 100.0), ("c", 150.0))]
    predicted = [transfer.predicted_end_s() for transfer in transfers]
    bounds = [transfer.earliest(transfer.bytes) for transfer in transfers]
    env.run()
    assert predicted == [1.5, 2.5, 3.0]
    assert bounds == [0.5, 1.0, 1.5]
    assert [time for _, time in log] == predicted
    assert [transfer.predicted_end_s() for transfer in transfers] == predicted

    late = Channel(env, ConstantBandwidth(100.0), latency_s=1.0)
    first = late.transfer(50.0)
    second = late.transfer(150.0)
    env.run(until=4.25)
    third = late.transfer(10.0)  # joins at 5.25, when 0.25 s of the second one alone are left
    assert third.predicted_end_s() == pytest.approx(5.45, rel=1e-14)
    assert second.predicted_end_s() == 6.0
    env.run()
    assert [t.ended_s for t in (first, second, third)] == pytest.approx([5.0, 6.1, 5.45], rel=1e-14)


def test_accounting_while_running() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(100.0))
    channel.transfer(100.0)
    channel.transfer(100.0)
    env.run(until=1.0)
    assert (channel.active, channel.busy_s, channel.active_s, channel.moved_bytes) == (2, 1.0, 2.0, 100.0)
    env.run(until=10.0)
    assert (channel.active, channel.busy_s, channel.active_s, channel.moved_bytes) == (0, 2.0, 4.0, 200.0)


def test_one_pending_call_however_many_transfers() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(1.0))
    for _ in range(1000):
        channel.transfer(1.0)
    assert len(env._queue) == 1


def test_looking_changes_nothing() -> None:
    def run(look: bool) -> list[float | None]:
        env = Environment()
        channel = Channel(env, TraceBandwidth([0.0, 0.3], [1.1, 2.3], 0.7), per_operation_s=0.01)
        transfers = []
        for k in range(40):
            n_bytes = 0.1 + k % 7 / 9
            at(env, k * 0.17, lambda n=n_bytes: transfers.append(channel.transfer(n, 0.1)))  # type: ignore[misc]
        if look:
            for k in range(500):
                at(env, k * 0.0217, lambda: [(t.progress_bytes(), t.predicted_end_s()) for t in transfers])
                at(env, k * 0.0217, lambda: [(t.operations_done(), t.earliest(t.bytes)) for t in transfers])
                at(env, k * 0.0217, lambda: (channel.moved_bytes, channel.busy_s, channel.predicted_rate()))
        env.run()
        return [transfer.ended_s for transfer in transfers]

    assert run(look=True) == run(look=False)


def test_a_channel_that_never_empties_does_not_drift() -> None:
    env = Environment()
    channel = Channel(env, ConstantBandwidth(1e10))
    endless = channel.transfer(1e300)
    ends: list[float] = []
    transfers: list[Transfer] = []

    def next_one(_: Transfer | None = None) -> None:
        if len(transfers) < 5000:
            ends.append(env.now + 2e5 / 1e10)
            transfers.append(channel.transfer(1e5, on_done=next_one))

    env.call_at(1e4, next_one)
    env.run(until=2e4)
    late = [abs((transfer.ended_s or 0.0) - end) for transfer, end in zip(transfers, ends, strict=True)]
    assert len(late) == 5000
    assert max(late) <= 4 * math.ulp(1e4)
    assert not endless.done


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_bytes": -1.0}, "cannot transfer -1.0 bytes"),
        ({"n_bytes": math.inf}, "cannot transfer inf"),
        ({"n_bytes": math.nan}, "cannot transfer nan"),
        ({"n_bytes": 1.0, "weight": 0.0}, "weight"),
        ({"n_bytes": 1.0, "weight": math.inf}, "weight"),
        ({"n_bytes": 1.0, "operation_bytes": 0.0}, "operations of 0.0 bytes"),
    ],
)
def test_transfers_that_make_no_sense_are_refused(kwargs: dict[str, float], message: str) -> None:
    with pytest.raises(CoreError, match=f"'disk'.*{message}"):
        Channel(Environment(), ConstantBandwidth(1.0), name="disk").transfer(**kwargs)


@pytest.mark.parametrize(
    "kwargs", [{"latency_s": -1.0}, {"per_operation_s": math.nan}, {"latency_s": math.inf}]
)
def test_channels_that_make_no_sense_are_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(CoreError, match=next(iter(kwargs))):
        Channel(Environment(), ConstantBandwidth(1.0), **kwargs)  # type: ignore[arg-type]


def test_more_bytes_than_there_are_never_arrive() -> None:
    with pytest.raises(CoreError, match="never has 11"):
        Channel(Environment(), ConstantBandwidth(1.0)).transfer(10.0).earliest(11.0)
