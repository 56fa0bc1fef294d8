"""Repeats, budgets and failures, with a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from calibration.bench.clocks import COLD_BYTES, MOST_COPIES, SHORTEST_S, copies, latency_trial
from calibration.bench.harness import (
    BENCHES,
    Bench,
    Options,
    Parameters,
    Plan,
    Point,
    Prepare,
    describe,
    load_benches,
    repeat,
    run,
)
from calibration.bench.power import counter_watts
from devices.errors import InputError


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def __call__(self) -> float:
        return self.time_s


@dataclass
class Fake:
    """A benchmark whose trials take given times and return their number."""

    clock: Clock
    trial_s: list[float]
    REQUIRES: tuple[str, ...] = ()
    calls: int = 0
    opened: list[str] = field(default_factory=list)

    def grid(self, options: Options, /) -> list[tuple[str, Parameters]]:
        return [("fake", {"size": size}) for size in range(len(self.trial_s))]

    @contextmanager
    def session(self, options: Options, /) -> Iterator[Prepare]:
        self.opened.append("open")

        def prepare(name: str, parameters: Parameters) -> Point:
            seconds = self.trial_s[int(parameters["size"])]
            if seconds < 0:
                raise RuntimeError("out of memory\nand more")

            def trial() -> float:
                self.clock.time_s += seconds
                self.calls += 1
                return float(self.calls)

            return Point("latency", "s", trial, power=True)

        yield prepare
        self.opened.append("closed")


def counted(clock: Clock, trial_s: float, plan: Plan) -> tuple[list[float], int]:
    calls = []

    def trial() -> float:
        clock.time_s += trial_s
        calls.append(clock.time_s)
        return float(len(calls))

    return repeat(trial, plan, clock), len(calls)


def test_warm_ups_do_not_count_and_all_repeats_are_kept_in_order() -> None:
    values, calls = counted(Clock(), 0.001, Plan(warmups=2, repeats=5))
    assert values == [3, 4, 5, 6, 7]
    assert calls == 7


def test_a_point_stops_at_its_budget_but_not_before_the_least_number_of_trials() -> None:
    assert counted(Clock(), 1.0, Plan(warmups=1, repeats=15, least=3, point_s=6.0))[0] == [2, 3, 4, 5, 6]
    assert counted(Clock(), 10.0, Plan(warmups=2, repeats=15, least=3, point_s=6.0))[0] == [2, 3, 4]


def test_rows_carry_median_spread_and_raw_repeats() -> None:
    clock = Clock()
    outcome = run([Fake(clock, [0.1])], Options(), Plan(1, 3), device="here", source="test", now=clock)
    (row,) = outcome.rows
    assert (row.bench, row.device, row.metric, row.unit, row.source) == (
        "fake",
        "here",
        "latency",
        "s",
        "test",
    )
    assert row.repeats == (2, 3, 4)
    assert (row.value, row.spread) == (3, 0.5)


def test_a_point_that_fails_does_not_cost_the_others() -> None:
    clock = Clock()
    fake = Fake(clock, [0.1, -1, 0.1])
    outcome = run([fake], Options(), Plan(), device="here", source="test", now=clock)
    assert [row.parameters["size"] for row in outcome.rows] == [0, 2]
    assert outcome.failed == ["fake size=1: out of memory"]
    assert fake.opened == ["open", "closed"]


def test_the_time_limit_leaves_points_out_and_counts_them() -> None:
    clock = Clock()
    plan = Plan(warmups=0, repeats=1, least=1, limit_s=15)
    outcome = run([Fake(clock, [10.0] * 5)], Options(), plan, device="here", source="test", now=clock)
    assert (len(outcome.rows), outcome.left_out) == (2, 3)


def test_power_is_one_more_row_of_the_same_point() -> None:
    clock = Clock()
    plan = Plan(repeats=3, power_s=2)
    outcome = run(
        [Fake(clock, [0.1])],
        Options(),
        plan,
        device="here",
        source="test",
        watts=lambda trial, seconds: 100 * seconds,
        now=clock,
    )
    latency, power = outcome.rows
    assert (power.metric, power.unit, power.value) == ("power", "W", 200)
    assert power.parameters == latency.parameters


def test_mean_power_is_energy_over_time_after_settling() -> None:
    clock = Clock()

    def trial() -> float:
        clock.time_s += 0.25
        return 0.25

    # 50 W while it settles, 300 W from then on
    watts = counter_watts(lambda: 50 * clock.time_s + 250 * max(0.0, clock.time_s - 1), clock)
    assert watts(trial, 4.0) == pytest.approx(300)


def test_progress_sees_every_point_and_the_end() -> None:
    clock, seen = Clock(), []
    run(
        [Fake(clock, [0.1, 0.1])],
        Options(),
        Plan(),
        device="here",
        source="test",
        now=clock,
        progress=lambda number, total, text: seen.append((number, total, text)),
    )
    assert seen == [(0, 2, "fake size=0"), (1, 2, "fake size=1"), (2, 2, "")]


def test_short_work_is_called_until_a_trial_is_long_enough_to_time() -> None:
    clock, seen = Clock(), []

    def work(call: int) -> None:
        clock.time_s += SHORTEST_S / 100
        seen.append(call)

    trial = latency_trial(work, "cpu", now=clock)
    before = len(seen)
    assert trial() == pytest.approx(SHORTEST_S / 100)
    assert (len(seen) - before) * SHORTEST_S / 100 == pytest.approx(SHORTEST_S, rel=0.02)
    trial()
    assert seen == list(range(len(seen)))  # buffers are gone round, never met again early


def test_buffers_together_exceed_caches() -> None:
    assert copies(COLD_BYTES * 2) == 1
    assert copies(COLD_BYTES / 4) == 4
    assert copies(1) == MOST_COPIES


def test_all_means_every_benchmark_once() -> None:
    pytest.importorskip("torch", reason="extra `calibrate` is not installed")
    assert len(load_benches(["all", "gemm"])) == len(BENCHES)


def test_an_unknown_benchmark_names_the_nearest() -> None:
    with pytest.raises(InputError, match="gemm"):
        load_benches(["gem"])


def test_points_read_as_one_line() -> None:
    assert (
        describe("copy", {"direction": "h2d", "block_bytes": 4096}) == "copy direction=h2d block_bytes=4096"
    )


@pytest.mark.parametrize("name", ["copy", "storage", "network"])
def test_grids_need_no_torch_and_repeat_no_point(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (bench,) = load_benches([name])
    assert_distinct(bench)


def assert_distinct(bench: Bench) -> None:
    for quick in (True, False):
        points = [describe(*point) for point in bench.grid(Options(quick=quick))]
        assert points
        assert len(set(points)) == len(points)
