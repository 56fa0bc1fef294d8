"""Who super-resolves a chunk, where that is not what a scheduler is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil

from simulator.policies.collaboration.protocol import Assignment, ChunkView, GroupView


class Window:
    """Which chunks a baseline may have under way: those near the oldest one that is not finished.

    What comes out of order has to be kept, so that a receiver takes only so much of it. A slow phone therefore holds
    up a fast one: the head-of-line blocking of multipath transports.

    Parameters
    ----------
    per_phone
        Chunks for each present phone, rounded up in all.
    """

    def __init__(self, per_phone: float) -> None:
        self._per_phone = per_phone
        self._given: dict[int, list[int]] = {}  # chunks by processor, as assigned

    def open(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[ChunkView]:
        """Return those of the chunks that lie within."""
        oldest = unassigned[0].index
        for phone in view.phones:
            if count := phone.assigned():  # a phone finishes in the order of the video
                oldest = min([oldest, *sorted(self._given.get(phone.index, ()))[-count:]])
        end = oldest + ceil(self._per_phone * sum([phone.present for phone in view.phones]))
        return [chunk for chunk in unassigned if chunk.index < end]

    def give(self, assignments: Iterable[Assignment]) -> None:
        """Take in what was assigned."""
        for assignment in assignments:
            given = self._given.setdefault(assignment.processor, [])
            given.append(assignment.chunk)
            del given[:-_REMEMBERED]


_REMEMBERED = 64
"""Chunks of a phone that are kept in mind: more than it is ever given at a time."""


def downloader_processes(view: GroupView, chunk: ChunkView, downloader: int) -> Assignment:
    """Return the assignment in which a chunk's downloader super-resolves it.

    Where it cannot, the present phone does that would be done first with all it has been given.
    """
    combination, processor = chunk.combination, downloader
    if combination.sr and not view.phones[downloader].sr_chunks_per_s(combination):
        rates = {phone.index: phone.sr_chunks_per_s(combination) for phone in view.phones if phone.present}
        processor = max(rates, key=lambda index: rates[index] / (view.phones[index].assigned() + 1))
    return Assignment(chunk.index, downloader, processor)


def from_holder(view: GroupView, chunk: ChunkView) -> Assignment:
    """Return the assignment of a chunk that phones hold already: the one with the least to do goes on with it."""
    phones, combination = view.phones, chunk.combination
    holder = min(
        chunk.holders,
        key=lambda index: (not phones[index].sr_chunks_per_s(combination), phones[index].assigned(), index),
    )
    return downloader_processes(view, chunk, holder)
