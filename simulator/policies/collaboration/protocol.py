"""The seam between a group of phones and a collaboration policy.

A policy has two halves, each with state of its own session, and any ABR half works with any scheduling half:

- `GroupAbr` decides per *iteration*: which combination of bitrate and super-resolution (SR), and how many chunks;
- `ChunkScheduler` decides per *chunk*: who downloads it and who super-resolves it.

The course of a session::

    decision = abr.decide(view)                    # pacing by the buffer cap has passed
    loop: scheduler.assign(view, unassigned)       # at once, and whenever something has changed
    abr.observe(report)                            # all chunks of the iteration are with all viewers

With ``ChunkScheduler.waits_for_iteration`` the next decision comes after the report (OASIS); without it, as soon as
no chunk is unassigned and a phone has nothing to download, so that iterations overlap (MPBond, MicroCast).

A phone is its index in `GroupView.phones`, a chunk its index in the video, both from 0, for the whole session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Protocol

EVERYONE: Final = -1
"""As `Assignment.processor`: the plain chunk is broadcast, and every phone super-resolves it for itself."""


class Stage(IntEnum):
    """Stages of a phone's pipeline; each works on one chunk at a time and has its own queue."""

    DOWNLOAD = 0
    """From the server over the phone's own WWAN."""
    DECODE = 1
    """To frames."""
    SR = 2
    """Super-resolution of the frames."""
    ENCODE = 3
    """Of the super-resolved frames, so that they can be sent."""
    TRANSMIT = 4
    """Over the WLAN: plain chunks to their processor, results to all. Air time is shared with the other phones."""


