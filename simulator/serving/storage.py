"""A storage device at run time: channels for its transfers and an LRU store of KV prefix blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from devices.profiles import StorageProfile
from simulator.core import Channel, Environment, Transfer


class StorageDevice:
    """A tier that several services may share.

    Parameters
    ----------
    env
        The simulation's environment.
    name
        Name in the scenario.
    profile
        What the device can do.
    capacity_bytes
        Room for KV.
    read_channels, write_channels
        One channel, or one per port where each GPU group has its own path; the same objects for both
        directions where the device is half duplex.
    write_factor
        Channel work per written byte: above 1 where a half-duplex device writes more slowly than it reads.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        profile: StorageProfile,
        capacity_bytes: float,
        read_channels: list[Channel],
        write_channels: list[Channel],
        write_factor: float = 1.0,
    ) -> None:
        self.env = env
        self.name = name
        self.profile = profile
        self.capacity_bytes = capacity_bytes
        self._readers = read_channels
        self._writers = write_channels
        self._write_factor = write_factor
        self._held: OrderedDict[int, float] = OrderedDict()
        self.held_bytes = 0.0
        """Bytes of KV in the store."""
        self.read_bytes = 0.0
        """Bytes that transfers from the device have moved."""
        self.written_bytes = 0.0
        """Bytes that transfers to the device have moved."""

    def __contains__(self, block: int) -> bool:
        return block in self._held

    def __len__(self) -> int:
        return len(self._held)

    def reader(self, port: int) -> Channel:
        """Return the channel that reads of GPU group `port` use."""
        return self._readers[port % len(self._readers)]

    def read(
        self, port: int, n_bytes: float, operation_bytes: float, on_done: Callable[[Transfer], None]
    ) -> Transfer:
        """Start a read of `n_bytes` in operations of `operation_bytes`."""
        return self.reader(port).transfer(n_bytes, operation_bytes=operation_bytes, on_done=on_done)

    def write(
        self, port: int, n_bytes: float, operation_bytes: float, on_done: Callable[[Transfer], None]
    ) -> Transfer:
        """Start a write of `n_bytes` in operations of `operation_bytes`."""
        channel = self._writers[port % len(self._writers)]
        self.written_bytes += n_bytes
        factor = self._write_factor
        return channel.transfer(n_bytes * factor, operation_bytes=operation_bytes * factor, on_done=on_done)

    def touch(self, block: int) -> None:
        """Mark a block as just used."""
        self._held.move_to_end(block)

    def insert(self, block: int, n_bytes: float) -> list[tuple[int, float]]:
        """Store a block; return the (block, bytes) pairs that it drove out, least recently used first."""
        if block in self._held:
            self._held.move_to_end(block)
            return []
        if n_bytes > self.capacity_bytes:
            return [(block, n_bytes)]
        self._held[block] = n_bytes
        self.held_bytes += n_bytes
        evicted = []
        while self.held_bytes > self.capacity_bytes:
            oldest, size = self._held.popitem(last=False)
            self.held_bytes -= size
            evicted.append((oldest, size))
        return evicted

    def busy_s(self) -> float:
        """Time during which at least one transfer ran; averaged over ports where there are several, in s."""
        channels = {id(channel): channel for channel in self._readers + self._writers}
        ports = max(len(self._readers), len(self._writers))
        return sum(channel.busy_s for channel in channels.values()) / ports

    def energy_j(self) -> float:
        """Return the energy up to now: idle power always, active power on top while transfers run, in J."""
        now = self.env.now
        profile = self.profile
        busy = min(self.busy_s(), now)
        return profile.idle_w * now + (profile.active_w - profile.idle_w) * busy
