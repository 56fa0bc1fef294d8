"""BBA: the level follows the buffer alone."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Ladder
from simulator.policies.registry import register


@register("abr", "bba")
@dataclass(frozen=True, slots=True)
class Bba:
    """Buffer-based: the lowest level up to a reservoir, the highest above a cushion, in proportion between.

    Source: Huang et al., "A Buffer-Based Approach to Rate Adaptation" (BBA-0), SIGCOMM 2014, with the map from
    buffer to *level* (rounded down) and the parameters of Pensieve's test bed.
    """

    reservoir_s: float = 5.0
    """Buffer below which the lowest level is taken, in s."""
    cushion_s: float = 10.0
    """Stretch of buffer above the reservoir over which the level rises to the highest, in s."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder.levels - 1)


class _Session(AbrSession):
    def __init__(self, rule: Bba, highest: int) -> None:
        self._rule = rule
        self._highest = highest

    def choose(self, view: AbrView) -> Choice:
        above_s = view.buffer_s - self._rule.reservoir_s
        if above_s < 0.0:
            return Choice(0)
        if above_s >= self._rule.cushion_s:
            return Choice(self._highest)
        return Choice(int(self._highest * above_s / self._rule.cushion_s))
