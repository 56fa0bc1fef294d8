"""Where the two pointers of each prompt were and when: what was computed from the front, and loaded from the back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from simulator.core import Table
from simulator.serving.kv_tiers import Piece
from simulator.serving.sequence import GenerationSequence, Sequence

POINTERS = {
    "request": "q",
    "workload": "text",
    "generation": "i",
    "replica": "i",
    "tier": "text",
    "start_s": "d",
    "end_s": "d",
    "from_token": "q",
    "to_token": "q",
}
"""Columns of the table of pointers: tokens ``[from_token, to_token)`` of a prompt, and from when to when their KV was
made. ``tier`` is the storage device that they were loaded from, empty where they were computed; ``generation`` is -1
where the request was decoded in one go.

The front pointer has a row per phase: steps without a pause between them, however many runs they were cut into. The
back pointer has a row per tier and contiguous load, from its request to its end, with the tokens that had arrived by
then: none where it was stopped within its first operation."""


class _Phase(NamedTuple):
    start_s: float
    end_s: float
    from_token: int
    to_token: int


class Pointers:
    """Records the pointers of one replica.

    Parameters
    ----------
    table
        `POINTERS`; the replicas of a service share it.
    replica
        Number of the replica.
    tiers
        Names of the service's storage tiers.
    workload_of
        Returns the workload that a sequence comes from.
    """

    __slots__ = ("_open", "_replica", "_table", "_tiers", "_workload_of")

    def __init__(
        self, table: Table, replica: int, tiers: list[str], workload_of: Callable[[Sequence], str]
    ) -> None:
        self._table = table
        self._replica = replica
        self._tiers = tiers
        self._workload_of = workload_of
        self._open: dict[Sequence, _Phase] = {}  # phases that the next step may continue

    def computed(self, sequence: Sequence, start_s: float, end_s: float, tokens: int) -> None:
        """Take note of steps that have prefilled the `tokens` tokens from `sequence.position` on."""
        begin = sequence.position
        end = begin + tokens
        phase = self._open.pop(sequence, None)
        if phase is not None:
            if phase.end_s == start_s and phase.to_token == begin:
                start_s, begin = phase.start_s, phase.from_token
            else:
                self._append(sequence, "", phase)
        phase = _Phase(start_s, end_s, begin, end)
        if end < sequence.prefill_to:
            self._open[sequence] = phase
        else:
            self._append(sequence, "", phase)

    def loaded(self, sequence: Sequence, pieces: Iterable[Piece]) -> None:
        """Take note of a load that has ended."""
        for piece in pieces:
            end = sequence.stored_tokens - piece.before
            phase = _Phase(piece.start_s, piece.end_s, end - piece.tokens, end)
            self._append(sequence, self._tiers[piece.tier], phase)

    def stop(self, admitted: Iterable[Sequence]) -> None:
        """Take note of what is under way when the simulation stops."""
        for sequence, phase in self._open.items():
            self._append(sequence, "", phase)
        self._open.clear()
        for sequence in admitted:
            if sequence.load is not None:
                self.loaded(sequence, sequence.load.pieces())

    def _append(self, sequence: Sequence, tier: str, phase: _Phase) -> None:
        generation = sequence.generation if isinstance(sequence, GenerationSequence) else -1
        self._table.append(
            sequence.index, self._workload_of(sequence), generation, self._replica, tier, *phase
        )
