"""MPC: plan the next few segments under a predicted throughput, request the first of the best plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.quantity import Count
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.abr.rate import HarmonicMean
from simulator.policies.registry import register

Floats = NDArray[np.float64]

_TIE = 1e-9
"""Plans whose values differ by less are equal."""


@register("abr", "mpc")
@dataclass(frozen=True, slots=True)
class Mpc:
    """Model-predictive control: the best plan for the next segments under the harmonic mean of throughput.

    The plan maximises the linear QoE: Mbit/s of each segment, minus stalls, minus changes in Mbit/s. Of equal plans
    the one with the higher first level is taken. As published, the planned buffer has no upper limit.

    Source: Yin, Jindal, Sekar, Sinopoli, "A Control-Theoretic Approach for Dynamic Adaptive Video Streaming over
    HTTP", SIGCOMM 2015, with the horizon, window and weights of Pensieve's test bed (SIGCOMM 2017).
    """

    horizon: Count = 5
    """Segments planned ahead."""
    window: Count = 5
    """Number of downloads in the mean."""
    stall_per_s: float = 4.3
    """What a second of stall costs, in Mbit/s of one segment."""
    change: float = 1.0
    """What a change by 1 Mbit/s costs."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return MpcSession(self, ladder)


class MpcSession(AbrSession):
    """MPC at work on one playback; RobustMPC predicts less."""

    def __init__(self, rule: Mpc, ladder: Ladder) -> None:
        self._rule = rule
        self._sizes_bits = np.asarray(ladder.sizes_bits, np.float64)
        self._segment_s = ladder.segment_s
        self._mbps = np.asarray(ladder.qualities_bps, np.float64) / 1e6
        self._mean = HarmonicMean(rule.window)

    def predict_bps(self) -> float | None:
        """Predict the throughput of the downloads to come, in bit/s; None where there is nothing to go by."""
        return self._mean.bps

    def choose(self, view: AbrView) -> Choice:
        """Request the first level of the best plan."""
        throughput_bps = self.predict_bps()
        if throughput_bps is None:
            return Choice(0)
        ahead = self._sizes_bits[view.segment : view.segment + self._rule.horizon]
        return Choice(
            best_first_level(
                ahead / throughput_bps,
                self._mbps,
                view.last_level,
                buffer_s=view.buffer_s,
                segment_s=self._segment_s,
                stall_per_s=self._rule.stall_per_s,
                change=self._rule.change,
            )
        )

    def downloaded(self, download: Download) -> None:
        """Take in the throughput of a download."""
        self._mean.add(download)


def best_first_level(
    download_s: Floats,
    qualities: Floats | Sequence[float],
    last_level: int | None,
    *,
    buffer_s: float,
    segment_s: float,
    stall_per_s: float,
    change: float,
) -> int:
    """Return the first level of the best of all plans.

    The search is exact: plans grow segment by segment, and one is dropped only where another is better whatever
    comes after. That is so where it is ahead by more than what it could lose: the stalls that the other's larger
    buffer could save, and the change from one last level to the other. The test is made against the plan of the
    highest value that ends on each level.

    Parameters
    ----------
    download_s
        Predicted download time of each segment at each level, in s, shape ``(horizon, levels)``.
    qualities
        Quality of each level, shape ``(levels,)``.
    last_level
        Level of the segment before the first planned one; None: the first change is free.
    buffer_s
        Playing time in the buffer, in s.
    segment_s
        Playing time of a segment, in s.
    stall_per_s, change
        Weights of a second of stall and of a unit of change in quality; at least 0.
    """
    quality = np.asarray(qualities, np.float64)
    levels = np.arange(len(quality))
    switch = change * np.abs(quality[:, None] - quality)
    value = quality.copy() if last_level is None else quality - switch[last_level]
    buffer, stall = _drain(np.full(len(levels), buffer_s), download_s[0])
    value -= stall_per_s * stall
    first, last = levels, levels
    for times_s in download_s[1:]:
        buffer += segment_s
        if len(value) > len(levels):  # worth the test
            kept = _contenders(value, buffer, last, switch, stall_per_s)
            value, buffer, first, last = value[kept], buffer[kept], first[kept], last[kept]
        buffer, stall = _drain(buffer[:, None], times_s)
        value = value[:, None] + (quality - switch[last]) - stall_per_s * stall
        count = len(first)
        value, buffer = value.ravel(), buffer.ravel()
        first, last = np.repeat(first, len(levels)), np.tile(levels, count)
    return int(first[value >= value.max() - _TIE].max())


def _drain(buffer_s: Floats, download_s: Floats) -> tuple[Floats, Floats]:
    """Return what downloads leave of the buffer, and the stalls."""
    left = buffer_s - download_s
    return np.maximum(left, 0.0), np.maximum(-left, 0.0)


def _contenders(
    value: Floats, buffer_s: Floats, last: NDArray[np.intp], switch: Floats, stall_per_s: float
) -> NDArray[np.bool_]:
    """Return which plans could still become the best one, or as good; shape ``(plans,)``.

    Plans come in rows of one per last level, as they have grown.
    """
    levels = len(switch)
    best = value.reshape(-1, levels).argmax(axis=0) * levels + np.arange(levels)
    gain = stall_per_s * np.maximum(buffer_s[:, None] - buffer_s[best], 0.0)
    hope = value[:, None] + gain + switch[last]
    return (hope >= value[best] - _TIE).all(axis=1)  # type: ignore[no-any-return]
