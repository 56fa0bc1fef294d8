"""The seam between a player and an ABR rule: what a rule knows of the video, sees, answers and is told.

A rule is a frozen dataclass of its parameters. For each playback it makes an `AbrSession`, which keeps what the rule
remembers. The player asks `AbrSession.choose` before every request and then tells what came of it.

A level is an index into a `Ladder`. For a plain player that is the video's bitrates; a group of phones offers one level
per combination of bitrate and super-resolution model, whose quality is not the bitrate that is downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from simulator.policies.registry import nonsense

SHORTEST_S = 1e-9
"""A transfer counts as this long at least, so that a throughput is finite however small the segment."""


class Ladder(Protocol):
    """What can be chosen for each segment. Levels are in order of rising quality."""

    @property
    def segment_s(self) -> float:
        """Playing time of a segment, in s."""

    @property
    def segments(self) -> int:
        """Number of segments."""

    @property
    def levels(self) -> int:
        """Number of levels."""

    @property
    def bitrates_bps(self) -> Sequence[float]:
        """Nominal bitrate that each level downloads, in bit/s; (levels,)."""

    @property
    def qualities_bps(self) -> Sequence[float]:
        """What a viewer gets from each level, as an effective bitrate in bit/s; (levels,)."""

    @property
    def sizes_bits(self) -> Sequence[Sequence[float]]:
        """Size of every segment at each level, in bits; (segments, levels). The manifest: future ones are known."""


@dataclass(slots=True)
class AbrView:
    """What a rule sees when a segment is about to be requested."""

    segment: int
    """Index of that segment, from 0; `Ladder.sizes_bits` has its sizes."""
    buffer_s: float
    """Playing time in the buffer, in s."""
    last_level: int | None
    """Level of the segment before; None for the first one."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A rule's answer."""

    level: int
    """Level to request, an index into the ladder."""
    wait_s: float = 0.0
    """Time to let pass before the request, in s; playback goes on meanwhile."""


@dataclass(slots=True)
class Download:
    """A segment that has arrived."""

    segment: int
    """Its index."""
    level: int
    """Its level."""
    bits: float
    """Its size, in bits."""
    start_s: float
    """When it was requested, in s since the session began."""
    first_byte_s: float
    """When its first byte came, in s."""
    end_s: float
    """When its last byte came, in s."""
    buffer_s: float
    """Playing time in the buffer when it was requested, in s."""
    stall_s: float
    """Time that playback stood still since the download before, in s; for the first segment that is start-up."""

    @property
    def latency_s(self) -> float:
        """Time from the request to the first byte, in s."""
        return self.first_byte_s - self.start_s

    @property
    def transfer_s(self) -> float:
        """Time from the first byte to the last, in s; at least `SHORTEST_S`."""
        return max(self.end_s - self.first_byte_s, SHORTEST_S)

    @property
    def time_s(self) -> float:
        """Time from the request to the last byte, in s: what Pensieve's rules divide the size by."""
        return self.latency_s + self.transfer_s

    @property
    def throughput_bps(self) -> float:
        """Bits per second from the first byte to the last."""
        return self.bits / self.transfer_s


class AbrSession(Protocol):
    """A rule at work on one playback. Subclass it: what a rule has no use for, it leaves out."""

    def choose(self, view: AbrView) -> Choice:
        """Decide on the next segment. With nothing downloaded yet every rule but a fixed one takes level 0."""

    def waited(self, wait_s: float) -> None:
        """Learn that `wait_s` passed because the buffer was full; what a choice asked for is not told."""
        return None

    def downloaded(self, download: Download) -> None:
        """Learn of a segment that has arrived; it is not in the buffer yet."""
        return None


class Abr(Protocol):
    """An ABR rule: a frozen dataclass, registered with ``@register("abr", NAME)``."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback.

        Parameters
        ----------
        ladder
            What can be chosen.
        max_buffer_s
            Most playing time that the player keeps in its buffer, in s.
        """


def check_choice(choice: object, rule: Abr, levels: int) -> None:
    """Refuse what no player can do.

    Raises
    ------
    PolicyError
        Naming the rule and what it chose.
    """
    if not isinstance(choice, Choice):
        raise nonsense("abr", rule, f"answers {choice!r}; a Choice is expected")
    if type(choice.level) is not int or not 0 <= choice.level < levels:
        raise nonsense("abr", rule, f"chooses level {choice.level!r}; there are 0 to {levels - 1}")
    if not isinstance(choice.wait_s, int | float) or not 0.0 <= choice.wait_s < math.inf:
        raise nonsense("abr", rule, f"wants to wait {choice.wait_s!r} s; at least 0 is allowed")
