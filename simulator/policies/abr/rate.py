"""Rate-based: the level follows recent throughput alone."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from devices.quantity import Count
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.registry import register


class HarmonicMean:
    """Harmonic mean of the throughput of the last downloads, their latency included: outliers weigh little."""

    def __init__(self, window: int) -> None:
        self._seconds_per_bit: deque[float] = deque(maxlen=window)

    def add(self, download: Download) -> None:
        """Take in a download."""
        self._seconds_per_bit.append(download.time_s / download.bits)

    @property
    def bps(self) -> float | None:
        """The mean, in bit/s; None before the first download."""
        if not self._seconds_per_bit:
            return None
        return len(self._seconds_per_bit) / sum(self._seconds_per_bit)


@register("abr", "rate")
@dataclass(frozen=True, slots=True)
class Rate:
    """Rate-based: the highest bitrate that the harmonic mean of recent throughput reaches.

    Source: the rate-based baseline of Mao, Netravali, Alizadeh, "Neural Adaptive Video Streaming with Pensieve",
    SIGCOMM 2017.
    """

    window: Count = 5
    """Number of downloads in the mean."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder)


class _Session(AbrSession):
    def __init__(self, rule: Rate, ladder: Ladder) -> None:
        self._bitrates_bps = ladder.bitrates_bps
        self._mean = HarmonicMean(rule.window)

    def choose(self, view: AbrView) -> Choice:
        throughput_bps = self._mean.bps
        if throughput_bps is None:
            return Choice(0)
        return Choice(max(bisect_right(self._bitrates_bps, throughput_bps) - 1, 0))

    def downloaded(self, download: Download) -> None:
        self._mean.add(download)
