"""MicroCast: phones download what their networks carry and pass it around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.processing import downloader_processes, from_holder
from simulator.policies.collaboration.protocol import (
    Assignment,
    ChunkScheduler,
    ChunkView,
    GroupAbr,
    GroupView,
    Stage,
)
from simulator.policies.registry import register


@register("collaboration", "microcast")
@dataclass(frozen=True, slots=True)
class MicroCast:
    """Segments go to the phones by their download rates and the congestion of the local network.

    Sources: Keller et al., "MicroCast: Cooperative Video Streaming on Smartphones", MobiSys 2012 (MicroDownload), as
    OASIS (MMSys 2024) describes its baselines: that rule, a fixed combination (low: 180p to 720p, high: 360p to 1080p)
    and OASIS's own pipeline of super-resolution (SR).

    Assumed, because the descriptions are silent: over the session each phone downloads in proportion to its predicted
    rate; time that its waiting transmissions take counts as if it had downloaded as long; a phone is asked for no more
    than `backlog` at a time; the downloader does the SR, and chunks that wait for SR are no congestion.
    """

    input_height: int = 180
    """Height that is downloaded."""
    output_height: int = 720
    """Height that SR makes of it."""
    backlog: int = 2
    """Segments that a phone may be asked for and not have downloaded."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the ABR half: always the same combination."""
        return FixedCombination(self.input_height, self.output_height).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return MicroCastScheduler(self.backlog)


class MicroCastScheduler:
    """MicroCast's scheduling half, for any ABR half.

    Each phone has a clock that a segment moves on by its predicted download time; the next one goes to the phone whose
    clock would be earliest after it. So shares follow the rates also where downloads are paced by playback.
    """

    waits_for_iteration = False

    def __init__(self, backlog: int) -> None:
        self._backlog = backlog
        self._clocks_s: dict[int, float] = {}

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        """Give chunks while a phone has room for one."""
        phones = {phone.index: phone for phone in view.phones if phone.present and phone.has_wwan}
        since_s = min([self._clocks_s[index] for index in phones if index in self._clocks_s], default=0.0)
        clocks_s = self._clocks_s = {index: self._clocks_s.get(index, since_s) for index in phones}
        room = {index: self._backlog - phone.queued(Stage.DOWNLOAD) for index, phone in phones.items()}
        congestion_s = {index: phone.remaining_s(Stage.TRANSMIT) for index, phone in phones.items()}
        answer = []
        for chunk in unassigned:
            if chunk.holders:
                answer.append(from_holder(view, chunk))
                continue
            ends_s = {
                index: clocks_s[index] + phone.wwan_latency_s + chunk.bits / phone.wwan_bps
                for index, phone in phones.items()
                if room[index] > 0
            }
            if ends_s:
                best = min(ends_s, key=lambda index: (ends_s[index] + congestion_s[index], index))
                answer.append(downloader_processes(view, chunk, best))
                clocks_s[best] = ends_s[best]
                room[best] -= 1
        return answer
