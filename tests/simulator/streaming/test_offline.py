"""The offline optimum, against every level sequence there is and against every rule."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest

from devices.errors import InputError
from simulator.policies.abr import Abr, AbrSession, AbrView, Choice, Ladder
from simulator.policies.abr.fixed import Fixed
from simulator.policies.registry import policies
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.offline import offline_optimum
from simulator.streaming.offline_search import Clock, Latency, ToGo
from simulator.streaming.player import PENSIEVE, Player
from simulator.streaming.qoe import ENVIVIO_LADDER_BPS, PlayedSession, figure
from simulator.streaming.video import Video


@dataclass(frozen=True)
class Script:
    """A rule that requests given levels, after given waits."""

    levels: tuple[int, ...]
    waits_s: tuple[float, ...] = ()

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        levels, waits_s = self.levels, self.waits_s or (0.0,) * len(self.levels)

        class Scripted(AbrSession):
            def choose(self, view: AbrView) -> Choice:
                return Choice(levels[view.segment], waits_s[view.segment])

        return Scripted()


def value(
    name: str, video: Video, trace: NetworkTrace, rule: Abr, player: Player, start_s: float = 0.0
) -> float:
    result = figure(name).of(PlayedSession.of(player.play(video, trace, rule, start_s)))
    assert result is not None
    return result.session


def best_of_all(name: str, video: Video, trace: NetworkTrace, player: Player, start_s: float) -> float:
    plans = product(range(video.levels), repeat=video.segments)
    return max(value(name, video, trace, Script(plan), player, start_s) for plan in plans)


def a_trace(draw: random.Random, periods: int) -> NetworkTrace:
    """Outages included, latencies of 0 beside others."""
    bandwidths = [draw.choice([0.0, draw.uniform(0.1e6, 6e6)]) for _ in range(periods)]
    bandwidths[draw.randrange(periods)] = draw.uniform(0.1e6, 6e6)
    return NetworkTrace(
        "random",
        tuple(draw.uniform(0.3, 5.0) for _ in range(periods)),
        tuple(bandwidths),
        tuple(draw.choice([0.0, 0.05, 0.5]) for _ in range(periods)),
    )


def a_video(draw: random.Random, segments: int, rates: tuple[float, ...]) -> Video:
    segment_s = draw.choice([1.0, 2.0, 4.0])
    factors = [draw.uniform(0.5, 1.6) for _ in range(segments)]
    sizes = tuple(
        tuple(rate * segment_s * factor * draw.uniform(0.8, 1.2) for rate in rates) for factor in factors
    )
    return Video("random", segment_s, rates, sizes)


def a_player(draw: random.Random, segment_s: float) -> Player:
    return Player(
        max_buffer_s=segment_s * draw.choice([1.0, 1.5, 2.5, 6.0]),
        room_for_next=draw.random() < 0.5,
        rtt_s=draw.choice([None, None, 0.08]),
        payload_share=draw.choice([1.0, 0.95]),
        first_level=draw.choice([None, None, 1]),
        startup_is_rebuffering=draw.random() < 0.3,
    )


@pytest.mark.parametrize("seed", range(60))
def test_it_is_the_best_of_all_level_sequences(seed: int) -> None:
    draw = random.Random(seed)
    rates = tuple(sorted(draw.uniform(0.2e6, 4e6) for _ in range(draw.choice([2, 3]))))
    video, trace = a_video(draw, draw.choice([5, 6]), rates), a_trace(draw, draw.randint(1, 10))
    player = a_player(draw, video.segment_s)
    name, start_s = draw.choice(["linear", "log", "yin", "oasis"]), draw.choice([0.0, 3.3])
    optimum = offline_optimum(video, trace, name, player, start_s=start_s, tolerance=1e-6)
    best = best_of_all(name, video, trace, player, start_s)
    unit = 1e3 if name == "yin" else 1.0
    assert optimum.value == pytest.approx(best, abs=1e-6 * unit)
    assert best - 1e-9 * unit <= optimum.upper_bound <= best + 1e-4 * unit
    assert optimum.gap == optimum.upper_bound - optimum.value
    assert optimum.value == pytest.approx(
        value(name, video, trace, Script(optimum.session.levels), player, start_s)
    )


@pytest.mark.parametrize("name", ["hd", "vmaf"])
def test_figures_in_which_rises_and_falls_differ(name: str) -> None:
    draw = random.Random(name)
    for _ in range(2):
        video, trace = a_video(draw, 4, ENVIVIO_LADDER_BPS), a_trace(draw, 6)
        player = a_player(draw, video.segment_s)
        optimum = offline_optimum(video, trace, name, player, tolerance=1e-6)
        assert optimum.value == pytest.approx(best_of_all(name, video, trace, player, 0.0))
        assert optimum.upper_bound == pytest.approx(optimum.value, abs=1e-3)


def test_by_hand() -> None:
    # 1 s segments of 1 or 2 Mbit over 1.5 Mbit/s. Two high ones are on time after three low ones, which gain 1/3 s
    # each but the first, whose time is start-up: 7 less one change. A third high one would stall for 2/3 s.
    video = Video("cbr", 1.0, (1e6, 2e6), ((1e6, 2e6),) * 5)
    trace = NetworkTrace("steady", (1e4,), (1.5e6,))
    optimum = offline_optimum(video, trace, tolerance=1e-6)
    assert optimum.session.levels == (0, 0, 0, 1, 1)
    assert optimum.value == pytest.approx(6.0)
    assert value("linear", video, trace, Script((0, 0, 1, 1, 1)), Player()) == pytest.approx(
        7.0 - 4.3 * 2 / 3
    )
    assert value("linear", video, trace, Fixed(1), Player()) == pytest.approx(10.0 - 4.3 * 4 / 3)
    ample = NetworkTrace("steady", (1e4,), (2e6,))
    assert offline_optimum(video, ample).value == pytest.approx(10.0)
    assert offline_optimum(video, ample).session.levels == (1,) * 5


@pytest.mark.parametrize("seed", range(12))
def test_no_rule_does_better(seed: int) -> None:
    draw = random.Random(1000 + seed)
    rates = tuple(sorted(draw.uniform(0.2e6, 5e6) for _ in range(draw.randint(2, 6))))
    name = draw.choice(["linear", "log", "yin"])
    if draw.random() < 0.4:
        name, rates = draw.choice(["hd", "vmaf", "linear"]), ENVIVIO_LADDER_BPS
    video, trace = a_video(draw, draw.randint(8, 40), rates), a_trace(draw, draw.randint(1, 40))
    player = draw.choice([Player(), Player(max_buffer_s=12.0), PENSIEVE, a_player(draw, video.segment_s)])
    optimum = offline_optimum(video, trace, name, player, most_labels=20_000)
    assert optimum.value <= optimum.upper_bound
    for rule in [
        *(cls() for cls in policies("abr").values()),
        *(Fixed(level) for level in range(len(rates))),
    ]:
        reached = value(name, video, trace, rule, player)
        assert reached <= optimum.upper_bound + 1e-9 * abs(reached), rule


def test_nor_one_that_waits_before_requests() -> None:
    draw = random.Random(5)
    for seed in range(20):
        video, trace = a_video(draw, 6, (0.5e6, 2e6)), a_trace(draw, 8)
        player = replace(a_player(draw, video.segment_s), startup_is_rebuffering=seed % 2 == 0)
        bound = offline_optimum(video, trace, "linear", player, tolerance=1e-6).upper_bound
        for _ in range(40):
            waits_s = [draw.choice([0.0, 0.0, draw.uniform(0.0, 4.0)]) for _ in range(6)]
            if not player.startup_is_rebuffering:
                waits_s[0] = 0.0
            plan = Script(tuple(draw.choices(range(2), k=6)), tuple(waits_s))
            assert value("linear", video, trace, plan, player) <= bound + 1e-9


def test_but_a_free_start_up_may_wait_for_a_better_network() -> None:
    """The one exception, which the module states."""
    video = Video("cbr", 1.0, (1e6,), ((1e6,),) * 5)
    trace = NetworkTrace("outage", (2.0, 20.0, 100.0), (1e6, 0.0, 5e6))
    optimum = offline_optimum(video, trace)
    assert optimum.value == pytest.approx(5.0 - 4.3 * 19.2)
    patient = Script((0,) * 5, (22.0, 0.0, 0.0, 0.0, 0.0))
    assert value("linear", video, trace, patient, Player()) == pytest.approx(5.0)
    counted = Player(startup_is_rebuffering=True)
    assert (
        value("linear", video, trace, patient, counted) <= offline_optimum(video, trace, player=counted).value
    )


def test_a_player_that_sleeps_in_steps_is_bounded_by_one_that_does_not() -> None:
    draw = random.Random(9)
    for _ in range(8):
        video, trace = a_video(draw, 6, (0.5e6, 2e6)), a_trace(draw, 6)
        sleeper = replace(a_player(draw, video.segment_s), sleep_s=0.5)
        optimum = offline_optimum(video, trace, "linear", sleeper, tolerance=1e-6)
        awake = best_of_all("linear", video, trace, replace(sleeper, sleep_s=0.0), 0.0)
        assert best_of_all("linear", video, trace, sleeper, 0.0) <= optimum.upper_bound + 1e-9
        assert optimum.upper_bound == pytest.approx(max(awake, optimum.value), abs=1e-4)


def test_work_that_is_cut_short_leaves_a_bound() -> None:
    draw = random.Random(2)
    video, trace = a_video(draw, 30, (0.3e6, 1e6, 3e6)), a_trace(draw, 20)
    full, cut = (offline_optimum(video, trace, most_labels=most) for most in (300_000, 1))
    assert full.value <= full.upper_bound <= cut.upper_bound + 1e-9
    assert cut.value <= full.upper_bound
    assert full.gap <= 1e-3 * 30 * 3.0


def test_what_has_no_optimum_is_refused() -> None:
    video = Video("cbr", 1.0, (1e6,), ((1e6,),))
    trace = NetworkTrace("steady", (1.0,), (1e6,))
    with pytest.raises(InputError, match="nearest: linear"):
        offline_optimum(video, trace, "linea")
    for name in ("hd", "vmaf", "ssim"):
        with pytest.raises(InputError, match="not known for the ladder of cbr"):
            offline_optimum(video, trace, name)


def test_a_clock_is_the_integral_and_its_inverse() -> None:
    clock = Clock((2.0, 1.0, 3.0), (1.0, 0.0, 2.0))  # 8 in 6 s
    times_s = np.array([0.0, 1.5, 2.0, 2.7, 3.0, 4.0, 6.0, 7.0, 14.5])
    np.testing.assert_allclose(clock.at(times_s), [0.0, 1.5, 2.0, 2.0, 2.0, 4.0, 8.0, 9.0, 18.0])
    np.testing.assert_allclose(clock.reaches(np.array([1.5, 2.0, 4.0, 8.0, 9.0])), [1.5, 2.0, 4.0, 6.0, 7.0])


def test_latency_is_that_of_the_trace() -> None:
    draw = random.Random(4)
    for _ in range(40):
        periods = draw.randint(1, 8)
        latencies_s = [draw.choice([0.0, 0.0, 0.02, 0.4, 3.0]) for _ in range(periods)]
        durations_s = [draw.uniform(0.1, 5.0) * draw.choice([1.0, 1e3]) for _ in range(periods)]
        trace = NetworkTrace("t", tuple(durations_s), (1e6,) * periods, tuple(latencies_s))
        times_s = [draw.uniform(0.0, 3.0 * trace.duration_s) for _ in range(50)]
        found = Latency(durations_s, latencies_s).passed(np.array(times_s))
        np.testing.assert_allclose(found, [trace.first_byte_s(time_s) for time_s in times_s], rtol=1e-9)


@pytest.mark.parametrize("without_s", [100.0, 1e3, 1e4])
def test_hours_without_latency_hide_none_of_what_follows(without_s: float) -> None:
    video = Video("cbr", 1.0, (1e6, 2e6), ((1e6, 2e6),) * 5)
    for latency_s in (0.3, 0.7, 1.1):
        trace = NetworkTrace("t", (without_s, 100.0), (5e6, 1e6), (0.0, latency_s))
        player = Player(max_buffer_s=4.0)
        optimum = offline_optimum(video, trace, player=player, start_s=without_s + 0.01, tolerance=1e-6)
        best = best_of_all("linear", video, trace, player, without_s + 0.01)
        assert optimum.value == pytest.approx(best)
        assert optimum.upper_bound == pytest.approx(best, abs=1e-4)


def test_what_bits_buy_is_the_fractional_knapsack() -> None:
    draw = random.Random(6)
    for _ in range(20):
        qualities = np.sort([draw.uniform(0.1, 5.0) for _ in range(3)])
        sizes = np.sort([[draw.uniform(0.1, 9.0) for _ in range(3)] for _ in range(4)], axis=1)
        to_go = ToGo(qualities, sizes)
        for segment in range(4):
            plans = list(product(range(3), repeat=4 - segment))
            rows = np.arange(segment, 4)
            for plan in plans:  # no plan is worth more than its bits can buy
                bits = sizes[rows, plan].sum()
                assert qualities[list(plan)].sum() <= to_go.quality(np.array([bits]), segment)[0] + 1e-9
            assert to_go.most(segment) == pytest.approx(qualities[-1] * (4 - segment))
            least = sizes[rows, 0].sum()
            assert to_go.quality(np.array([least * 0.9]), segment)[0] == -np.inf
            assert to_go.quality(np.array([least]), segment)[0] == pytest.approx(qualities[0] * (4 - segment))
