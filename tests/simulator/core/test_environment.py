"""The clock: exact times, the order of ties, cancellation, and SimPy's behaviour unchanged."""

import math
from collections.abc import Callable

import pytest
import simpy
from simpy.core import EmptySchedule

from simulator.core import (
    ARRIVAL,
    NORMAL,
    STEP_END,
    STEP_START,
    TRANSFER_DONE,
    URGENT,
    CoreError,
    Environment,
)


def record(env: Environment, log: list[tuple[str, float]], name: str) -> Callable[[], None]:
    return lambda: log.append((name, env.now))


def test_call_at_keeps_the_time_bit_for_bit() -> None:
    now = 0.7
    times = [k / 10 for k in range(8, 100)]
    assert [now + (time - now) for time in times] != times  # so a timeout would miss some of them
    env = Environment(now)
    log: list[tuple[str, float]] = []
    for time in times:
        env.call_at(time, record(env, log, "call"))
    env.run()
    assert log == [("call", time) for time in times]


def test_order_of_ties_is_priority_then_sequence() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    for name, priority in [
        ("start", STEP_START),
        ("arrival 1", ARRIVAL),
        ("arrival 2", ARRIVAL),
        ("end", STEP_END),
        ("done", TRANSFER_DONE),
        ("normal", NORMAL),
        ("urgent", URGENT),
    ]:
        env.call_at(2.0, record(env, log, name), priority)
    env.call_at(1.0, record(env, log, "first"), STEP_START)
    env.run()
    names = ["urgent", "normal", "done", "end", "arrival 1", "arrival 2", "start"]
    assert log == [("first", 1.0)] + [(name, 2.0) for name in names]


def test_what_a_phase_triggers_runs_before_the_next_phase() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    event = env.event()

    def waits() -> simpy.events.ProcessGenerator:
        yield event
        log.append(("process", env.now))

    env.process(waits())
    env.call_at(1.0, record(env, log, "step end"), STEP_END)
    env.call_at(1.0, lambda: event.succeed() and None, TRANSFER_DONE)
    env.run()
    assert log == [("process", 1.0), ("step end", 1.0)]


def test_cancelled_call_is_never_made_and_does_not_move_the_clock() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    keep = env.call_at(1.0, record(env, log, "keep"))
    drop = env.call_at(5.0, record(env, log, "drop"))
    assert drop.pending
    drop.cancel()
    assert not drop.pending
    env.run()
    assert log == [("keep", 1.0)]
    assert env.now == 1.0
    assert not keep.pending
    keep.cancel()  # after the fact: no effect


def test_call_can_cancel_another_of_the_same_instant() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    first = env.call_at(2.0, record(env, log, "first"))
    second = env.call_at(2.0, record(env, log, "second"))
    env.call_at(2.0, first.cancel, URGENT)
    env.call_at(2.0, second.cancel, URGENT)
    env.run()
    assert log == []


@pytest.mark.parametrize("time_s", [0.5, -1.0, math.inf, math.nan])
def test_times_that_make_no_sense_are_refused(time_s: float) -> None:
    env = Environment(1.0)
    with pytest.raises(CoreError, match="the clock stands at 1"):
        env.call_at(time_s, lambda: None)
    assert env.peek() == math.inf


def test_peek_and_step_skip_cancelled_calls() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    env.call_at(1.0, record(env, log, "a")).cancel()
    env.call_at(2.0, record(env, log, "b"))
    env.timeout(3.0)
    assert env.peek() == 2.0
    env.step()
    assert (env.now, log) == (2.0, [("b", 2.0)])
    env.call_at(2.5, record(env, log, "c")).cancel()
    env.step()
    assert env.now == 3.0
    assert env.peek() == math.inf
    with pytest.raises(EmptySchedule):
        env.step()


