"""BOLA in its basic form: the level follows from the buffer alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulator.policies.abr.estimate import Estimate
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.registry import register


class Objective:
    """What BOLA maximises over levels m: ``(V (u_m + gamma p) - Q) / b_m`` for a buffer Q and bitrates b.

    Parameters
    ----------
    ladder
        What can be chosen.
    control_s
        V p: how much buffer a unit of utility is worth, in s.
    gamma_p
        What a level's utility gains because it keeps playback smooth, in units of utility.
    lowest
        Utility of the lowest level.
    """

    __slots__ = ("_bitrates_bps", "control_s", "gamma_p", "utilities")

    def __init__(self, ladder: Ladder, control_s: float, gamma_p: float, lowest: float = 0.0) -> None:
        self._bitrates_bps = tuple(ladder.bitrates_bps)
        self.utilities = utilities(ladder, lowest)
        self.control_s = control_s
        self.gamma_p = gamma_p

    def level(self, buffer_s: float) -> int:
        """Return the level with the largest objective at `buffer_s`; of equals the lowest."""
        best, most = 0, -math.inf
        for level, (utility, bitrate_bps) in enumerate(zip(self.utilities, self._bitrates_bps, strict=True)):
            value = (self.control_s * (utility + self.gamma_p) - buffer_s) / bitrate_bps
            if value > most:
                best, most = level, value
        return best

    def enters_s(self, level: int) -> float:
        """Return the buffer from which on `level` is better than every lower one, in s; at least 0."""
        high_bps, high = self._bitrates_bps[level], self.utilities[level]
        enters = 0.0
        for low_bps, low in zip(self._bitrates_bps[:level], self.utilities[:level], strict=True):
            if low_bps < high_bps:  # else the level is better than that one at any buffer
                equal = (high_bps * low - low_bps * high) / (high_bps - low_bps)
                enters = max(enters, self.control_s * (self.gamma_p + equal))
        return enters

    def leaves_s(self, level: int) -> float:
        """Return the buffer from which on it is better to wait than to download `level`, in s."""
        return self.control_s * (self.utilities[level] + self.gamma_p)


def utilities(ladder: Ladder, lowest: float = 0.0) -> tuple[float, ...]:
    """Return the utility of each level: `lowest` + ln(q / q_0), q the bitrate that a viewer gets."""
    base = ladder.qualities_bps[0]
    return tuple(lowest + math.log(quality / base) for quality in ladder.qualities_bps)


@register("abr", "bola_basic")
@dataclass(frozen=True, slots=True)
class BolaBasic:
    """Highest level at a full buffer, lowest at an empty one, in between by Lyapunov optimisation.

    A switch up beyond the level that the throughput carries goes one level further at most (BOLA-U).

    Source: Spiteri, Urgaonkar, Sitaraman, "BOLA: Near-Optimal Bitrate Adaptation for Online Videos", INFOCOM 2016.
    """

    gamma_p: float = 5.0
    """Weight of smooth playback, in units of utility."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return BolaSession(ladder, max_buffer_s, self.gamma_p)


class BolaSession(AbrSession):
    """BOLA on one playback; `gamma_p` as in `BolaBasic`."""

    def __init__(self, ladder: Ladder, max_buffer_s: float, gamma_p: float) -> None:
        self._ladder, self._max_buffer_s = ladder, max_buffer_s
        self._objective = Objective(ladder, 0.0, gamma_p)
        self._estimate = Estimate(ladder)

    def planned_s(self, segment: int) -> float:
        """Return the largest buffer to plan with when `segment` is requested, in s."""
        return self._max_buffer_s

    def choose(self, view: AbrView) -> Choice:
        """Maximise the objective, then limit a switch up."""
        objective, segment_s = self._objective, self._ladder.segment_s
        # so that the highest level is worth waiting for just when no further segment fits
        room_s = self.planned_s(view.segment) - segment_s
        objective.control_s = room_s / (objective.utilities[-1] + objective.gamma_p)
        level, last = objective.level(view.buffer_s), view.last_level or 0
        if level > last:
            carried = self._estimate.level()
            if level > carried:
                level = last if last > carried else carried + 1
        return Choice(level)

    def downloaded(self, download: Download) -> None:
        """Update the estimate of the network."""
        self._estimate.downloaded(download)
