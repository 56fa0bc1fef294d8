"""A transfer that needs several channels at once, such as a disk and the link to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.core.channel import Channel
from simulator.core.transfer import Transfer


class Tandem:
    """The same bytes on several channels side by side; what has passed all of them has arrived.

    Each channel is shared as usual, so that none is exceeded. A transfer that one channel holds back keeps its
    share of the others: they may go unused for a while, which a max-min fair allocation would avoid.

    It answers as a `Transfer` does.

    Parameters
    ----------
    channels
        The channels, at least one.
    n_bytes, operation_bytes
        As in `Channel.transfer`.
    on_done
        Called when the last part is done.
    """

    __slots__ = ("_on_done", "_open", "_parts")

    def __init__(
        self,
        channels: Sequence[Channel],
        n_bytes: float,
        operation_bytes: float,
        on_done: Callable[[Tandem], None],
    ) -> None:
        self._on_done = on_done
        self._open = len(channels)
        self._parts = [
            channel.transfer(n_bytes, operation_bytes=operation_bytes, on_done=self._part_done)
            for channel in channels
        ]

    def _part_done(self, _part: Transfer) -> None:
        self._open -= 1
        if not self._open:
            self._on_done(self)

    def operations_done(self) -> int:
        """Return how many whole operations have passed every channel."""
        return min(part.operations_done() for part in self._parts)

    def earliest(self, n_bytes: float) -> float:
        """Return a lower bound on the time at which `n_bytes` have arrived; see `Transfer.earliest`."""
        return max(part.earliest(n_bytes) for part in self._parts)

    def reach_s(self, n_bytes: float) -> float:
        """Return when `n_bytes` have arrived at the present rates; see `Transfer.reach_s`."""
        return max(part.reach_s(n_bytes) for part in self._parts)

    def shorten(self, n_bytes: float) -> None:
        """Make do with the first `n_bytes` bytes; see `Transfer.shorten`."""
        for part in self._parts:
            part.shorten(n_bytes)

    def cancel(self) -> float:
        """Stop all parts and return how many bytes have passed every channel."""
        return min(part.cancel() for part in self._parts)