def test_run_until_a_time_leaves_out_what_happens_then_and_goes_on() -> None:
    env = Environment()
    log: list[tuple[str, float]] = []
    for time in (0.1, 0.3, 0.7):
        env.call_at(time, record(env, log, "call"))
    env.run(until=0.1)
    assert env.now == 0.1
    env.run(until=0.3)
    assert env.now == 0.3
    assert log == [("call", 0.1)]
    env.run()
    assert log == [("call", 0.1), ("call", 0.3), ("call", 0.7)]
    env.run(until=2)
    assert env.now == 2.0
    with pytest.raises(ValueError, match="greater than the current"):
        env.run(until=2.0)


def test_run_until_an_event_returns_its_value_and_keeps_later_callbacks() -> None:
    env = Environment()
    event = env.event()
    seen: list[str] = []
    assert event.callbacks is not None
    event.callbacks.append(lambda _: seen.append("before"))
    env.call_at(1.0, lambda: event.succeed("value") and None)

    def add_another() -> None:
        assert event.callbacks is not None
        event.callbacks.append(lambda _: seen.append("after"))

    env.call_at(1.0, add_another)
    assert env.run(until=event) == "value"
    assert seen == ["before"]
    env.run()
    assert seen == ["before", "after"]
    assert env.run(until=event) == "value"


def test_run_until_an_event_that_never_comes() -> None:
    env = Environment()
    env.call_at(1.0, lambda: None).cancel()
    with pytest.raises(RuntimeError, match="No scheduled events left"):
        env.run(until=env.event())


def test_failures_end_the_run() -> None:
    def fails(env: Environment) -> simpy.events.ProcessGenerator:
        yield env.timeout(1)
        raise KeyError("lost")

    env = Environment()
    env.process(fails(env))
    with pytest.raises(KeyError, match="lost"):
        env.run()

    def handles(env: Environment) -> simpy.events.ProcessGenerator:
        try:
            yield env.process(fails(env))
        except KeyError:
            return "handled"

    env = Environment()
    assert env.run(until=env.process(handles(env))) == "handled"

    def broken() -> None:
        raise KeyError("call")

    env = Environment()
    env.call_at(1.0, broken)
    env.call_at(2.0, lambda: None)
    with pytest.raises(KeyError, match="call"):
        env.run()
    env.run()
    assert env.now == 2.0


def test_events_are_counted_with_those_that_were_cancelled() -> None:
    env = Environment()
    env.call_at(1.0, lambda: None)
    env.call_at(2.0, lambda: None).cancel()
    env.timeout(3.0)
    env.run()
    assert env.count_events() == 3


def workshop(env: simpy.Environment) -> list[tuple[str, float]]:
    """Processes, a resource, a store, an interrupt and conditions, as SimPy code writes them."""
    log: list[tuple[str, float]] = []
    resource = simpy.Resource(env, capacity=1)
    store: simpy.Store = simpy.Store(env, capacity=2)

    def worker(name: str, delay: float) -> simpy.events.ProcessGenerator:
        for _ in range(3):
            with resource.request() as request:
                yield request
                log.append((f"{name} works", env.now))
                yield env.timeout(delay)
            yield store.put(name)

    def collector() -> simpy.events.ProcessGenerator:
        while True:
            try:
                item = yield store.get()
                log.append((f"got {item}", env.now))
                yield env.timeout(0.3) & env.timeout(0.1)
            except simpy.Interrupt as interrupt:
                log.append((f"interrupted by {interrupt.cause}", env.now))

    def boss(process: simpy.Process) -> simpy.events.ProcessGenerator:
        yield env.timeout(1.05) | env.timeout(9)
        process.interrupt("boss")

    env.process(worker("a", 0.5))
    env.process(worker("b", 0.25))
    env.process(boss(env.process(collector())))
    env.run(until=50)
    return log


def test_simpy_code_runs_as_under_simpy() -> None:
    ours, theirs = workshop(Environment()), workshop(simpy.Environment())
    assert ours == theirs
    assert len(ours) > 10
    stepped = Environment()
    stepped.process(iter_timeouts(stepped))
    while stepped.peek() < 3:
        stepped.step()
    assert stepped.now == 2


def iter_timeouts(env: Environment) -> simpy.events.ProcessGenerator:
    for _ in range(5):
        yield env.timeout(1)
