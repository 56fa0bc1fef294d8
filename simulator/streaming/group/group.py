"""A group of phones and the video they watch, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isfinite

from devices.errors import Fault, InputError
from simulator.policies.collaboration.protocol import Combination
from simulator.streaming.group.phones import GroupPhone
from simulator.streaming.group.wlan import HOTSPOT, WlanProfile
from simulator.streaming.video import Video


@dataclass(frozen=True, slots=True)
class Group:
    """Everything about a session but its policy; times count from its start.

    Raises
    ------
    InputError
        With every fault: no phone, names that repeat, no WWAN in the whole group, a combination that no phone can
        run, numbers out of range.
    """

    video: Video
    """What all watch."""
    phones: tuple[GroupPhone, ...]
    """Who takes part, now or later."""
    combinations: tuple[Combination, ...] = ()
    """What SR may be used for; see `simulator.streaming.group.build.combination`."""
    wlan: WlanProfile = HOTSPOT
    """The network among them."""
    controller: int = 0
    """Index of the phone that runs the scheduler and the hotspot. If it goes, the next one takes over."""
    buffer_cap_s: float = 25.0
    """Most video in the buffer of the viewer who has played most: it paces the downloads."""
    startup_chunks: int = 1
    """Chunks in the buffer with which playback begins."""
    plain_first: int = 0
    """Chunks at the start that are taken at the lowest level without SR, so that playback begins soon."""
    pipelined: bool = True
    """Whether a phone's stages work side by side, from frame to frame; False: one at a time, whole chunks."""
    frames_per_s: float = 30.0
    """Of the video."""
    wwan_guess_bps: float = 2e6
    """What policies are told of a WWAN before its first download (assumed)."""
    tick_s: float = 1.0
    """How often heat and battery are looked at; also the interval of the records."""
    limit_s: float = inf
    """How long a session may take before it is given up; infinity: 20 times the video and 10 minutes."""

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise InputError(faults)

    def _faults(self) -> Iterator[Fault]:
        if not self.phones:
            yield Fault("a group needs at least one phone", "phones")
            return
        names = [phone.name for phone in self.phones]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Fault(f"two phones are called {name!r}", "phones")
        if all(phone.wwan is None for phone in self.phones):
            yield Fault("no phone has a WWAN: nobody could download anything", "phones")
        for phone in self.phones:
            yield from _phone_faults(phone)
        yield from self._combination_faults()
        if not 0 <= self.controller < len(self.phones):
            yield Fault(f"{self.controller}; allowed: 0 to {len(self.phones) - 1}", "controller")
        elif self.phones[self.controller].helper is not None:
            yield Fault(f"{self.phones[self.controller].name} is a helper; allowed: phones", "controller")
        if self.startup_chunks < 1 or not self.startup_chunks * self.video.segment_s <= self.buffer_cap_s:
            yield Fault(
                f"{self.startup_chunks} chunks; allowed: at least 1, and no more than the buffer cap of "
                f"{self.buffer_cap_s:g} s holds",
                "startup_chunks",
            )
        if self.plain_first < 0:
            yield Fault(f"{self.plain_first}; allowed: at least 0", "plain_first")
        for name in ("frames_per_s", "wwan_guess_bps", "tick_s", "limit_s"):
            if not getattr(self, name) > 0.0:
                yield Fault(f"{getattr(self, name)!r}; allowed: above 0", name)

    @property
    def longest_s(self) -> float:
        """How long a session may take."""
        return self.limit_s if self.limit_s < inf else 20.0 * self.video.duration_s + 600.0

    def starting_at(self, start_s: float) -> Group:
        """Return the group of a session that begins at `start_s` of a clock, with times of that clock."""
        if not start_s:
            return self
        return replace(self, phones=tuple(phone.starting_at(start_s) for phone in self.phones))

    def _combination_faults(self) -> Iterator[Fault]:
        for index, combination in enumerate(self.combinations):
            path = f"combinations[{index}]"
            if not combination.sr:
                yield Fault(f"{combination.name} has no SR: the plain ladder is there anyway", path)
            if not 0 <= combination.level < self.video.levels:
                yield Fault(f"level {combination.level}; allowed: 0 to {self.video.levels - 1}", path)
            if not any(combination.name in phone.sr_frames_per_s for phone in self.phones):
                known = sorted({name for phone in self.phones for name in phone.sr_frames_per_s})
                yield Fault(
                    f"no phone can run {combination.name}; they run: {', '.join(known) or 'none'}", path
                )

    @property
    def plain(self) -> tuple[Combination, ...]:
        """The ladder without SR."""
        video = self.video
        return tuple(
            Combination(level, height, height, rate, rate)
            for level, (height, rate) in enumerate(zip(video.heights, video.bitrates_bps, strict=True))
        )


def _phone_faults(phone: GroupPhone) -> Iterator[Fault]:
    path = f"phones.{phone.name}"
    for name, rate in phone.sr_frames_per_s.items():
        if not (isfinite(rate) and rate > 0.0):
            yield Fault(f"{rate!r} frames/s; allowed: above 0 and finite", f"{path}.sr_frames_per_s.{name}")
    for name in ("decode_s_per_s", "encode_s_per_s", *(("battery_j",) if phone.helper is None else ())):
        if not (isfinite(getattr(phone, name)) and getattr(phone, name) > 0.0):
            yield Fault(f"{getattr(phone, name)!r}; allowed: above 0 and finite", f"{path}.{name}")
    if not 0.0 < phone.battery_share <= 1.0:
        yield Fault(f"{phone.battery_share!r}; allowed: above 0, at most 1", f"{path}.battery_share")
    if not 0.0 <= phone.joins_s < inf:
        yield Fault(f"{phone.joins_s!r}; allowed: at least 0 and finite", f"{path}.joins_s")
    if not phone.leaves_s > phone.joins_s:
        yield Fault(f"{phone.leaves_s!r}; allowed: after joining", f"{path}.leaves_s")
    last_s = 0.0
    for start_s, end_s in phone.away_s:
        if not last_s <= start_s < end_s:
            yield Fault(f"times must rise: {start_s!r} to {end_s!r}", f"{path}.away_s")
        last_s = end_s
    last_s = 0.0
    for time_s, _, _ in phone.moves:
        if not last_s <= time_s < inf:
            yield Fault(f"times must rise: {time_s!r}", f"{path}.moves")
        last_s = time_s
