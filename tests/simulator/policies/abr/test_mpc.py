"""MPC and RobustMPC against brute force over all plans, as Pensieve's test bed does it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from simulator.policies.abr import AbrSession, AbrView, Download
from simulator.policies.abr.mpc import Mpc, best_first_level
from simulator.policies.abr.robust_mpc import RobustMpc
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import PENSIEVE
from simulator.streaming.video import Video


def brute(
    download_s: Sequence[Sequence[float]],
    qualities: Sequence[float],
    last_level: int | None,
    buffer_s: float,
    segment_s: float,
    stall_per_s: float = 4.3,
    change: float = 1.0,
) -> int:
    """The first level of the best plan, the highest of equals: Pensieve's loop over all of them."""
    best, best_value = -1, -np.inf
    for plan in product(range(len(qualities)), repeat=len(download_s)):
        left_s, value, last = buffer_s, 0.0, last_level
        for times_s, level in zip(download_s, plan, strict=True):
            stall_s = max(times_s[level] - left_s, 0.0)
            left_s = max(left_s - times_s[level], 0.0) + segment_s
            value += qualities[level] - stall_per_s * stall_s
            if last is not None:
                value -= change * abs(qualities[level] - qualities[last])
            last = level
        if value > best_value + 1e-9 or (value > best_value - 1e-9 and plan[0] > best):
            best, best_value = plan[0], max(value, best_value)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_the_search_is_exact(seed: int) -> None:
    draw = random.Random(seed)
    levels, horizon = draw.choice([(2, 5), (3, 5), (4, 4), (6, 3)])
    qualities = sorted(draw.uniform(0.1, 5.0) for _ in range(levels))
    if draw.random() < 0.2:
        draw.shuffle(qualities)
    scale = draw.choice([0.3, 1.0, 2.5])
    download_s = [[scale * it * draw.uniform(0.5, 1.5) for it in sorted(qualities)] for _ in range(horizon)]
    weights = {
        "stall_per_s": draw.choice([0.0, 0.5, 4.3, 50.0]),
        "change": draw.choice([0.0, 0.3, 1.0, 4.0]),
    }
    last_level = draw.choice([None, *range(levels)])
    state = {"buffer_s": draw.choice([0.0, draw.uniform(0.0, 12.0)]), "segment_s": draw.choice([1.0, 4.0])}
    found = best_first_level(np.array(download_s), qualities, last_level, **state, **weights)
    assert found == brute(download_s, qualities, last_level, **state, **weights)


def test_equal_plans_go_to_the_higher_level() -> None:
    # the change costs just what the higher level brings
    found = best_first_level(
        np.zeros((1, 2)), (1.0, 2.0), 0, buffer_s=9.0, segment_s=1.0, stall_per_s=4.3, change=1.0
    )
    assert found == 1
    same = best_first_level(
        np.zeros((3, 3)), (2.0, 2.0, 2.0), 1, buffer_s=9.0, segment_s=1.0, stall_per_s=4.3, change=1.0
    )
    assert same == 2


KBPS = (300, 750, 1850)
RATES = tuple(1e3 * rate for rate in KBPS)


def a_video(seed: int, segments: int = 30) -> Video:
    draw = random.Random(seed)
    sizes = tuple(tuple(4.0 * rate * draw.uniform(0.6, 1.5) for rate in RATES) for _ in range(segments))
    return Video("vbr", 4.0, RATES, sizes)


def test_a_decision_by_hand() -> None:
    # Three segments are left. 1 Mbit/s was measured: 1.2, 3 and 7.4 s for the levels.
    video = Video("cbr", 4.0, RATES, (tuple(4.0 * rate for rate in RATES),) * 10)

    def level(rule: Mpc, buffer_s: float, last: int, rate_bps: float = 1e6) -> int:
        session = rule.session(video, 60.0)
        session.downloaded(Download(0, 0, rate_bps, 0.0, 0.0, 1.0, 0.0, 0.0))
        return session.choose(AbrView(7, buffer_s, last)).level

    # with 20 s in the buffer three times 7.4 s never stall: 3 * 1.85 - 1.1
    assert level(Mpc(), 20.0, 1) == 2
    # with 3 s the second level is just in time, three times
    assert level(Mpc(), 3.0, 1) == 1
    assert level(Mpc(), 1.2, 1) == 0, "1.8 s of stall are worse than two changes"
    assert level(Mpc(stall_per_s=0.0), 0.0, 1) == 2
    assert level(Mpc(change=9.0), 20.0, 1) == 1
    assert level(Mpc(horizon=1), 7.4, 2) == 2
    assert level(Mpc(horizon=1), 7.3, 1) == 1, "0.1 s of stall costs 0.43, the change the rest"
    # harmonic mean of 4 and 0.8 Mbit/s over the window of two
    session = Mpc(window=2, horizon=1).session(video, 60.0)
    for rate_bps in (0.01e6, 4e6, 0.8e6):
        session.downloaded(Download(0, 0, rate_bps, 0.0, 0.0, 1.0, 0.0, 0.0))
    assert session.predict_bps() == pytest.approx(4e6 / 3)  # type: ignore[attr-defined]


