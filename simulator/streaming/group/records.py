"""What a session leaves behind: tables by column, energies, and the log of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.core import TEXT, Table
from simulator.streaming.group.energy import Component

CHUNK_COLUMNS = {
    "chunk": "i",
    "iteration": "i",
    "combination": TEXT,
    "level": "i",
    "quality_bps": "d",
    "bits": "d",
    "downloader": TEXT,
    "processor": TEXT,
    "attempts": "i",
    "assigned_s": "d",
    "download_start_s": "d",
    "download_end_s": "d",
    "forward_end_s": "d",
    "decode_start_s": "d",
    "decode_end_s": "d",
    "sr_start_s": "d",
    "sr_end_s": "d",
    "encode_start_s": "d",
    "encode_end_s": "d",
    "complete_s": "d",
}
"""One row per chunk and phone that finished it, written when all present viewers have it.

Times that do not apply are NaN: ``forward_end_s`` where the downloader processes, the stages of SR without it.
"""

VIEWING_COLUMNS = {"phone": TEXT, "chunk": "i", "available_s": "d", "play_s": "d", "stall_s": "d"}
"""One row per viewer and chunk: when it and all before it were there, when it played, how long that stalled."""

PHONE_COLUMNS = {
    "phone": TEXT,
    "time_s": "d",
    "interval_s": "d",
    "power_w": "d",
    "temperature_c": "d",
    "battery_j": "d",
    "buffer_s": "d",
    "present": "B",
    "heat": "B",
    **{f"{component.name.lower()}_j": "d" for component in Component},
}
"""One row per phone and interval: mean power in it, the state at its end, energy by component since the start."""


class Happening(NamedTuple):
    """One entry of the log."""

    time_s: float
    """When."""
    what: str
    """``assign``, ``download``, ``downloaded``, ``forwarded``, ``process``, ``processed``, ``complete``, ``reassign``,
    ``restore`` (who returns had the result), ``plain`` (SR given up), ``join``, ``enter``, ``exit``,
    ``leave``, ``die``, ``fail`` (for good), ``fault``, ``repair``, ``controller``, ``cool``,
    ``throttled``, ``stopped``, ``iteration``."""
    phone: str
    """Who; empty where nobody in particular."""
    chunk: int
    """Which chunk; -1 where none in particular."""


class Records:
    """Tables and log of a session while it runs."""

    def __init__(self) -> None:
        self.chunks = Table(CHUNK_COLUMNS)
        self.viewing = Table(VIEWING_COLUMNS)
        self.phones = Table(PHONE_COLUMNS)
        self.log: list[Happening] = []

    def extend(self, other: Records) -> None:
        """Append all of another session's."""
        self.chunks.extend(other.chunks)
        self.viewing.extend(other.viewing)
        self.phones.extend(other.phones)
        self.log += other.log


@dataclass(frozen=True, slots=True)
class PhoneResult:
    """One phone's session in figures."""

    name: str
    """Which phone."""
    energy_j: dict[str, float]
    """Energy by component: ``cellular``, ``wlan``, ``decode``, ``sr``, ``encode``, ``display``, ``rest``."""
    battery_j: float
    """What is left, at least 0."""
    battery_share: float
    """The same over a full battery."""
    alive: bool
    """Whether it neither died nor left."""
    startup_s: float | None
    """From the first request, or from joining, to the first picture; None where it never played."""
    stall_s: float
    """Stalls after that."""
    played: int
    """Chunks that it played."""
    first_chunk: int
    """The first one; above 0 where it joined late."""
    end_s: float
    """When it had played its last chunk."""

    @property
    def total_j(self) -> float:
        """All its energy."""
        return sum(self.energy_j.values())


@dataclass(frozen=True, slots=True)
class GroupResult:
    """A finished session."""

    chunks: Table
    """`CHUNK_COLUMNS`."""
    viewing: Table
    """`VIEWING_COLUMNS`."""
    intervals: Table
    """`PHONE_COLUMNS`."""
    phones: dict[str, PhoneResult]
    """Figures by phone, in the order of the group."""
    log: list[Happening]
    """What happened, in the order of time."""
    start_s: float
    """When it began."""
    end_s: float
    """When the last viewer had played the last chunk, or nothing could go on."""
    complete: bool
    """Whether every viewer that was there to the end played to the end of the video."""
    air_busy_s: float
    """Time in which the WLAN was busy; summed over sessions apart."""
    fairness: float = field(init=False)
    """Jain's index of the phones' energies: 1 where all are equal, 1/n where one bears all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fairness", jain([phone.total_j for phone in self.phones.values()]))


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index of values that are at least 0; 1 where all are 0."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0
