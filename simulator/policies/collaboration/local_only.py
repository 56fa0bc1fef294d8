"""Downloads are shared, super-resolution is not."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Count
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.protocol import ChunkScheduler, GroupAbr
from simulator.policies.registry import register


@register("collaboration", "local_only")
@dataclass(frozen=True, slots=True)
class LocalOnly:
    """The phones download in turn and broadcast plain chunks; each super-resolves all of them for itself.

    A phone that cannot do SR gets the result of one that can.
    """

    input_height: Count = 180
    """Height that is downloaded."""
    output_height: Count = 720
    """Height that SR makes of it."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the ABR half: always the same combination."""
        return FixedCombination(self.input_height, self.output_height).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return IdleTakesNext(everyone=True)
