"""The ABR half of OASIS: a contextual bandit over combinations of bitrate and super-resolution (SR) model."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, log, sqrt

from simulator.policies.collaboration.earliest_completion import fitting_chunks
from simulator.policies.collaboration.protocol import (
    Combination,
    Decision,
    GroupAbr,
    GroupView,
    IterationReport,
)

_SLOWEST = 1e-6
"""Chunks/s that an iteration is taken to run at where its offset would leave less."""


@dataclass(frozen=True, slots=True)
class IterationLength:
    """How many chunks an iteration of OASIS has."""

    first_per_phone: int = 5
    """Chunks of the first iteration for each present phone (the paper's lambda)."""
    idle_share: float = 0.05
    """Share of the phones' time that may be idle (assumed); see `fitting_chunks`."""

    def first(self, view: GroupView) -> int:
        """Return the chunks of the first iteration; no later one has more (assumed)."""
        return self.first_per_phone * max(sum([phone.present for phone in view.phones]), 1)

    def later(self, view: GroupView, combination: Combination) -> int:
        """Return the chunks of a later iteration."""
        if combination.sr:
            rates = [phone.sr_chunks_per_s(combination) for phone in view.phones if phone.present]
        else:
            rates = [phone.wwan_chunks_per_s(combination) for phone in view.phones if phone.present]
        return fitting_chunks(tuple(rates), self.first(view), self.idle_share) if any(rates) else 1


def estimate_qoe(
    chunks_per_s: float,
    buffer_s: float,
    *,
    chunks: int,
    quality_bps: float,
    last_quality_bps: float | None,
    stall_per_s: float = 4.3,
) -> float:
    """Return the linear QoE per chunk to expect of an iteration, in Mbit/s (EstimateQoE; its details are assumed).

    The iteration is the unit, as a chunk is for a single player: what the buffer lacks until all its chunks
    are there is
    taken for a stall. The change of quality counts once.

    Parameters
    ----------
    chunks_per_s
        Rate of the whole group, above 0.
    buffer_s
        Video in the buffer when the iteration begins.
    chunks
        Its chunks.
    quality_bps, last_quality_bps
        Effective bitrate of its chunks and of those before; None: there are none.
    stall_per_s
        What a second of stall costs, in Mbit/s of one chunk.
    """
    stall_s = max(0.0, chunks / chunks_per_s - buffer_s)
    change_bps = 0.0 if last_quality_bps is None else abs(quality_bps - last_quality_bps)
    return (quality_bps - change_bps / chunks) / 1e6 - stall_per_s * stall_s / chunks


@dataclass(slots=True)
class Arm:
    """What was learnt of one combination."""

    count: int = 0
    """C: how often it was tried."""
    offset: float = 0.0
    """O: by how much its rate was overestimated on average, in chunks/s."""
    sr: dict[int, tuple[int, float]] = field(default_factory=dict)
    """S, by phone: how often it was measured, and the mean, in chunks/s."""

    def learn(self, overestimate: float, sr_chunks_per_s: Sequence[float]) -> None:
        """Take in an iteration: move the means by (new - mean) / count."""
        self.count += 1
        self.offset += (overestimate - self.offset) / self.count
        for phone, rate in enumerate(sr_chunks_per_s):
            if rate > 0.0:
                count, mean = self.sr.get(phone, (0, 0.0))
                self.sr[phone] = count + 1, mean + (rate - mean) / (count + 1)


class OasisAbr:
    """The bandit in one session, for any scheduling half.

    Of each combination i with SR (of the plain ladder where there is none) it predicts
    ``T_i = min(sum T_W, sum T_L, sum S_i) - O_i`` over the present phones and takes the largest
    ``EstimateQoE(T_i, buffer) + alpha sqrt(ln(sum C + 1) / (C_i + 1))``. T_W and T_L are means of the last five values.

    Two readings are ours. O_i averages the error of the prediction *without* O_i: otherwise it would settle at half
    the error. S_i is kept by phone, so that phones may come and go, and counts no more than the phone's last five
    values, so that heat shows at once.

    Parameters
    ----------
    alpha
        Weight of exploration.
    length
        How long iterations are.
    """

    def __init__(self, alpha: float, length: IterationLength) -> None:
        self._alpha, self._length = alpha, length
        self.arms: dict[Combination, Arm] = {}
        """What was learnt, by combination."""
        self._last: Combination | None = None
        self._predicted: dict[int, float] = {}  # by first chunk, without the offset
        self._ended: deque[tuple[float, int]] = deque(maxlen=64)  # end and chunks of the last iterations

    def decide(self, view: GroupView) -> Decision:
        """Take the combination with the largest upper confidence bound."""
        choices = view.combinations or view.plain
        explored = log(1 + sum([arm.count for arm in self.arms.values()]))
        buffer_s, last = view.buffer_s, self._last
        most, best = -inf, (choices[0], 1, 0.0)
        for combination in choices:
            arm = self.arms.get(combination)
            if arm is None:
                arm = self.arms[combination] = Arm()
            predicted = _predict(view, combination, arm)
            length = self._length.first(view) if last is None else self._length.later(view, combination)
            bound = estimate_qoe(
                max(predicted - arm.offset, _SLOWEST),
                buffer_s,
                chunks=length,
                quality_bps=combination.quality_bps,
                last_quality_bps=None if last is None else last.quality_bps,
            ) + self._alpha * sqrt(explored / (arm.count + 1))
            if bound > most:
                most, best = bound, (combination, length, predicted)
        self._last, chunks, self._predicted[view.next_chunk] = best
        return Decision(self._last, chunks)

    def observe(self, report: IterationReport) -> None:
        """Move the offset and the SR rates of the combination.

        Where iterations overlap, the group's rate is that of all chunks that ended during this one.
        """
        self._ended.append((report.end_s, report.chunks))
        predicted = self._predicted.pop(report.first_chunk, None)
        if predicted is None or report.end_s <= report.start_s:
            return
        chunks = sum([count for end_s, count in self._ended if end_s > report.start_s])
        measured = chunks / (report.end_s - report.start_s)
        self.arms[report.combination].learn(predicted - measured, report.sr_chunks_per_s)


def _predict(view: GroupView, combination: Combination, arm: Arm) -> float:
    """Return chunks/s of the whole group by its narrowest stage."""
    wwan = wlan = sr = 0.0
    for phone in view.phones:
        if phone.present:
            wwan += phone.wwan_chunks_per_s(combination)
            wlan += phone.wlan_chunks_per_s(combination)
            rate = phone.sr_chunks_per_s(combination)
            _, mean = arm.sr.get(phone.index, (0, rate))
            sr += min(rate, mean)
    return min(wwan, wlan, sr)


class InOasisIterations:
    """Another ABR half, with iterations as long as OASIS has them."""

    def __init__(self, half: GroupAbr, length: IterationLength) -> None:
        self._half, self._length = half, length
        self._begun = False

    def decide(self, view: GroupView) -> Decision:
        """Let the half decide on everything but the length."""
        decision = self._half.decide(view)
        combination = decision.combination
        chunks = self._length.later(view, combination) if self._begun else self._length.first(view)
        self._begun = True
        return Decision(combination, chunks, decision.wait_s)

    def observe(self, report: IterationReport) -> None:
        """Pass the report on."""
        self._half.observe(report)
