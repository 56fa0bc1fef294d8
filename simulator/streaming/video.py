"""A video as a player sees it: segments of equal length, each in several sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from devices.errors import Fault, InputError


@dataclass(frozen=True, slots=True)
class Video:
    """One video and its bitrate ladder. It is the plainest `simulator.policies.abr.Ladder`.

    Raises
    ------
    InputError
        Where the ladder does not rise, a number is not above 0 and finite, or lengths differ; every fault at once.
    """

    name: str
    """What reports call it."""
    segment_s: float
    """Playing time of every segment, in s."""
    bitrates_bps: tuple[float, ...]
    """Nominal bitrate of each level, in bit/s; strictly rising."""
    sizes_bits: tuple[tuple[float, ...], ...]
    """Size of every segment at each level, in bits; (segments, levels)."""
    heights: tuple[int, ...] = ()
    """Lines of the picture at each level; 0 where unknown. Empty: all unknown."""

    def __post_init__(self) -> None:
        if not self.heights:
            object.__setattr__(self, "heights", (0,) * len(self.bitrates_bps))
        if faults := self._faults():
            raise InputError(faults)

    def _faults(self) -> list[Fault]:
        faults: list[Fault] = []
        if not 0.0 < self.segment_s < math.inf:
            faults.append(Fault(f"must be above 0 s and finite, not {self.segment_s!r}", "segment_s"))
        faults += [
            Fault(message, f"bitrates_bps[{level}]") for level, message in ladder_faults(self.bitrates_bps)
        ]
        if not self.sizes_bits:
            faults.append(Fault("a video needs at least one segment", "sizes_bits"))
        for segment, sizes in enumerate(self.sizes_bits):
            if message := sizes_fault(sizes, self.levels):
                faults.append(Fault(message, f"sizes_bits[{segment}]"))
        if len(self.heights) != self.levels:
            faults.append(Fault(f"{len(self.heights)} heights for {self.levels} levels", "heights"))
        return faults

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self.sizes_bits)

    @property
    def levels(self) -> int:
        """Number of levels of the ladder."""
        return len(self.bitrates_bps)

    @property
    def duration_s(self) -> float:
        """Playing time of the whole video, in s."""
        return self.segments * self.segment_s

    @property
    def qualities_bps(self) -> tuple[float, ...]:
        """What a viewer gets from each level, in bit/s: without super-resolution the nominal bitrate."""
        return self.bitrates_bps


def ladder_faults(bitrates_bps: tuple[float, ...]) -> list[tuple[int, str]]:
    """Return what is wrong with a ladder: (level, message) of each fault; none where it rises from above 0."""
    if not bitrates_bps:
        return [(0, "a ladder needs at least one bitrate")]
    faults = [
        (level, f"a bitrate must be above 0 and finite, not {rate:g} bit/s")
        for level, rate in enumerate(bitrates_bps)
        if not 0.0 < rate < math.inf
    ]
    faults += [
        (level, f"a ladder must rise: level {level} has {high:g} bit/s after {low:g} bit/s")
        for level, (low, high) in enumerate(pairwise(bitrates_bps), start=1)
        if not low < high
    ]
    return faults


def sizes_fault(sizes_bits: tuple[float, ...], levels: int) -> str | None:
    """Return what is wrong with the sizes of one segment; None where nothing is."""
    if len(sizes_bits) != levels:
        return f"has {len(sizes_bits)} sizes; allowed: {levels}, one per level"
    for level, size in enumerate(sizes_bits):
        if not 0.0 < size < math.inf:
            return f"the size at level {level} must be above 0 and finite, not {size:g} bits"
    return None
