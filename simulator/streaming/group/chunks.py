"""What goes through the pipelines: chunks, the work on them, and their transmissions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from math import nan
from typing import TYPE_CHECKING

from simulator.policies.collaboration.protocol import Combination

if TYPE_CHECKING:
    from simulator.streaming.group.pipeline import Phone
    from simulator.streaming.group.relay import Relay


def members(phones: int) -> list[int]:
    """Return the phones of a set that is a number, rising."""
    found = []
    while phones:
        found.append((phones & -phones).bit_length() - 1)
        phones &= phones - 1
    return found


def as_set(phones: Iterable[int]) -> int:
    """Return the number that is a set of phones."""
    bits = 0
    for index in phones:
        bits |= 1 << index
    return bits


class Iteration:
    """One decision of the ABR half, and what is measured until all its chunks are with all viewers."""

    __slots__ = (
        "air_s",
        "chunks",
        "combination",
        "decided",
        "download_s",
        "downloaded_bits",
        "downloads",
        "first_chunk",
        "index",
        "latency_s",
        "open",
        "processed",
        "sent_bits",
        "sr_s",
        "start_s",
    )

    def __init__(
        self,
        index: int,
        combination: Combination,
        first_chunk: int,
        chunks: int,
        start_s: float,
        phones: int,
        decided: bool,
    ) -> None:
        self.index, self.combination, self.first_chunk, self.chunks = index, combination, first_chunk, chunks
        self.start_s = start_s
        self.decided = decided
        """Whether the ABR half decided it; False for the plain chunks at the start."""
        self.open = chunks
        """Chunks that are not yet with all viewers."""
        self.downloaded_bits = [0.0] * phones
        self.download_s = [0.0] * phones
        self.latency_s = [0.0] * phones
        self.downloads = [0] * phones
        self.sent_bits = [0.0] * phones
        self.air_s = [0.0] * phones
        self.processed = [0] * phones
        self.sr_s = [0.0] * phones


class Chunk:
    """One chunk of the video on its way from the server to all viewers. It is the policy's `ChunkView`."""

    __slots__ = (
        "assigned_s",
        "attempts",
        "bits",
        "combination",
        "complete",
        "counted",
        "download_end_s",
        "download_start_s",
        "downloader",
        "forward_end_s",
        "held_by",
        "index",
        "iteration",
        "pending",
        "phones",
        "processor",
        "results",
        "sending",
        "tasks",
        "unassigned",
    )

    def __init__(self, index: int, iteration: Iteration, bits: float, phones: Sequence[Phone]) -> None:
        self.index = index
        self.iteration = iteration
        self.phones = phones
        self.combination = iteration.combination
        self.bits = bits
        # A session keeps its chunks to the end: sets of phones are numbers, bit i for phone i (see `members`).
        self.held_by = 0
        """Phones with the downloaded chunk, present or not."""
        self.results = 0
        """Phones with the finished chunk, present or not."""
        self.pending = 0
        """Phones that are to finish it: its processor or, where every phone works for itself, all."""
        self.sending = 0
        """Phones to which the finished chunk is on its way."""
        self.tasks: list[Task] = []
        """Work that was finished, also where its result was lost."""
        self.unassigned = True
        """Whether nobody has been given it."""
        self.complete = False
        """Whether all present viewers have it."""
        self.counted = False
        """Whether its iteration knows that."""
        self.attempts = 0
        """How often it was assigned."""
        self.downloader = self.processor = -2
        """As assigned; -2: not yet."""
        self.assigned_s = self.download_start_s = self.download_end_s = self.forward_end_s = nan

    @property
    def holders(self) -> list[int]:
        """Present phones that hold the downloaded chunk."""
        return [phone for phone in members(self.held_by) if self.phones[phone].present]


class Task:
    """Decoding, SR and encoding of one chunk on one phone."""

    __slots__ = (
        "chunk",
        "decode_end_s",
        "decode_start_s",
        "encode_end_s",
        "encode_start_s",
        "index",
        "phone",
        "ready_s",
        "sr_end_s",
        "sr_start_s",
    )

    def __init__(self, chunk: Chunk, phone: int) -> None:
        self.chunk, self.phone, self.index = chunk, phone, chunk.index
        self.ready_s = 0.0
        """When the next stage can take the first frame."""
        self.decode_start_s = self.decode_end_s = self.sr_start_s = self.sr_end_s = nan
        self.encode_start_s = self.encode_end_s = nan


class Kind(IntEnum):
    """What a transmission is for."""

    FORWARD = 0
    """The downloaded chunk, to its processor."""
    SPREAD = 1
    """The downloaded chunk, to all who process it for themselves."""
    RESULT = 2
    """The finished chunk, to viewers."""


class Send:
    """A transmission over the WLAN, waiting or under way."""

    __slots__ = ("air_s", "bits", "chunk", "index", "kind", "receivers", "relay")

    def __init__(self, kind: Kind, chunk: Chunk, bits: float, receivers: list[int]) -> None:
        self.kind, self.chunk, self.index, self.bits, self.receivers = (
            kind,
            chunk,
            chunk.index,
            bits,
            receivers,
        )
        self.air_s = 0.0
        self.relay: Relay | None = None
        """What carries it where a link is on its way."""