def test_without_a_download_the_lowest_level_is_taken() -> None:
    for rule in (Mpc(), RobustMpc()):
        assert rule.session(a_video(0), 60.0).choose(AbrView(0, 0.0, None)).level == 0


class Pensieve(AbrSession):
    """Pensieve's `mpc.py`, written down anew; `robust` discounts by the largest of the last five errors."""

    def __init__(self, video: Video, robust: bool) -> None:
        self.video, self.robust = video, robust
        self.rates_bps: deque[float] = deque(maxlen=5)
        self.errors: deque[float] = deque(maxlen=5)
        self.predicted_bps: float | None = None

    def downloaded(self, download: Download) -> None:
        rate_bps = download.bits / download.time_s
        if self.predicted_bps is not None:
            self.errors.append(abs(self.predicted_bps - rate_bps) / rate_bps)
        self.rates_bps.append(rate_bps)
        self.predicted_bps = len(self.rates_bps) / sum(1.0 / rate for rate in self.rates_bps)

    def expected(self, view: AbrView) -> int:
        assert self.predicted_bps is not None
        discount = 1.0 + (max(self.errors, default=0.0) if self.robust else 0.0)
        ahead = self.video.sizes_bits[view.segment : view.segment + 5]
        times_s = [[bits * discount / self.predicted_bps for bits in sizes] for sizes in ahead]
        return brute(times_s, [rate / 1e3 for rate in KBPS], view.last_level, view.buffer_s, 4.0)


@pytest.mark.parametrize("robust", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_whole_sessions_are_pensieves(seed: int, robust: bool) -> None:
    draw = random.Random(seed)
    video = a_video(seed)
    trace = NetworkTrace("t", (1.0,) * 60, tuple(draw.uniform(0.1e6, 3e6) for _ in range(60)))
    rule = RobustMpc() if robust else Mpc()
    checked = []

    class Watched:
        """The rule, with what Pensieve would do beside it."""

        def session(self, ladder: Video, max_buffer_s: float) -> AbrSession:
            mine, theirs = rule.session(ladder, max_buffer_s), Pensieve(video, robust)

            class Both(AbrSession):
                def choose(self, view: AbrView) -> object:  # type: ignore[override]
                    choice = mine.choose(view)
                    if view.segment:
                        checked.append((choice.level, theirs.expected(view)))
                    return choice

                def downloaded(self, download: Download) -> None:
                    mine.downloaded(download)
                    theirs.downloaded(download)

            return Both()

    PENSIEVE.play(video, trace, Watched())  # type: ignore[arg-type]
    assert len(checked) == 29
    assert [mine for mine, _ in checked] == [theirs for _, theirs in checked]
    assert len(set(checked)) > 1


def test_robust_mpc_discounts_by_its_largest_error() -> None:
    video = a_video(1)
    session, plain = RobustMpc().session(video, 60.0), Mpc().session(video, 60.0)
    rates_bps = [2e6, 1e6, 4e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6]
    discounts = []
    for rate_bps in rates_bps:
        for one in (session, plain):
            one.downloaded(Download(0, 0, rate_bps, 0.0, 0.0, 1.0, 0.0, 0.0))
        discounts.append(plain.predict_bps() / session.predict_bps())  # type: ignore[attr-defined]
    # errors: 2 for 1 is 1; 4/3 for 4 is 2/3; 12/7 for 1 is 5/7; and so on
    assert discounts[:4] == pytest.approx([1.0, 2.0, 2.0, 2.0])
    assert discounts[-1] == pytest.approx(1.0 + max(_errors(rates_bps)[-5:]))
    assert discounts[-1] < 2.0, "the largest one is forgotten"


def _errors(rates_bps: Sequence[float]) -> list[float]:
    found = []
    for index in range(1, len(rates_bps)):
        before = rates_bps[max(index - 5, 0) : index]
        mean_bps = len(before) / sum(1.0 / rate for rate in before)
        found.append(abs(mean_bps - rates_bps[index]) / rates_bps[index])
    return found
