"""OASIS: phones in proximity download, super-resolve and share one video."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from devices.quantity import Count
from simulator.policies.abr.protocol import Abr
from simulator.policies.abr.robust_mpc import RobustMpc
from simulator.policies.collaboration.abr_halves import SinglePlayerRule
from simulator.policies.collaboration.oasis_abr import InOasisIterations, IterationLength, OasisAbr
from simulator.policies.collaboration.oasis_scheduler import OasisScheduler
from simulator.policies.collaboration.protocol import ChunkScheduler, GroupAbr
from simulator.policies.registry import PolicyOf, register


@register("collaboration", "oasis")
@dataclass(frozen=True, slots=True)
class Oasis:
    """A bandit picks bitrate and SR model, a maximum flow and earliest completion the phones.

    Source: Jin et al., "OASIS: Collaborative Neural-Enhanced Mobile Video Streaming", MMSys 2024. What it leaves open
    is said where it is decided: `OasisAbr`, `estimate_qoe`, `fitting_chunks`, `OasisScheduler`.
    """

    alpha: float = 1.0
    """Weight of exploration."""
    first_per_phone: Count = 5
    """Chunks of the first iteration for each phone (lambda)."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the bandit."""
        return OasisAbr(self.alpha, IterationLength(self.first_per_phone))

    def scheduler(self) -> ChunkScheduler:
        """Return the flow scheduler."""
        return OasisScheduler()


@register("collaboration", "oasis_with_rule")
@dataclass(frozen=True, slots=True)
class OasisWithRule:
    """OASIS's scheduler and iterations; a rule for one player drives the level, the SR target is fixed.

    With the rule ``fixed`` nothing adapts. The paper's ablation calls a target of 720 low and one of 1080 high.
    """

    rule: Annotated[Abr, PolicyOf("abr")] = field(default_factory=RobustMpc)
    """The rule; it sees the phones' download rates together, not their SR."""
    output_height: Count = 720
    """Height that SR makes of every level."""
    first_per_phone: Count = 5
    """Chunks of the first iteration for each phone (lambda)."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the rule on the group's ladder."""
        half = SinglePlayerRule(self.rule, self.output_height).abr()
        return InOasisIterations(half, IterationLength(self.first_per_phone))

    def scheduler(self) -> ChunkScheduler:
        """Return the flow scheduler."""
        return OasisScheduler()
