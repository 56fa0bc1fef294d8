"""Small groups whose courses can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from simulator.policies.collaboration.abr_halves import AbrHalf, FixedCombination
from simulator.policies.collaboration.protocol import (
    Assignment,
    ChunkScheduler,
    ChunkView,
    Combination,
    Decision,
    GroupAbr,
    GroupView,
)
from simulator.streaming.group import Group, GroupPhone, PhonePower, WlanProfile
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.video import Video

SR = Combination(0, 180, 720, 1.5e6, 4e6)
"""Downloads the lower level of `video`, 1 Mbit a second."""

POWER = PhonePower(
    rest_w=1.0,
    display_w=0.5,
    cellular_w=2.0,
    cellular_j_per_byte=1e-6,
    cellular_tail_w=0.1,
    cellular_tail_s=3.0,
    wlan_receive_w=0.25,
    wlan_send_w=1.0,
    wlan_awake_w=0.05,
    wlan_tail_s=0.2,
    decode_w=0.3,
    encode_w=0.4,
    sr_w=2.5,
)

SLOW_WLAN = WlanProfile(near_bps=8e6, latency_s=0.0)
"""A slow WLAN without latency: a result of a second takes half a second of air."""


def video(segments: int) -> Video:
    """One-second segments of 1 and 2 Mbit."""
    return Video("test", 1.0, (1e6, 2e6), ((1e6, 2e6),) * segments, (180, 720))


def steady(mbps: float, latency_s: float = 0.0) -> NetworkTrace:
    """The same bandwidth for ever."""
    return NetworkTrace("steady", (1e4,), (mbps * 1e6,), (latency_s,))


def a_phone(name: str, mbps: float | None = 1.0, fps: float | None = 10.0, **fields: Any) -> GroupPhone:
    """A phone that decodes and encodes a second of video in 0.2 and 0.4 s."""
    values: dict[str, Any] = {
        "wwan": None if mbps is None else steady(mbps),
        "sr_frames_per_s": {} if fps is None else {SR.name: fps},
        "decode_s_per_s": 0.2,
        "encode_s_per_s": 0.4,
        "power": POWER,
        "battery_j": 5e4,
    }
    return GroupPhone(name, **{**values, **fields})


def a_group(phones: Sequence[GroupPhone], segments: int, **fields: Any) -> Group:
    """A group that watches `video` at 10 frames a second, over a slow WLAN."""
    values: dict[str, Any] = {"combinations": (SR,), "wlan": SLOW_WLAN, "frames_per_s": 10.0}
    return Group(video(segments), tuple(phones), **{**values, **fields})


@dataclass(frozen=True)
class Policy:
    """Any ABR half with any scheduling half."""

    make_scheduler: Callable[[], ChunkScheduler]
    half: AbrHalf = field(default_factory=FixedCombination)
    together: bool = True

    def abr(self) -> GroupAbr:
        return self.half.abr()

    def scheduler(self) -> ChunkScheduler:
        return self.make_scheduler()


@dataclass
class Script:
    """A scheduling half that plans what it was told: (downloader, processor) by chunk."""

    pairs: Sequence[tuple[int, int]]
    waits_for_iteration: bool = True

    def assign(self, view: GroupView, unassigned: Sequence[ChunkView]) -> list[Assignment]:
        return [Assignment(chunk.index, *self.pairs[chunk.index]) for chunk in unassigned]


@dataclass
class Levels:
    """An ABR half that takes plain chunks of a level."""

    level: int = 0
    chunks: int = 1

    def abr(self) -> GroupAbr:
        return self

    def decide(self, view: GroupView) -> Decision:
        return Decision(view.plain[self.level], self.chunks)

    def observe(self, report: object) -> None:
        return None


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """Everything above: test folders are not packages, so tests cannot import it."""
    return SimpleNamespace(
        SR=SR,
        POWER=POWER,
        WLAN=SLOW_WLAN,
        video=video,
        steady=steady,
        phone=a_phone,
        group=a_group,
        Policy=Policy,
        Script=Script,
        Levels=Levels,
    )
