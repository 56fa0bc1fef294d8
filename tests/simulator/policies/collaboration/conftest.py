"""A group that stands still: what a policy sees, without a simulation behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from types import SimpleNamespace

import pytest

from simulator.policies.collaboration.protocol import Combination, IterationReport, Stage

SEGMENT_S = 1.0
LADDER_BPS = (1e6, 2e6, 4e6)
PLAIN = tuple(
    Combination(level, height, height, rate, rate)
    for level, (height, rate) in enumerate(zip((180, 360, 720), LADDER_BPS, strict=True))
)
LOW = Combination(0, 180, 720, 1.5e6, 4e6)
HIGH = Combination(1, 360, 720, 2.5e6, 4e6)


@dataclass
class APhone:
    """A phone as `PhoneView` has it; rates are in chunks of the lowest level."""

    index: int
    wwan: float = 1.0
    """Chunks per second; 0: no WWAN."""
    sr: dict[str, float] = field(default_factory=dict)
    wlan: float = inf
    latency_s: float = 0.0
    present: bool = True
    unfinished: int = 0
    queues: dict[Stage, int] = field(default_factory=dict)
    left_s: dict[Stage, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "abcdefgh"[self.index]

    @property
    def has_wwan(self) -> bool:
        return self.wwan > 0.0

    @property
    def wwan_bps(self) -> float:
        return self.wwan * LADDER_BPS[0] * SEGMENT_S

    @property
    def wwan_latency_s(self) -> float:
        return self.latency_s

    def wwan_chunks_per_s(self, combination: Combination) -> float:
        bits = LADDER_BPS[combination.level] * SEGMENT_S
        return 1.0 / (self.latency_s + bits / self.wwan_bps) if self.has_wwan else 0.0

    def wlan_chunks_per_s(self, combination: Combination) -> float:
        return self.wlan * LADDER_BPS[0] / LADDER_BPS[combination.level]

    def sr_chunks_per_s(self, combination: Combination) -> float:
        return self.sr.get(combination.name, 0.0) if combination.sr else inf

    def queued(self, stage: Stage) -> int:
        return self.queues.get(stage, 0)

    def assigned(self) -> int:
        return self.unfinished

    def remaining_s(self, stage: Stage) -> float:
        return self.left_s.get(stage, 0.0)


@dataclass
class AGroup:
    """As `GroupView` has it."""

    phones: list[APhone]
    combinations: Sequence[Combination] = (LOW,)
    plain: Sequence[Combination] = PLAIN
    buffer_s: float = 10.0
    buffer_cap_s: float = 25.0
    next_chunk: int = 0
    chunks: int = 100
    now_s: float = 0.0
    segment_s: float = SEGMENT_S
    link: float = 5.0
    """Chunks of the lowest level per second between any two phones."""
    reports: Sequence[IterationReport] = ()

    def chunk_bits(self, chunk: int, combination: Combination) -> float:
        return LADDER_BPS[combination.level] * SEGMENT_S

    def wlan_bps(self, sender: int, receiver: int) -> float:
        return self.link * LADDER_BPS[0] * SEGMENT_S


@dataclass
class AChunk:
    """As `ChunkView` has it."""

    index: int
    combination: Combination = LOW
    holders: Sequence[int] = ()

    @property
    def bits(self) -> float:
        return LADDER_BPS[self.combination.level] * SEGMENT_S


def phone(index: int, wwan: float = 1.0, sr: float = 0.0, **fields: object) -> APhone:
    """A phone that runs `LOW` at `sr` chunks/s and `HIGH` at half of that."""
    rates = {LOW.name: sr, HIGH.name: sr / 2.0} if sr else {}
    return APhone(index, wwan, rates, **fields)  # type: ignore[arg-type]


def report(
    first: int, chunks: int, start_s: float, end_s: float, combination: Combination = LOW, **fields: object
) -> IterationReport:
    """What was measured in an iteration of two phones."""
    values: dict[str, object] = {
        "stall_s": 0.0,
        "buffer_s": 5.0,
        "wwan_bps": (1e6, 1e6),
        "wwan_latency_s": (0.0, 0.0),
        "wlan_bps": (0.0, 0.0),
        "sr_chunks_per_s": (0.0, 0.0),
    }
    return IterationReport(0, combination, first, chunks, start_s, end_s, **{**values, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def still() -> SimpleNamespace:
    """Everything above: test folders are not packages, so tests cannot import it."""
    return SimpleNamespace(
        PLAIN=PLAIN, LOW=LOW, HIGH=HIGH, phone=phone, group=AGroup, chunk=AChunk, report=report
    )
