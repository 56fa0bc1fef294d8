"""The network among the phones: one channel whose air time all transfers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot, log

from simulator.core import Channel, ConstantBandwidth, Environment, Transfer


@dataclass(frozen=True, slots=True)
class WlanProfile:
    """A wireless network: rate by distance, and what it takes to become a member.

    Between `near_m` and `edge_m` the rate falls as a power of the distance through both ends (assumed); beyond, there
    is none. Sources of the defaults: Wi-Fi Direct 320 Mbit/s within 20 m, falling to 0.1 at 300 m; discovery 0.4 to
    1.5 s; connecting up to 6 s (half of it assumed).
    """

    near_bps: float = 320e6
    """Rate within `near_m`, in bits per second."""
    near_m: float = 20.0
    """Up to here the rate is full."""
    edge_bps: float = 0.1e6
    """Rate at `edge_m`."""
    edge_m: float = 300.0
    """Range."""
    latency_s: float = 0.003
    """Access to the channel, per transfer; it does not occupy the air."""
    discovery_s: float = 1.0
    """Time in which a phone that joins finds the group."""
    connect_s: float = 3.0
    """Time to connect after that."""

    def rate_bps(self, distance_m: float) -> float:
        """Return the rate at a distance, in bits per second; 0 out of range."""
        if distance_m <= self.near_m:
            return self.near_bps
        if distance_m > self.edge_m:
            return 0.0
        exponent = log(self.near_bps / self.edge_bps) / log(self.edge_m / self.near_m)
        return float(self.near_bps * (distance_m / self.near_m) ** -exponent)


WIFI_DIRECT = WlanProfile()
"""Wi-Fi Direct (device to device)."""

HOTSPOT = WlanProfile(near_bps=860e6)
"""A phone's hotspot: about 860 Mbit/s near it (OASIS); the fall with distance as for Wi-Fi Direct (assumed)."""


class Wlan:
    """The air time of a session.

    A transfer needs ``bits / rate`` seconds of it; those under way share it equally (processor sharing), so that
    together they never take more than there is. A broadcast is one transmission at the rate of its slowest receiver.
    Two phones that do not reach each other go through the controller, which costs the air time of both hops (and is
    booked to the two, not to the controller). A participant that is `remote` is reached over a link by the controller,
    where that has a cellular radio, and by the others through it (`Relay`).
    """

    def __init__(
        self,
        env: Environment,
        profile: WlanProfile,
        positions_m: Sequence[tuple[float, float]],
        controller: int,
        remote: Mapping[int, tuple[Channel, Channel]] | None = None,
        cellular: Sequence[bool] = (),
    ) -> None:
        self.profile = profile
        self.remote = {} if remote is None else remote
        """Channels of the links to participants behind one, from them and to them, by index."""
        self.controller = controller
        """Who runs the hotspot."""
        self._cellular = cellular  # by index: who has such a radio
        self.channel = Channel(env, ConstantBandwidth(1.0), profile.latency_s, name="wlan air time")
        self._positions_m = list(positions_m)
        self._direct_bps: list[list[float]] = []
        self._rates_bps: list[list[float]] = []
        self._measure(controller)

    def move(self, phone: int, position_m: tuple[float, float], controller: int) -> None:
        """Put a phone elsewhere; transfers under way keep their rate."""
        self._positions_m[phone] = position_m
        self._measure(controller)

    def _measure(self, controller: int) -> None:
        direct = [
            [self.profile.rate_bps(hypot(xa - xb, ya - yb)) for xb, yb in self._positions_m]
            for xa, ya in self._positions_m
        ]
        self.controller = controller
        for index, (down, up) in self.remote.items():
            reached = self._cellular[controller]
            for other, row in enumerate(direct):
                here = reached and other == controller
                row[index] = 8.0 * up.bandwidth.mean_bytes_per_s if here else 0.0
                direct[index][other] = 8.0 * down.bandwidth.mean_bytes_per_s if here else 0.0
        self._direct_bps = direct
        to_controller = direct[controller]
        self._rates_bps = [
            [rate or _two_hops(row[controller], to_controller[b]) for b, rate in enumerate(row)]
            for row in direct
        ]

    def handed_over(self, controller: int) -> None:
        """Have another controller."""
        self._measure(controller)

    def in_range(self, phone: int, other: int) -> bool:
        """Whether two phones reach each other without a third."""
        return self._direct_bps[phone][other] > 0.0

    def rate_bps(self, sender: int, receiver: int) -> float:
        """Return the rate between two phones with the air to itself; 0 out of range."""
        return self._rates_bps[sender][receiver]

    def slowest_bps(self, sender: int, receivers: Sequence[int]) -> float:
        """Return the rate of a transmission that all receivers can follow."""
        rates = self._rates_bps[sender]
        return min([rates[receiver] for receiver in receivers])

    def send(self, air_s: float, on_done: Callable[[Transfer], None]) -> Transfer:
        """Start a transfer that needs `air_s` of the air."""
        return self.channel.transfer(air_s, on_done=on_done)


def _two_hops(first_bps: float, second_bps: float) -> float:
    """Rate through a third phone."""
    return 1.0 / (1.0 / first_bps + 1.0 / second_bps) if first_bps and second_bps else 0.0
