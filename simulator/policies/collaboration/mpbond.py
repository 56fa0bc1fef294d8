"""MPBond: one video over several subflows, each through a phone."""

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
    PhoneView,
    Stage,
)
from simulator.policies.registry import register


@register("collaboration", "mpbond")
@dataclass(frozen=True, slots=True)
class MpBond:
    """The next piece goes to the idle subflow of least delay, unless a busy one would have it sooner.

    Sources: Zhu et al., "MPBond: Efficient Network-level Collaboration Among Personal Mobile Devices", MobiSys 2020,
    as OASIS (MMSys 2024) describes its baselines: that rule, a fixed combination (low: 180p to 720p, high: 360p to
    1080p) and OASIS's own pipeline of super-resolution (SR).

    Assumed, because the descriptions are silent: a piece is a chunk; a subflow is a phone with a WWAN, and it is busy
    until its piece has been super-resolved and sent; the downloader does the SR; the delay is that of the network
    alone, latency and transfer as predicted, because MPBond knows nothing of SR. How far pieces may come out of order
    is not said either; `ahead` is what agrees best with the stalls that OASIS publishes where SR is skewed.
    """

    input_height: Count = 180
    """Height that is downloaded."""
    output_height: Count = 720
    """Height that SR makes of it."""
    ahead: Annotated[float, Quantity("", low=1.0, high=1e3)] = 1.3
    """Pieces for each phone that may be under way, from the oldest unfinished one on, rounded up; see `Window`."""

    @property
    def together(self) -> bool:
        """One session for all."""
        return True

    def abr(self) -> GroupAbr:
        """Return the ABR half: always the same combination."""
        return FixedCombination(self.input_height, self.output_height).abr()

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half."""
        return MpBondScheduler(self.ahead)


class MpBondScheduler:
    """MPBond's scheduling half, for any ABR half."""

    waits_for_iteration = False

    def __init__(self, ahead: float = 1.3) -> None:
        self._window = Window(ahead)

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        """Give every chunk that is there already, and one that is to be downloaded: it is asked again."""
        answer = self._choose(view, unassigned)
        self._window.give(answer)
        return answer

    def _choose(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        answer = [from_holder(view, chunk) for chunk in unassigned if chunk.holders]
        chunk = next((chunk for chunk in self._window.open(view, unassigned) if not chunk.holders), None)
        if chunk is None:
            return answer
        taken = {assignment.processor for assignment in answer} | {one.downloader for one in answer}
        subflows = [phone for phone in view.phones if phone.present and phone.has_wwan]
        idle = {
            phone.index: _delay_s(phone, chunk)
            for phone in subflows
            if not _outstanding(phone) and phone.index not in taken
        }
        if not idle:
            return answer
        best = min(idle, key=lambda index: (idle[index], index))
        sooner = any(
            _free_s(phone, chunk) + _delay_s(phone, chunk) < idle[best]
            for phone in subflows
            if _outstanding(phone)
        )
        if not sooner:
            answer.append(downloader_processes(view, chunk, best))
        return answer


def _delay_s(phone: PhoneView, chunk: ChunkView) -> float:
    """Return how long a phone takes to download a chunk."""
    return phone.wwan_latency_s + chunk.bits / phone.wwan_bps


def _outstanding(phone: PhoneView) -> bool:
    """Whether a phone has anything to do."""
    return bool(phone.assigned() or phone.queued(Stage.DOWNLOAD) or phone.queued(Stage.TRANSMIT))


def _free_s(phone: PhoneView, chunk: ChunkView) -> float:
    """Return when a busy phone would be idle: stages of one chunk overlap but for download and transmission."""
    to_come = phone.assigned() - max(phone.queued(Stage.SR), phone.queued(Stage.ENCODE))
    rate = phone.sr_chunks_per_s(chunk.combination)
    return (
        phone.remaining_s(Stage.DOWNLOAD)
        + max(phone.remaining_s(Stage.SR), phone.remaining_s(Stage.ENCODE))
        + phone.remaining_s(Stage.TRANSMIT)
        + (max(to_come, 0) / rate if rate else 0.0)
    )