@dataclass(frozen=True, slots=True)
class Combination:
    """One way to make a chunk: what is downloaded, and what SR makes of it."""

    level: int
    """Level of the bitrate ladder that is downloaded, from 0."""
    input_height: int
    """Its height in pixels."""
    output_height: int
    """Height that is played; equal to `input_height` where there is no SR."""
    quality_bps: float
    """Bitrate at which the video without SR looks as good: the ladder's own where there is no SR."""
    output_bps: float
    """Bitrate of the result as it is sent to the others."""

    sr: bool = field(init=False)
    """Whether frames are super-resolved."""
    name: str = field(init=False)
    """Name as in phone profiles, such as ``180p-720p``; ``720p`` without SR."""

    def __post_init__(self) -> None:
        sr = self.output_height != self.input_height
        object.__setattr__(self, "sr", sr)
        target = f"-{self.output_height}p" if sr else ""
        object.__setattr__(self, "name", f"{self.input_height}p{target}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ABR half decides for one iteration."""

    combination: Combination
    """One of `GroupView.combinations` or `GroupView.plain`."""
    chunks: int
    """Chunks of this iteration, at least 1; at the end of the video there may be fewer left."""
    wait_s: float = 0.0
    """Time to let pass before the iteration begins; playback goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the scheduling half decides for one chunk."""

    chunk: int
    """One of the unassigned chunks."""
    downloader: int
    """Who fetches it over the WWAN; where `ChunkView.holders` is not empty, which of them it comes from."""
    processor: int
    """Who decodes, super-resolves, encodes and broadcasts it, or `EVERYONE`; without SR it must be `downloader`,
    who sends it on as it is."""


class ChunkView(Protocol):
    """A chunk that nobody has been given yet, or that has come back because a phone left."""

    @property
    def index(self) -> int:
        """Its number in the video."""

    @property
    def combination(self) -> Combination:
        """What its iteration decided."""

    @property
    def bits(self) -> float:
        """Size of the download."""

    @property
    def holders(self) -> Sequence[int]:
        """Present phones that hold the downloaded chunk already; empty: it has to be downloaded."""


class PhoneView(Protocol):
    """One phone. Rates are predictions: means of the last five values measured, before that what is known of it.

    Before the first download that is `GroupView`'s guess of the WWAN rate; SR starts from the phone's profile, and
    a measured slow-down (heat) counts for every combination.
    """

    @property
    def index(self) -> int:
        """Position in `GroupView.phones`."""

    @property
    def name(self) -> str:
        """Name in the scenario."""

    @property
    def present(self) -> bool:
        """Whether it takes part now: joined, in range, alive. Others must not be given chunks."""

    @property
    def controller(self) -> bool:
        """Whether it runs the scheduler (and the hotspot)."""

    @property
    def processes(self) -> bool:
        """Whether it does SR now: False where it has none or is too hot."""

    @property
    def has_wwan(self) -> bool:
        """Whether it can download at all."""

    @property
    def buffer_s(self) -> float:
        """Video in its viewer's buffer, in s."""

    @property
    def battery_share(self) -> float:
        """Energy left over that of a full battery."""

    @property
    def wwan_bps(self) -> float:
        """Predicted download rate while it downloads, in bits per second; 0 without a WWAN."""

    @property
    def wwan_latency_s(self) -> float:
        """Predicted latency of a request, in s."""

    def wwan_chunks_per_s(self, combination: Combination) -> float:
        """Chunks of that combination (of nominal size) that its WWAN brings per second."""

    def wlan_chunks_per_s(self, combination: Combination) -> float:
        """Plain chunks (of nominal size) that it could send per second with the air to itself.

        At its slowest link to a present phone; infinite where it is alone.
        """

    def sr_chunks_per_s(self, combination: Combination) -> float:
        """Chunks that it super-resolves per second; 0 where it cannot, infinite where there is no SR."""

    def queued(self, stage: Stage) -> int:
        """Chunks that wait for or are in that stage now."""

    def assigned(self) -> int:
        """Chunks given to it to process, wherever they are now, that it has not finished (encoded)."""

    def remaining_s(self, stage: Stage) -> float:
        """Predicted time until that stage has nothing left of what waits for it or is in it now."""


class GroupView(Protocol):
    """The group at this instant; valid during the call."""

    @property
    def now_s(self) -> float:
        """Time since the session began."""

    @property
    def segment_s(self) -> float:
        """Duration of a chunk."""

    @property
    def next_chunk(self) -> int:
        """First chunk that no iteration holds yet."""

    @property
    def chunks(self) -> int:
        """Chunks of the video."""

    @property
    def combinations(self) -> Sequence[Combination]:
        """Combinations with SR of the session, as configured, that a present phone can run; may be empty."""

    @property
    def plain(self) -> Sequence[Combination]:
        """The ladder without SR, one combination per level."""

    @property
    def phones(self) -> Sequence[PhoneView]:
        """All phones of the session, also those absent."""

    @property
    def buffer_s(self) -> float:
        """Least buffer of the present viewers, in s."""

    @property
    def buffer_cap_s(self) -> float:
        """Most video that a buffer may hold, in s."""

    @property
    def reports(self) -> Sequence[IterationReport]:
        """Reports of all iterations that have ended."""

    def chunk_bits(self, chunk: int, combination: Combination) -> float:
        """Size of a chunk as downloaded."""

    def wlan_bps(self, sender: int, receiver: int) -> float:
        """Rate of the link between two phones with the air to itself, in bits per second; 0 out of range."""


@dataclass(frozen=True, slots=True)
class IterationReport:
    """What was measured in one iteration; sequences have one entry per phone of the session."""

    index: int
    """Number of the iteration, from 0."""
    combination: Combination
    """What was decided."""
    first_chunk: int
    """Its first chunk."""
    chunks: int
    """How many it had."""
    start_s: float
    """When it was decided."""
    end_s: float
    """When the last chunk was with all viewers."""
    stall_s: float
    """Stall of the worst-off present viewer since the report before."""
    buffer_s: float
    """Least buffer of the present viewers at the end."""
    wwan_bps: Sequence[float]
    """Mean download rate from the first byte on, as `PhoneView.wwan_bps`; 0: downloaded nothing."""
    wwan_latency_s: Sequence[float]
    """Mean latency of the downloads."""
    wlan_bps: Sequence[float]
    """Mean rate over the air time each phone spent sending; 0: sent nothing."""
    sr_chunks_per_s: Sequence[float]
    """Chunks over the time that each phone's SR was busy; 0: processed nothing."""

    @property
    def chunks_per_s(self) -> float:
        """Rate of the whole group, waiting included."""
        return self.chunks / (self.end_s - self.start_s)


class GroupAbr(Protocol):
    """The ABR half of one session."""

    def decide(self, view: GroupView) -> Decision:
        """Decide on the next iteration. Called when the buffer cap lets its first chunk in."""

    def observe(self, report: IterationReport) -> None:
        """Learn from an iteration that has ended. Called in the order of ends."""


class ChunkScheduler(Protocol):
    """The scheduling half of one session."""

    @property
    def waits_for_iteration(self) -> bool:
        """Whether an iteration starts only when the one before is with all viewers; else iterations overlap."""

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> Sequence[Assignment]:
        """Give some, all or none of the unassigned chunks (rising, at least one) to phones.

        A scheduler that plans gives all at once; one that pulls gives a chunk to each idle phone and is asked again
        about the rest; one that defers gives none. Asked when an iteration starts and, while chunks are unassigned:
        after it gave some (until it gives none), when a phone ends a stage, joins, leaves or changes its state.
        To give none while nothing is under way is an error, unless no present phone could do the work.

        A phone begins each stage's chunks in the order of the video, whatever the order of assignment.
        """


class Collaboration(Protocol):
    """A collaboration policy: a frozen dataclass, registered with ``@register("collaboration", NAME)``.

    It holds parameters; each session asks it for the two halves, or for one of them where the other is another's.
    """

    @property
    def together(self) -> bool:
        """False: every phone has a session of its own, with both halves, and shares nothing."""

    def abr(self) -> GroupAbr:
        """Return the ABR half for a new session."""

    def scheduler(self) -> ChunkScheduler:
        """Return the scheduling half for a new session."""
