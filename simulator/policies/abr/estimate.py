"""What a rule believes of the network: moving averages of throughput and latency."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.policies.abr.protocol import Download, Ladder

HALF_LIVES_S = (3.0, 8.0)
"""Half-lives of the fast and the slow average."""


@dataclass(slots=True)
class Ewma:
    """An exponentially weighted moving average that starts without a bias towards 0."""

    half_life: float
    """Weight after which a sample counts half."""
    _sum: float = field(default=0.0, init=False)
    _share: float = field(default=0.0, init=False)

    def add(self, value: float, weight: float) -> None:
        """Take in one sample."""
        kept = 0.5 ** (weight / self.half_life)
        self._sum = kept * self._sum + (1.0 - kept) * value
        self._share = kept * self._share + (1.0 - kept)

    @property
    def value(self) -> float:
        """The average; at least one sample must have been added."""
        return self._sum / self._share


class Estimate:
    """Throughput and latency to be expected, from a fast and a slow average each: the worse of the two counts.

    A throughput sample weighs as long as its download took, a latency sample as long as a segment plays.
    """

    __slots__ = ("_bitrates_bps", "_latency", "_segment_s", "_throughput", "latency_s", "throughput_bps")

    def __init__(self, ladder: Ladder) -> None:
        self._bitrates_bps = tuple(ladder.bitrates_bps)
        self._segment_s = ladder.segment_s
        self._throughput = tuple(map(Ewma, HALF_LIVES_S))
        self._latency = tuple(map(Ewma, HALF_LIVES_S))
        self.throughput_bps = 0.0
        """In bit/s; 0 before the first download."""
        self.latency_s = 0.0
        """In s; 0 before the first download."""

    def downloaded(self, download: Download) -> None:
        """Take in one download."""
        for average in self._throughput:
            average.add(download.throughput_bps, download.transfer_s)
        for average in self._latency:
            average.add(download.latency_s, self._segment_s)
        self.throughput_bps = min(average.value for average in self._throughput)
        self.latency_s = max(average.value for average in self._latency)

    def level(self, safety: float = 1.0) -> int:
        """Return the highest level whose segments arrive at least as fast as they play.

        Parameters
        ----------
        safety
            Share of the throughput to count on.
        """
        best, throughput_bps = 0, safety * self.throughput_bps
        if not throughput_bps:
            return best
        for level, bitrate_bps in enumerate(self._bitrates_bps):
            if self.latency_s + self._segment_s * bitrate_bps / throughput_bps <= self._segment_s:
                best = level
        return best
