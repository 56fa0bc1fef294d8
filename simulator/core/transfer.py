"""One transfer on a shared channel: how far it is, in bytes and in whole operations."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, ulp
from typing import TYPE_CHECKING

from simpy.events import Event

from simulator.core.environment import Call
from simulator.core.errors import CoreError

if TYPE_CHECKING:
    from simulator.core.channel import Channel


class Transfer:
    """Bytes on their way through a `Channel`; made by `Channel.transfer`.

    The bytes go in operations of ``operation_bytes`` (the last one may be smaller). Each costs its bytes plus
    a fixed overhead, all counted in bytes: the *work*. Progress within an operation is spread evenly over
    both, so that k operations have moved k times ``operation_bytes``, exactly.
    """

    __slots__ = (
        "_active",
        "_call",
        "_event",
        "_join_s",
        "_moved_bytes",
        "_tag",
        "_work",
        "bytes",
        "cancelled",
        "channel",
        "done",
        "ended_s",
        "on_done",
        "operation_bytes",
        "operations",
        "weight",
    )

    def __init__(
        self,
        channel: Channel,
        n_bytes: float,
        operation_bytes: float | None,
        weight: float,
        on_done: Callable[[Transfer], None] | None,
    ) -> None:
        if not 0.0 <= n_bytes < inf:
            raise CoreError(f"channel {channel.name!r}: cannot transfer {n_bytes!r} bytes")
        if not 0.0 < weight < inf:
            raise CoreError(f"channel {channel.name!r}: a weight must be above 0 and finite, not {weight!r}")
        if operation_bytes is None:
            operation_bytes = n_bytes
            operations = 1 if n_bytes else 0
        elif not 0.0 < operation_bytes < inf:
            raise CoreError(
                f"channel {channel.name!r}: cannot transfer in operations of {operation_bytes!r} bytes"
            )
        else:
            operations = operations_of(n_bytes, operation_bytes)
        self.channel = channel
        """The channel that carries it."""
        self.bytes = n_bytes
        """All its bytes."""
        self.operation_bytes = operation_bytes
        """Bytes of each operation but the last."""
        self.operations = operations
        """Number of operations."""
        self.weight = weight
        """Share of the channel, relative to the weights of the others."""
        self.on_done = on_done
        """Called with this transfer when it is done."""
        self.done = False
        """Whether all bytes have arrived."""
        self.cancelled = False
        """Whether it was cancelled before that."""
        self.ended_s: float | None = None
        """When it was done or cancelled."""
        self._work = n_bytes + operations * channel.operation_overhead_bytes
        self._active = False  # past the latency and not yet ended
        self._tag = 0.0  # value of the channel's virtual time at which it is done
        self._moved_bytes = 0.0  # once ended
        self._join_s = channel.env._now + channel.latency_s
        self._call: Call | None = None
        self._event: Event | None = None

    @property
    def event(self) -> Event:
        """A SimPy event that succeeds, with this transfer as value, when it is done or cancelled."""
        if self._event is None:
            self._event = Event(self.channel.env)
            if self.ended_s is not None:
                self._event.succeed(self)
        return self._event

    def progress_bytes(self) -> float:
        """Return how many bytes have arrived by now.

        Within an operation, bytes and overhead progress in proportion.
        """
        return self._moved_bytes if self.ended_s is not None else self._bytes_of(self._progress())

    def operations_done(self) -> int:
        """Return how many whole operations have completed by now.

        One that completes at this instant counts, also where the last bits of time say that a few bytes of it
        are missing.
        """
        if self.done:
            return self.operations
        if not self._active and not self.cancelled:
            return 0
        work = self._work_of(self._moved_bytes) if self.cancelled else self._progress()
        work += self._slack()
        if work >= self._work:
            return self.operations
        return min(
            int(work / (self.operation_bytes + self.channel.operation_overhead_bytes)), self.operations - 1
        )

    def earliest(self, n_bytes: float) -> float:
        """Return a lower bound on the time at which `progress_bytes` reaches `n_bytes`.

        It is reached then if the transfer has the whole channel to itself from now on; nobody else's arrival
        or departure can bring it forward. Where the bytes have arrived already, it is now.

        Raises
        ------
        CoreError
            Where that never happens: more bytes than the transfer has, or a cancelled transfer.
        """
        now = self.channel.env._now
        if n_bytes > self.bytes or (self.cancelled and n_bytes > self._moved_bytes):
            raise CoreError(
                f"a transfer of {self.bytes!r} bytes (cancelled: {self.cancelled}) never has {n_bytes!r}"
            )
        if self.ended_s is not None or n_bytes <= 0.0:
            return now
        if n_bytes == self.bytes and self._active and self.channel.active == 1:
            return self.predicted_end_s()  # the very float at which it will be done
        work = self._work_of(n_bytes) - self._progress()
        if self._active and work <= self._slack():
            return now
        return self.channel.bandwidth.time_for(max(now, self._join_s), work)

    def predicted_end_s(self) -> float:
        """Return when it will be done if no other transfer joins the channel and none is cancelled.

        That the present ones leave as they finish is taken into account. Others that are still in their
        latency are not. Once it has ended, this is when it did. O(active transfers).
        """
        return self.ended_s if self.ended_s is not None else self.channel.predict_end_s(self)

    def reach_s(self, n_bytes: float) -> float:
        """Return when `progress_bytes` reaches `n_bytes` if the transfers on the channel stay as they are.

        Unlike `predicted_end_s` it does not look ahead to their ends: an estimate, as a system under way
        would make it from the present rate.
        """
        if self.ended_s is not None:
            return self.ended_s
        return self.channel.reach_s(self, max(0.0, self._work_of(n_bytes) - self._progress()))

    def shorten(self, n_bytes: float) -> None:
        """Make do with the first `n_bytes` bytes.

        Where they have arrived already, what has arrived is all, and it is done at once: `on_done` is called
        later in this instant. Without effect where it has ended or has no more bytes than that.
        """
        if self.ended_s is not None or n_bytes >= self.bytes:
            return
        progress = self._progress()
        arrived = self._bytes_of(progress)
        operations = operations_of(n_bytes, self.operation_bytes)
        work = n_bytes + operations * self.channel.operation_overhead_bytes
        if n_bytes <= arrived or (self._active and work - progress <= self._slack()):
            operations = max(operations, self.operations_done())
            n_bytes, work = max(n_bytes, arrived), progress
        self.bytes, self.operations = n_bytes, operations
        self.channel.retag(self, work)

    def cancel(self) -> float:
        """Stop it and return how many bytes have arrived; it leaves the channel to the others at once.

        `on_done` will not be called. Without effect where it has ended.
        """
        if self.ended_s is None:
            self.channel.remove(self)
        return self._moved_bytes

    def _progress(self) -> float:
        """Work done by now, while not ended."""
        if not self._active:
            return 0.0
        work = self._work
        left = (self._tag - self.channel.virtual_now()) * self.weight
        return work if left <= 0.0 else 0.0 if left >= work else work - left

    def _slack(self) -> float:
        """Work that the rounding of time and of a sum of progress may hide."""
        channel = self.channel
        return 16.0 * ulp(channel.env._now) * channel.bandwidth.peak_bytes_per_s + 1e-14 * self._work

    def _bytes_of(self, work: float) -> float:
        """Convert work to bytes: in proportion within an operation."""
        overhead = self.channel.operation_overhead_bytes
        if not overhead:
            return work
        full = self.operation_bytes
        before = (self.operations - 1) * (full + overhead)
        if work <= before:
            return work * (full / (full + overhead))
        last = self.bytes - (self.operations - 1) * full
        return min(self.bytes - last + (work - before) * (last / (last + overhead)), self.bytes)

    def _work_of(self, n_bytes: float) -> float:
        """Convert bytes to work: the inverse of `_bytes_of`."""
        overhead = self.channel.operation_overhead_bytes
        if not overhead:
            return n_bytes
        full = self.operation_bytes
        before = (self.operations - 1) * full
        if n_bytes <= before:
            return n_bytes * ((full + overhead) / full)
        last = self.bytes - before
        return min(self._work - (last + overhead) * ((self.bytes - n_bytes) / last), self._work)


def operations_of(n_bytes: float, operation_bytes: float) -> int:
    """Return how many operations `n_bytes` take.

    A quotient that is whole but for rounding must not leave one more operation of next to no bytes.
    """
    return ceil(n_bytes / operation_bytes * (1.0 - 1e-13))
