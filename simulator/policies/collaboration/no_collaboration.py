"""Every phone for itself."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Count
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.protocol import ChunkScheduler, GroupAbr
from simulator.policies.registry import register


@register("collaboration", "no_collaboration")
@dataclass(frozen=True, slots=True)
class NoCollaboration:
    """Each phone downloads and super-resolves the whole video alone; a phone without a WWAN sees nothing."""

    input_height: Count = 180
    """Height that is downloaded."""
    output_height: Count = 720
    """Height that SR makes of it."""

    @property
    def together(self) -> bool:
        """Every phone has a session of its own."""
        return False

    def abr(self) -> GroupAbr:
        """Return the ABR half: always the same combination."""
        return FixedCombination(self.input_height, self.output_height).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return IdleTakesNext()
