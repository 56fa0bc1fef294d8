"""A storage device at run time: channels for its transfers and an LRU store of KV prefix blocks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from devices.profiles import StorageProfile
from simulator.core import Channel, Environment, Tandem, Transfer

if TYPE_CHECKING:
    from simulator.serving.kv_tiers import KvTiers

Path = tuple[Channel, ...]
"""Channels that a transfer needs at once: the device's own, and the link's if there is one."""

Block = tuple[int, float]
"""A KV prefix block: its id, the service's namespace included, and its bytes."""

AnyTransfer = Transfer | Tandem
"""A transfer over a path of one channel, or of several."""


class StorageDevice:
    """A tier that several services may share.

    Parameters
    ----------
    env
        The simulation's environment.
    name
        Name in the scenario.
    profile
        What one unit of the device can do.
    count
        Units striped together, for their power.
    capacity_bytes
        Room for KV.
    readers, writers
        One path, or one per port where each GPU group has its own; a half-duplex device has the same channel in
        both.
    write_factor
        Channel work per written byte: above 1 where a half-duplex device writes more slowly than it reads.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        profile: StorageProfile,
        count: int,
        capacity_bytes: float,
        readers: list[Path],
        writers: list[Path],
        write_factor: float = 1.0,
    ) -> None:
        self.env = env
        self.name = name
        self.profile = profile
        self.count = count
        self.capacity_bytes = capacity_bytes
        self._readers = readers
        self._writers = writers
        self._write_factor = write_factor
        self.held: OrderedDict[int, float] = OrderedDict()
        """Bytes of every block in the store, least recently used first."""
        self.owners: dict[int, KvTiers] = {}
        """Stack of each service that keeps blocks here, by its namespace."""
        self.held_bytes = 0.0
        """Bytes of KV in the store."""
        self.read_bytes = 0.0
        """Bytes that transfers from the device have moved."""
        self.written_bytes = 0.0
        """Bytes that transfers to the device have moved."""
        self.failures = 0
        """How often it has lost all that it held."""
        self.down = False
        """Whether it has failed and is not repaired: it holds nothing and takes nothing."""
        ports = len(readers)
        self._open = [0] * ports  # transfers under way, by port
        self._since_s = [0.0] * ports
        self._busy_s = [0.0] * ports

    def read(
        self, port: int, n_bytes: float, operation_bytes: float, on_done: Callable[[], None]
    ) -> AnyTransfer:
        """Start a read of `n_bytes` in operations of `operation_bytes`; it can be stopped with `cancel`."""
        return self._start(self._readers, port, n_bytes, operation_bytes, on_done)

    def write(
        self, port: int, n_bytes: float, operation_bytes: float, on_done: Callable[[], None]
    ) -> AnyTransfer:
        """Start a write of `n_bytes` in operations of `operation_bytes`."""
        self.written_bytes += n_bytes
        if self.env.log is not None:
            self.env.log.add(self.env.now, "write", self.name, n_bytes)
        factor = self._write_factor
        return self._start(self._writers, port, n_bytes * factor, operation_bytes * factor, on_done)

    def _start(
        self,
        paths: list[Path],
        port: int,
        n_bytes: float,
        operation_bytes: float,
        on_done: Callable[[], None],
    ) -> AnyTransfer:
        port %= len(paths)
        if not self._open[port]:
            self._since_s[port] = self.env.now
        self._open[port] += 1

        def done(_transfer: AnyTransfer) -> None:
            self._ended(port)
            on_done()

        path = paths[port]
        if len(path) == 1:
            return path[0].transfer(n_bytes, operation_bytes=operation_bytes, on_done=done)
        return Tandem(path, n_bytes, operation_bytes, done)

    def cancel(self, port: int, transfer: AnyTransfer) -> None:
        """Stop a read before its end."""
        transfer.cancel()
        self._ended(port % len(self._readers))

    def _ended(self, port: int) -> None:
        self._open[port] -= 1
        if not self._open[port]:
            self._busy_s[port] += self.env.now - self._since_s[port]

    def estimate_s(
        self, port: int, n_bytes: float, operation_bytes: float, idle: bool = False, after_s: float = 0.0
    ) -> float:
        """Return how long a new read would take; see `Channel.estimate_s`."""
        path = self._readers[port % len(self._readers)]
        return max(channel.estimate_s(n_bytes, operation_bytes, idle, after_s) for channel in path)

    def touch(self, blocks: Iterable[int]) -> None:
        """Mark blocks as just used, those that are held, in their order."""
        held = self.held
        for block in blocks:
            if block in held:
                held.move_to_end(block)

    def insert(self, blocks: Iterable[Block]) -> list[Block]:
        """Store blocks one after the other; return those that they drove out, least recently used first."""
        held, capacity_bytes = self.held, self.capacity_bytes
        held_bytes = self.held_bytes
        evicted = []
        for block, size in blocks:
            if block in held:
                held.move_to_end(block)
            elif size > capacity_bytes:
                evicted.append((block, size))
            else:
                held[block] = size
                held_bytes += size
                while held_bytes > capacity_bytes:
                    oldest = held.popitem(last=False)
                    held_bytes -= oldest[1]
                    evicted.append(oldest)
        self.held_bytes = held_bytes
        return evicted

    def fail(self) -> None:
        """Lose all that is held, and what is being written; whoever reads must be told by the caller."""
        self.held.clear()
        self.held_bytes = 0.0
        self.failures += 1
        self.down = True

    def repair(self) -> None:
        """Be there again, empty."""
        self.down = False

    def busy_s(self) -> float:
        """Time with at least one transfer under way, reading or writing; the mean over ports, in s."""
        now = self.env.now
        running = sum(now - since for since, n in zip(self._since_s, self._open, strict=True) if n)
        return (sum(self._busy_s) + running) / len(self._busy_s)

    def energy_j(self) -> float:
        """Return the energy up to now: idle power always, active power on top while transfers run, in J."""
        profile = self.profile
        extra_w = profile.active_w - profile.idle_w
        return self.count * (profile.idle_w * self.env.now + extra_w * self.busy_s())
