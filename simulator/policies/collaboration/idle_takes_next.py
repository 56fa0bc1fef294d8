"""The plainest scheduling half: whoever is idle takes the next chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.collaboration.protocol import EVERYONE, Assignment, ChunkView, GroupView, Stage


@dataclass(frozen=True, slots=True)
class IdleTakesNext:
    """A phone without a download takes the next chunk, the one with the fastest WWAN first.

    It has no state, so that it is its own session. A chunk that phones hold already goes on from one of them.
    """

    everyone: bool = False
    """Whether every phone super-resolves for itself; else the downloader does, or the fastest where it cannot."""
    ahead: int = 2
    """Chunks that a phone may have unfinished; more would be decided long before they are played."""

    @property
    def waits_for_iteration(self) -> bool:
        """Iterations overlap."""
        return False

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        """Give each idle phone one of the first chunks."""
        present = [phone for phone in view.phones if phone.present]
        ahead = self.ahead + (len(present) if self.everyone else 0)
        idle = [
            phone.index
            for phone in sorted(present, key=lambda phone: (-phone.wwan_bps, phone.index))
            if phone.has_wwan and not phone.queued(Stage.DOWNLOAD) and phone.assigned() < ahead
        ]
        assignments = []
        for chunk in unassigned:
            if chunk.holders:
                downloader = chunk.holders[0]
            elif idle:
                downloader = idle.pop(0)
            else:
                break
            processor = downloader
            if chunk.combination.sr and self.everyone:
                processor = EVERYONE
            elif chunk.combination.sr and not view.phones[downloader].sr_chunks_per_s(chunk.combination):
                rates = {phone.index: phone.sr_chunks_per_s(chunk.combination) for phone in present}
                processor = max(rates, key=lambda index: rates[index] / (1 + view.phones[index].assigned()))
            assignments.append(Assignment(chunk.index, downloader, processor))
        return assignments
