"""Jobs one after the other, at a speed that may change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core import Environment, WorkQueue

Log = list[tuple[str, float]]


def noting(log: Log, env: Environment, name: str) -> Callable[[], None]:
    return lambda: log.append((name, env.now))


def test_one_job_at_a_time_first_come_first_served() -> None:
    env = Environment()
    queue, done = WorkQueue(env), []  # type: tuple[WorkQueue, Log]
    jobs = [
        queue.run(work_s, 10.0, noting(done, env, name))
        for name, work_s in (("a", 2.0), ("b", 1.0), ("c", 4.0), ("d", 1.0))
    ]
    env.call_at(2.5, jobs[1].cancel)  # under way
    env.call_at(2.5, jobs[2].cancel)  # it has just begun
    env.run()
    assert done == [("a", 2.0), ("d", 3.5)]
    assert (queue.used_s, queue.work_j) == (3.5, 35.0)
    jobs[0].cancel()
    assert queue.used_s == 3.5 and not queue.busy


def test_a_job_goes_at_the_share_of_the_moment() -> None:
    env = Environment()
    queue, done = WorkQueue(env), []  # type: tuple[WorkQueue, Log]
    queue.run(4.0, 100.0, noting(done, env, "a"))
    queue.run(1.0, 50.0, noting(done, env, "b"))
    for time_s, speed in ((1.0, 0.5), (3.0, 0.0), (10.0, 1.0)):
        env.call_at(time_s, lambda speed=speed: queue.set_share(speed))  # type: ignore[misc]
    seen: list[tuple[float, float]] = []
    for time_s in (2.0, 5.0, 10.5):
        env.call_at(time_s, lambda: seen.append((queue.used_s, queue.work_j)))
    env.run()
    assert done == [("a", 12.0), ("b", 13.0)]
    assert seen == [(1.5, 150.0), (2.0, 200.0), (2.5, 250.0)]
    assert (queue.used_s, queue.work_j) == (5.0, 450.0)


def test_turns_are_told_once_all_of_an_instant_is_known() -> None:
    env = Environment()
    queue = WorkQueue(env)
    turns: list[tuple[bool, float]] = []
    queue.on_turn = lambda busy: turns.append((busy, env.now))
    queue.run(1.0, 0.0, lambda: queue.run(2.0, 0.0, lambda: None) and None)  # the next follows at once
    env.run()
    assert turns == [(True, 0.0), (False, 3.0)]


@given(
    works=st.lists(st.floats(1e-3, 10.0), min_size=1, max_size=6),
    changes=st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 1.0)), max_size=8),
)
def test_work_is_conserved(works: list[float], changes: list[tuple[float, float]]) -> None:
    env = Environment()
    queue, done = WorkQueue(env), []  # type: tuple[WorkQueue, Log]
    for number, work_s in enumerate(works):
        queue.run(work_s, 2.0, noting(done, env, str(number)))
    for time_s, speed in changes:
        env.call_at(time_s, lambda speed=speed: queue.set_share(speed))  # type: ignore[misc]
    env.call_at(50.0, lambda: queue.set_share(1.0))
    env.run()
    assert [name for name, _ in done] == [str(number) for number in range(len(works))]
    assert queue.used_s == pytest.approx(sum(works))
    assert queue.work_j == pytest.approx(2.0 * sum(works))
    assert queue.used_s <= env.now * (1.0 + 1e-12)
