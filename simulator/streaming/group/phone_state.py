"""A phone's state during a session, and what a policy may know of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from simulator.core import Environment
from simulator.policies.collaboration.protocol import Combination, Stage
from simulator.streaming.group.chunks import Chunk, Send, Task
from simulator.streaming.group.energy import Meter
from simulator.streaming.group.phones import GroupPhone
from simulator.streaming.group.server import Server
from simulator.streaming.group.thermal import Heat
from simulator.streaming.group.viewer import Viewer

if TYPE_CHECKING:
    from simulator.streaming.group.group import Group
    from simulator.streaming.group.wlan import Wlan

REMEMBERED = 5
"""Measured values that a prediction is the mean of (OASIS)."""


class RecentMean:
    """Mean of the last values measured; before the first one, what is known without."""

    __slots__ = ("_values", "mean")

    def __init__(self, before: float) -> None:
        self._values: deque[float] = deque(maxlen=REMEMBERED)
        self.mean = before

    def add(self, value: float) -> None:
        """Take in a measured value."""
        values = self._values
        values.append(value)
        self.mean = sum(values) / len(values)


class PhoneState:
    """What a phone is and has at a time. It is the policy's `PhoneView`.

    Parameters
    ----------
    env, group, wlan
        Of the session.
    index
        Position in the group.
    spec
        The phone as plain data.
    """

    def __init__(self, env: Environment, index: int, spec: GroupPhone, group: Group, wlan: Wlan) -> None:
        self.env, self.index, self.spec, self.wlan = env, index, spec, wlan
        self._group = group
        self.name = spec.name
        self.has_wwan = spec.wwan is not None
        self.present = False
        self.controller = False
        self.unfinished = 0
        """Chunks given to it that it has not finished; the flow keeps count."""
        self.alive = True
        """Whether it has neither died nor left."""
        self.joined = False
        """Whether it has come so far as to look for the group; from then on it draws power."""
        self.sr_speed = 1.0
        """Share of its SR speed that faults have left."""
        self.heat = Heat.COOL
        self.temperature_c = spec.thermal.ambient_c
        self.meter = Meter(spec.power)
        self.viewer: Viewer | None = None
        self.peers: Sequence[PhoneState] = ()
        """All phones of the session."""
        self.download: Server[Chunk] = Server()
        self.decode: Server[Task] = Server()
        self.sr: Server[Task] = Server()
        self.encode: Server[Task] = Server()
        self.transmit: Server[Send] = Server()
        self.stages = (self.download, self.decode, self.sr, self.encode, self.transmit)
        self._wwan_bps = RecentMean(group.wwan_guess_bps if self.has_wwan else 0.0)
        self._latency_s = RecentMean(0.0)
        self._sr_ratio = RecentMean(1.0)
        segment_s, frames = group.video.segment_s, group.frames_per_s * group.video.segment_s
        self._frames = frames
        self._decode_s = spec.decode_s_per_s * segment_s
        self._encode_s = spec.encode_s_per_s * segment_s
        self._sr_s = {name: frames / rate for name, rate in spec.sr_frames_per_s.items()}

    @property
    def processes(self) -> bool:
        """Whether it does SR now."""
        return self.heat is not Heat.STOPPED and bool(self._sr_s)

    def can_process(self, combination: Combination) -> bool:
        """Whether it does SR of that combination now."""
        return self.heat is not Heat.STOPPED and combination.name in self._sr_s

    @property
    def buffer_s(self) -> float:
        """Video in its viewer's buffer; a helper has none, and never waits."""
        if self.spec.helper is not None:
            return inf
        return self.viewer.buffer_s(self.env._now) if self.viewer is not None else 0.0

    @property
    def battery_j(self) -> float:
        """Energy left, at least 0."""
        self.meter.accrue(self.env._now)
        return max(self.spec.battery_share * self.spec.battery_j - self.meter.total_j, 0.0)

    @property
    def battery_share(self) -> float:
        """Energy left over that of a full battery; 1 of a helper."""
        if self.spec.helper is not None:
            return 1.0
        return self.battery_j / self.spec.battery_j

    @property
    def wwan_bps(self) -> float:
        """Predicted download rate."""
        return self._wwan_bps.mean

    @property
    def wwan_latency_s(self) -> float:
        """Predicted latency of a request."""
        return self._latency_s.mean

    def wwan_chunks_per_s(self, combination: Combination) -> float:
        """Chunks that its WWAN brings per second."""
        if not self.has_wwan:
            return 0.0
        return 1.0 / (self.wwan_latency_s + self._bits(combination) / self.wwan_bps)

    def wlan_chunks_per_s(self, combination: Combination) -> float:
        """Plain chunks that it could send per second."""
        others = [phone.index for phone in self.peers if phone.present and phone is not self]
        if not others:
            return inf
        return self.wlan.slowest_bps(self.index, others) / self._bits(combination)

    def sr_chunks_per_s(self, combination: Combination) -> float:
        """Chunks that it super-resolves per second."""
        if not combination.sr:
            return inf
        if not self.can_process(combination):
            return 0.0
        return self._sr_ratio.mean / self._sr_s[combination.name]

    def queued(self, stage: Stage) -> int:
        """Chunks that wait for or are in a stage."""
        return len(self.stages[stage])

    def assigned(self) -> int:
        """Chunks given to it that it has not finished."""
        return self.unfinished

    def remaining_s(self, stage: Stage) -> float:
        """Predicted time until a stage has nothing left."""
        server = self.stages[stage]
        left_s = max(server.ends_s - self.env._now, 0.0) if server.current is not None else 0.0
        if stage == Stage.DOWNLOAD:
            bps, latency_s = self.wwan_bps, self.wwan_latency_s
            if (current := self.download.current) is not None:  # what is known is when it began
                began_s = current.download_start_s
                left_s = max(began_s + latency_s + current.bits / bps - self.env._now, 0.0)
            return left_s + sum([latency_s + chunk.bits / bps for chunk in self.download.queue])
        if stage == Stage.SR:
            return left_s + sum(
                [1.0 / max(self.sr_chunks_per_s(task.chunk.combination), 1e-9) for task in self.sr.queue]
            )
        if stage == Stage.TRANSMIT:
            return left_s + sum([self.air_s(send) for send in self.transmit.queue])
        return left_s + len(server.queue) * (self._decode_s if stage == Stage.DECODE else self._encode_s)

    def _bits(self, combination: Combination) -> float:
        video = self._group.video
        return video.bitrates_bps[combination.level] * video.segment_s

    def air_s(self, send: Send) -> float:
        """Return the air time that a transmission needs."""
        return send.bits / self.wlan.slowest_bps(self.index, send.receivers)
