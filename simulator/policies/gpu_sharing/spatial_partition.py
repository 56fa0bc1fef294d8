"""Multiprocessors of its own for either."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import OpenRatio, RatioBelowOne
from simulator.policies.gpu_sharing.protocol import Shares
from simulator.policies.registry import register


@register("gpu_sharing", "spatial_partition")
@dataclass(frozen=True, slots=True)
class SpatialPartition:
    """A fixed share of the multiprocessors each (MPS, MIG), whether the other one has work or not.

    Either goes at its share's speed, memory included: pessimistic for decode steps under MPS, whose reads a part of the
    multiprocessors could keep going nearly as fast.
    """

    sr_share: OpenRatio = 0.3
    """Share of SR; the LLM has the rest."""
    contention: RatioBelowOne = 0.1
    """Share of its speed that either loses to the other one's memory traffic while both have work (assumed); 0: memory
    is partitioned too, as with MIG."""

    def shares(self, llm: bool, sr: bool) -> Shares:
        """Return the partitions' speeds."""
        left = 1.0 - self.contention if llm and sr else 1.0
        return Shares((1.0 - self.sr_share) * left, self.sr_share * left)
