"""One participant of a group, as plain data: what it can do, what it draws, and when it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf

from simulator.streaming.group.shared import SharedLink
from simulator.streaming.group.thermal import Thermal
from simulator.streaming.network_trace import NetworkTrace


@dataclass(frozen=True, slots=True)
class PhonePower:
    """Power of each component, none of it counted twice: every figure is on top of the others."""

    rest_w: float
    """The awake phone without its screen."""
    display_w: float
    """The lit screen."""
    cellular_w: float
    """The cellular radio while it receives, on top of the awake phone."""
    cellular_j_per_byte: float
    """Energy of each byte received, on top of that."""
    cellular_tail_w: float
    """The cellular radio after a transfer, until it sleeps."""
    cellular_tail_s: float
    """How long that lasts."""
    wlan_receive_w: float
    """The Wi-Fi radio during air time in which it receives."""
    wlan_send_w: float
    """The same where it sends."""
    wlan_awake_w: float
    """The Wi-Fi radio without traffic: after a transfer, and always where the phone runs the hotspot."""
    wlan_tail_s: float
    """How long it stays awake after a transfer."""
    decode_w: float
    """Decoding as fast as the video plays: energy per second of video."""
    encode_w: float
    """Encoding, likewise."""
    sr_w: float
    """SR with its decoding and encoding; those two are taken off for the component ``sr``."""
    cellular_send_j_per_byte: float = 0.0
    """Energy of each byte sent over the cellular radio, on top of what it draws while active."""


NO_POWER = PhonePower(*[0.0] * len(fields(PhonePower)))
"""Of a participant whose energy is counted elsewhere."""


@dataclass(frozen=True, slots=True)
class Helper:
    """What makes a participant a helper: the GPU of an edge server, which watches nothing and has no battery.

    Its SR of a chunk is one job on a GPU that others may use too, begun once the chunk is decoded.
    """

    gpu: str
    """GPU device that it is a unit of."""
    unit: int
    """Number of that unit."""
    sr_w: Mapping[str, float]
    """Power of SR above that of the idle GPU, by combination."""
    access: SharedLink | None = None
    """Link over which the group's controller reaches it, and through it the others; None: it is in their network."""


@dataclass(frozen=True, slots=True)
class GroupPhone:
    """A phone, or a helper, and its part in a session."""

    name: str
    """Unique in its group."""
    wwan: NetworkTrace | SharedLink | None
    """Its own cellular network, or the link that it shares; None: it has none and lives on the others."""
    sr_frames_per_s: Mapping[str, float]
    """SR rate of the cool phone by combination, such as ``180p-720p``; one that is missing it cannot do."""
    decode_s_per_s: float
    """Time to decode one second of video."""
    encode_s_per_s: float
    """Time to encode one second of video."""
    power: PhonePower
    """What it draws."""
    battery_j: float
    """Energy of a full battery; infinity: a helper's."""
    battery_share: float = 1.0
    """How full it is at the start."""
    thermal: Thermal = field(default_factory=Thermal)
    """How it heats up."""
    position_m: tuple[float, float] = (0.0, 0.0)
    """Where it is at the start."""
    moves: tuple[tuple[float, float, float], ...] = ()
    """Later positions: (time in s, x in m, y in m), rising."""
    joins_s: float = 0.0
    """When it begins to look for the group; at 0 it is a member from the start."""
    leaves_s: float = inf
    """When it leaves for good."""
    away_s: tuple[tuple[float, float], ...] = ()
    """Times out of range: (from, until) in s, rising. Its viewer plays on what is in the buffer."""
    failed_s: tuple[tuple[float, float], ...] = ()
    """Times out of order, likewise, which may overlap; one without end switches the phone off for good."""
    slow_sr: tuple[tuple[float, float, float], ...] = ()
    """Times of slow super-resolution: (from, until, share of its speed that is left); shares multiply."""
    helper: Helper | None = None
    """What makes it a helper; None: it is a phone, with a viewer."""

    def starting_at(self, start_s: float) -> GroupPhone:
        """Return the phone with all times, its network's too, later by `start_s`."""
        return replace(
            self,
            wwan=self.wwan.starting_at(-start_s) if isinstance(self.wwan, NetworkTrace) else self.wwan,
            moves=tuple((start_s + at_s, x_m, y_m) for at_s, x_m, y_m in self.moves),
            joins_s=start_s + self.joins_s,
            leaves_s=start_s + self.leaves_s,
            away_s=tuple((start_s + from_s, start_s + until_s) for from_s, until_s in self.away_s),
            failed_s=tuple((start_s + from_s, start_s + until_s) for from_s, until_s in self.failed_s),
            slow_sr=tuple((start_s + from_s, start_s + until_s, it) for from_s, until_s, it in self.slow_sr),
        )
