"""The abandoned get: SimPy's trap, and the helper that avoids it."""

from collections.abc import Callable
from typing import Any

import pytest
import simpy
from simpy.events import ProcessGenerator

from simulator.core import CoreError, Environment, with_timeout

Wait = Callable[[Environment, simpy.Store], ProcessGenerator]


def bare(env: Environment, store: simpy.Store) -> ProcessGenerator:
    get = store.get()
    yield get | env.timeout(1.0)
    return get.value if get.triggered else None


def helped(env: Environment, store: simpy.Store) -> ProcessGenerator:
    return (yield from with_timeout(env, store.get(), 1.0))


def second_get_after_a_timeout(wait: Wait) -> list[tuple[Any, float]]:
    env = Environment()
    store: simpy.Store = simpy.Store(env)
    log: list[tuple[Any, float]] = []

    def consumer() -> ProcessGenerator:
        first = yield from wait(env, store)
        log.append((first, env.now))
        second = yield store.get()
        log.append((second, env.now))

    def producer() -> ProcessGenerator:
        for item in ("x", "y"):
            yield env.timeout(2.0)
            yield store.put(item)

    env.process(consumer())
    env.process(producer())
    env.run()
    return log


def test_the_trap_is_there_and_the_helper_avoids_it() -> None:
    assert second_get_after_a_timeout(bare) == [(None, 1.0), ("y", 4.0)]  # "x" went to nobody
    assert second_get_after_a_timeout(helped) == [(None, 1.0), ("x", 2.0)]


@pytest.mark.parametrize(
    ("arrives_s", "expected"), [(0.5, ("item", 0.5)), (1.0, ("item", 1.0)), (1.5, ("none", 1.0))]
)
def test_value_or_default(arrives_s: float, expected: tuple[str, float]) -> None:
    env = Environment()
    store: simpy.Store = simpy.Store(env)
    env.call_at(arrives_s, lambda: store.put("item") and None, priority=0)

    def consumer() -> ProcessGenerator:
        item = yield from with_timeout(env, store.get(), 1.0, default="none")
        return item, env.now

    assert env.run(until=env.process(consumer())) == expected


def test_interrupted_wait_withdraws_the_request() -> None:
    env = Environment()
    store: simpy.Store = simpy.Store(env)

    def consumer() -> ProcessGenerator:
        yield from with_timeout(env, store.get(), 10.0)

    process = env.process(consumer())
    env.call_at(1.0, lambda: process.interrupt("stop"))
    with pytest.raises(simpy.Interrupt):
        env.run()
    assert store.get_queue == []


def test_negative_limit_is_refused_and_leaves_nothing_behind() -> None:
    env = Environment()
    store: simpy.Store = simpy.Store(env)
    with pytest.raises(CoreError, match="at least 0 s"):
        next(with_timeout(env, store.get(), -1.0))
    assert store.get_queue == []
