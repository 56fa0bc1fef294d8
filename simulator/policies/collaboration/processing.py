"""Who super-resolves a chunk, where that is not what a scheduler is about."""

from __future__ import annotations

from simulator.policies.collaboration.protocol import Assignment, ChunkView, GroupView


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
