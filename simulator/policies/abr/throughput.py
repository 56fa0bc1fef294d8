"""The level that the expected throughput carries."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.abr.estimate import Estimate
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.registry import register


class InsufficientBuffer:
    """A guard: no segment that the buffer may not outlast, counted on a share of the expected throughput.

    Parameters
    ----------
    ladder
        What can be chosen.
    safety
        Share of the throughput to count on at first; it is multiplied by itself at every use.
    least
        It does not fall below this.
    """

    __slots__ = ("_factor", "_least", "_needs_bits", "_safety")

    def __init__(self, ladder: Ladder, safety: float, least: float) -> None:
        self._needs_bits = tuple(bitrate * ladder.segment_s for bitrate in ladder.bitrates_bps)
        self._safety = self._factor = safety
        self._least = least

    def level(self, wanted: int, buffer_s: float, estimate: Estimate) -> int:
        """Return `wanted`, or the highest level below it that is safe; level 0 counts as safe."""
        safe_bits = self._safety * (buffer_s - estimate.latency_s) * estimate.throughput_bps
        self._safety = max(self._safety * self._factor, self._least)
        for level in range(1, wanted + 1):
            if self._needs_bits[level] > safe_bits:
                return level - 1
        return wanted


@register("abr", "throughput")
@dataclass(frozen=True, slots=True)
class Throughput:
    """The highest level that a share of the expected throughput carries, guarded against an empty buffer.

    Source: Spiteri, Sitaraman, Sparacio, "From Theory to Practice: Improving Bitrate Adaptation in the DASH Reference
    Player", MMSys 2018 and TOMM 2019 (rules THROUGHPUT and Insufficient Buffer).
    """

    safety: float = 0.9
    """Share of the expected throughput to choose by."""
    buffer_safety: float = 0.9
    """Share of it that the buffer is checked by at first; multiplied by itself at every decision."""
    least_buffer_safety: float = 0.5
    """What that share does not fall below."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder)


class _Session(AbrSession):
    def __init__(self, rule: Throughput, ladder: Ladder) -> None:
        self._rule = rule
        self._estimate = Estimate(ladder)
        self._guard = InsufficientBuffer(ladder, rule.buffer_safety, rule.least_buffer_safety)

    def choose(self, view: AbrView) -> Choice:
        if view.last_level is None:
            return Choice(0)
        level = self._estimate.level(self._rule.safety)
        return Choice(self._guard.level(level, view.buffer_s, self._estimate))

    def downloaded(self, download: Download) -> None:
        self._estimate.downloaded(download)
