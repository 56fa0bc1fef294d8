"""BOLA-E: BOLA with a virtual buffer, so that it starts fast and never idles with a low buffer."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.abr.bola_basic import Objective, utilities
from simulator.policies.abr.estimate import Estimate
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.abr.throughput import InsufficientBuffer
from simulator.policies.registry import register


@register("abr", "bola_e")
@dataclass(frozen=True, slots=True)
class BolaE:
    """BOLA on the buffer plus a placeholder, which stands for segments that would be there had the network been slower.

    Source: Spiteri, Sitaraman, Sparacio, "From Theory to Practice: Improving Bitrate Adaptation in the DASH Reference
    Player", MMSys 2018 and TOMM 2019 (BOLA-E with the Insufficient Buffer Rule).
    """

    least_buffer_s: float = 10.0
    """Buffer below which only the lowest level is chosen, in s."""
    buffer_per_level_s: float = 2.0
    """Buffer that it plans with for each level beyond that, at least, in s."""
    buffer_safety: float = 0.9
    """Share of the expected throughput that the buffer is checked by at first; multiplied by itself each time."""
    least_buffer_safety: float = 0.5
    """What that share does not fall below."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder, max_buffer_s)


class _Session(AbrSession):
    def __init__(self, rule: BolaE, ladder: Ladder, max_buffer_s: float) -> None:
        target_s = max(rule.least_buffer_s + rule.buffer_per_level_s * ladder.levels, max_buffer_s)
        gamma_p = (utilities(ladder, 1.0)[-1] - 1.0) / (target_s / rule.least_buffer_s - 1.0)
        self._objective = Objective(ladder, rule.least_buffer_s / gamma_p, gamma_p, 1.0)
        self._highest = ladder.levels - 1
        self._estimate = Estimate(ladder)
        self._guard = InsufficientBuffer(ladder, rule.buffer_safety, rule.least_buffer_safety)
        self._placeholder_s = 0.0
        self._started = False

    def choose(self, view: AbrView) -> Choice:
        if view.last_level is None:
            return Choice(0)
        objective = self._objective
        if not self._started:
            self._started = True
            level = self._estimate.level()
            self._placeholder_s = max(objective.enters_s(level) - view.buffer_s, 0.0)
            return Choice(level)
        level = objective.level(view.buffer_s + self._placeholder_s)
        if level > view.last_level:
            # beyond what throughput carries it goes up level by level, where BOLA would keep the last one
            level = min(level, max(view.last_level, self._estimate.level()) + 1)
        wait_s = 0.0
        if level < self._highest:
            # what no segment of this level could fill is let go, the placeholder before the playback
            idle_s = max(view.buffer_s + self._placeholder_s - objective.leaves_s(level), 0.0)
            wait_s = max(idle_s - self._placeholder_s, 0.0)
            self._placeholder_s = max(self._placeholder_s - idle_s, 0.0)
        safe = self._guard.level(level, view.buffer_s, self._estimate)
        if safe < level:
            level, wait_s = safe, 0.0
            room_s = max(objective.enters_s(level) - view.buffer_s, 0.0)
            self._placeholder_s = min(self._placeholder_s, room_s)
        return Choice(level, wait_s)

    def waited(self, wait_s: float) -> None:
        self._placeholder_s += wait_s

    def downloaded(self, download: Download) -> None:
        self._estimate.downloaded(download)
        # keep buffer and placeholder together where this level is the one to choose
        buffer_s, objective = download.buffer_s, self._objective
        most_s = max(objective.leaves_s(download.level) - buffer_s, 0.0)
        least_s = max(objective.enters_s(download.level) - buffer_s, 0.0) if download.level else 0.0
        self._placeholder_s = max(min(self._placeholder_s, most_s), least_s)
