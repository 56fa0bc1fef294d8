"""The same level for every segment."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import NonNegativeCount
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Ladder
from simulator.policies.registry import register


@register("abr", "fixed")
@dataclass(frozen=True, slots=True)
class Fixed:
    """No adaptation. A level above the ladder's highest one takes that one."""

    level: NonNegativeCount = 0
    """Index into the ladder, from 0, the lowest."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(min(self.level, ladder.levels - 1))


class _Session(AbrSession):
    def __init__(self, level: int) -> None:
        self._choice = Choice(level)

    def choose(self, view: AbrView) -> Choice:
        return self._choice
