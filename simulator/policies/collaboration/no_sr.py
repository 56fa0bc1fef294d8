"""Downloads are shared, nothing is super-resolved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from simulator.policies.abr.protocol import Abr
from simulator.policies.abr.throughput import Throughput
from simulator.policies.collaboration.abr_halves import SinglePlayerRule
from simulator.policies.collaboration.idle_takes_next import IdleTakesNext
from simulator.policies.collaboration.protocol import ChunkScheduler, GroupAbr
from simulator.policies.registry import PolicyOf, register


@register("collaboration", "no_sr")
@dataclass(frozen=True, slots=True)
class NoSr:
    """The phones download in turn and broadcast; a rule for one player picks the level from their rates together."""

    rule: Annotated[Abr, PolicyOf("abr")] = field(default_factory=Throughput)
    """Which level."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the ABR half."""
        return SinglePlayerRule(self.rule).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return IdleTakesNext()
