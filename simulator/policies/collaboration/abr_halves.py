"""ABR halves of general use: always the same combination, or a rule for a single player on the group's ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from simulator.policies.abr.protocol import Abr, AbrSession, AbrView, Download, check_choice
from simulator.policies.abr.throughput import Throughput
from simulator.policies.collaboration.protocol import (
    Combination,
    Decision,
    GroupAbr,
    GroupView,
    IterationReport,
)
from simulator.policies.registry import PolicyError, PolicyOf


class AbrHalf(Protocol):
    """What an ABR half can be had from: a collaboration policy, or one of the classes below."""

    def abr(self) -> GroupAbr:
        """Return the ABR half for a new session."""


@dataclass(frozen=True, slots=True)
class FixedCombination:
    """The same combination for every chunk; without SR while no phone can run it."""

    input_height: int = 180
    """Height that is downloaded."""
    output_height: int = 720
    """Height that is played."""
    chunks: int = 1
    """Chunks of an iteration."""

    def abr(self) -> GroupAbr:
        """Return the ABR half for a new session."""
        return _Fixed(self)


class _Fixed:
    def __init__(self, rule: FixedCombination) -> None:
        self._rule = rule

    def decide(self, view: GroupView) -> Decision:
        rule = self._rule
        for combination in (*view.combinations, *view.plain):
            if (
                combination.input_height == rule.input_height
                and combination.output_height == rule.output_height
            ):
                return Decision(combination, rule.chunks)
        for combination in view.plain:  # too hot, or its phone has left
            if combination.input_height == rule.input_height:
                return Decision(combination, rule.chunks)
        heights = ", ".join(f"{combination.input_height}" for combination in view.plain)
        raise PolicyError(f"the ladder has no height {rule.input_height}; it has: {heights}")

    def observe(self, report: IterationReport) -> None:
        return None


@dataclass(frozen=True, slots=True)
class SinglePlayerRule:
    """A rule for one player drives the level; the height that SR makes of it is fixed.

    Its ladder is the combinations of that height by rising quality; where SR gives out, the level is taken without.
    """

    rule: Annotated[Abr, PolicyOf("abr")] = field(default_factory=Throughput)
    """The rule."""
    output_height: int = 0
    """Height that SR makes; 0: the plain ladder."""
    chunks: int = 1
    """Chunks of an iteration; 0: one per present phone."""
    sees: Literal["downloads", "pipeline"] = "downloads"
    """What the rule takes for its throughput: the sum of the phones' download rates as last measured, or the bits of
    an iteration over its whole duration, SR and distribution included."""

    def abr(self) -> GroupAbr:
        """Return the ABR half for a new session."""
        return _Driven(self)


@dataclass(frozen=True, slots=True)
class _Ladder:
    segment_s: float
    segments: int
    bitrates_bps: Sequence[float]
    qualities_bps: Sequence[float]
    sizes_bits: Sequence[Sequence[float]]

    @property
    def levels(self) -> int:
        return len(self.bitrates_bps)


class _Driven:
    """A session of `SinglePlayerRule`."""

    def __init__(self, settings: SinglePlayerRule) -> None:
        self._settings = settings
        self._session: AbrSession | None = None
        self._combinations: tuple[Combination, ...] = ()
        self._sizes_bits: Sequence[Sequence[float]] = ()
        self._last_level: int | None = None
        self._last_end_s: float | None = None
        self._wwan: dict[int, tuple[float, float]] = {}  # by phone: rate and latency as last measured
        self._buffers_s: dict[int, float] = {}  # by first chunk, when it was decided
        self._present: list[bool] = []

    def decide(self, view: GroupView) -> Decision:
        if self._session is None:
            self._session = self._begin(view)
        if self._last_end_s is not None and view.now_s > self._last_end_s:
            self._session.waited(view.now_s - self._last_end_s)
        self._last_end_s = None
        choice = self._session.choose(AbrView(view.next_chunk, view.buffer_s, self._last_level))
        check_choice(choice, self._settings.rule, len(self._combinations))
        self._last_level = choice.level
        self._present = [phone.present for phone in view.phones]
        self._buffers_s[view.next_chunk] = view.buffer_s
        combination = self._combinations[choice.level]
        if combination.sr and combination not in view.combinations:
            combination = view.plain[combination.level]
        return Decision(combination, self._settings.chunks or sum(self._present), choice.wait_s)

    def _begin(self, view: GroupView) -> AbrSession:
        height = self._settings.output_height
        offered = [one for one in view.combinations if one.output_height == height] if height else view.plain
        if not offered:
            raise PolicyError(f"no combination with SR plays {height}p")
        self._combinations = tuple(sorted(offered, key=lambda one: (one.quality_bps, one.level)))
        self._sizes_bits = [
            [view.chunk_bits(chunk, one) for one in self._combinations] for chunk in range(view.chunks)
        ]
        bitrates_bps = [view.plain[one.level].quality_bps for one in self._combinations]
        qualities_bps = [one.quality_bps for one in self._combinations]
        ladder = _Ladder(view.segment_s, view.chunks, bitrates_bps, qualities_bps, self._sizes_bits)
        return self._settings.rule.session(ladder, view.buffer_cap_s)

    def observe(self, report: IterationReport) -> None:
        self._last_end_s = report.end_s
        for phone, rate_bps in enumerate(report.wwan_bps):
            if rate_bps:
                self._wwan[phone] = rate_bps, report.wwan_latency_s[phone]
        levels = [
            level for level, one in enumerate(self._combinations) if one.level == report.combination.level
        ]
        buffer_s = self._buffers_s.pop(report.first_chunk, None)
        if self._session is None or buffer_s is None or not levels:
            return
        chunks = range(report.first_chunk, report.first_chunk + report.chunks)
        bits = [self._sizes_bits[chunk][levels[0]] for chunk in chunks]
        latency_s = 0.0
        if self._settings.sees == "pipeline":
            rate_bps = sum(bits) / (report.end_s - report.start_s)
        else:
            seen = [
                self._wwan[phone] for phone, here in enumerate(self._present) if here and phone in self._wwan
            ]
            rate_bps = sum(rate for rate, _ in seen)
            latency_s = sum(latency for _, latency in seen) / len(seen) if seen else 0.0
        if rate_bps <= 0.0:  # its phones have left
            return
        start_s = report.start_s
        for chunk, size in zip(chunks, bits, strict=True):
            first_s = start_s + latency_s
            end_s = first_s + size / rate_bps
            stall_s = max(end_s - start_s - buffer_s, 0.0)
            self._session.downloaded(
                Download(chunk, levels[0], size, start_s, first_s, end_s, buffer_s, stall_s)
            )
            buffer_s = max(buffer_s - (end_s - start_s), 0.0)
            start_s = end_s
