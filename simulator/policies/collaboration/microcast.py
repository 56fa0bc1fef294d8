"""MicroCast: phones download what their networks carry and pass it around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from devices.quantity import Count, Quantity
from simulator.policies.collaboration.abr_halves import FixedCombination
from simulator.policies.collaboration.processing import Window, downloader_processes, from_holder
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
    rate; time that its waiting transmissions take counts as if it had downloaded as long; the downloader does the SR;
    a phone is asked for the next segment when it has finished the one before, one whose network is faster than the
    others' for `backlog` at a time. That limit, and how far segments may come out of order (`ahead`), are what agrees
    best with the stalls that OASIS publishes.
    """

    input_height: Count = 180
    """Height that is downloaded."""
    output_height: Count = 720
    """Height that SR makes of it."""
    backlog: Count = 2
    """Most segments that a phone is asked for and has not finished. It is the phone's download rate over the phones'
    mean, rounded, at least one."""
    ahead: Annotated[float, Quantity("", low=1.0, high=1e3)] = 1.3
    """Segments for each phone that may be under way, from the oldest unfinished one on, rounded up; see `Window`."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the ABR half: always the same combination."""
        return FixedCombination(self.input_height, self.output_height).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return MicroCastScheduler(self.backlog, self.ahead)


class MicroCastScheduler:
    """MicroCast's scheduling half, for any ABR half.

    Each phone has a clock that a segment moves on by its predicted download time; the next one goes to the phone whose
    clock would be earliest after it. So shares follow the rates also where downloads are paced by playback.
    """

    waits_for_iteration = False

    def __init__(self, backlog: int = 2, ahead: float = 1.3) -> None:
        self._backlog, self._window = backlog, Window(ahead)
        self._clocks_s: dict[int, float] = {}

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        """Give chunks while a phone has room for one."""
        phones = {phone.index: phone for phone in view.phones if phone.present and phone.has_wwan}
        since_s = min([self._clocks_s[index] for index in phones if index in self._clocks_s], default=0.0)
        clocks_s = self._clocks_s = {index: self._clocks_s.get(index, since_s) for index in phones}
        mean_bps = sum([phone.wwan_bps for phone in phones.values()]) / max(len(phones), 1)
        room = {
            index: min(max(round(phone.wwan_bps / mean_bps), 1), self._backlog) - phone.assigned()
            for index, phone in phones.items()
        }
        congestion_s = {index: phone.remaining_s(Stage.TRANSMIT) for index, phone in phones.items()}
        answer = [from_holder(view, chunk) for chunk in unassigned if chunk.holders]
        for chunk in self._window.open(view, unassigned):
            if chunk.holders:
                continue
            ends_s = {
                index: clocks_s[index] + phone.wwan_latency_s + chunk.bits / phone.wwan_bps
                for index, phone in phones.items()
                if room[index] > 0
            }
            if not ends_s:
                break
            best = min(ends_s, key=lambda index: (ends_s[index] + congestion_s[index], index))
            answer.append(downloader_processes(view, chunk, best))
            clocks_s[best] = ends_s[best]
            room[best] -= 1
        self._window.give(answer)
        return answer
