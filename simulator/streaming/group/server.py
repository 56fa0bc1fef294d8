"""A stage of a phone: what it works on, and what waits."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

from simulator.core import Call, Job, Transfer
from simulator.streaming.group.chunks import Chunk, Send, Task

_order = attrgetter("index")
if TYPE_CHECKING:
    from simulator.streaming.group.relay import Relay

Item = TypeVar("Item", Chunk, Task, Send)


class Server(Generic[Item]):
    """A stage: what it works on, and what waits, in the order of the video."""

    __slots__ = ("call", "current", "ends_s", "queue")

    def __init__(self) -> None:
        self.queue: list[Item] = []
        self.current: Item | None = None
        self.call: Call | Transfer | Job | Relay | None = None
        self.ends_s = 0.0
        """When the current work ends, as far as that is known."""

    def put(self, item: Item) -> None:
        """Queue an item."""
        insort(self.queue, item, key=_order)

    def stop(self) -> None:
        """Leave the current work unfinished."""
        if self.call is not None:
            self.call.cancel()
        self.current = self.call = None

    def items(self) -> list[Item]:
        """Return the current item, if any, and those that wait."""
        items = list(self.queue)
        if self.current is not None:
            items.insert(0, self.current)
        return items

    def __len__(self) -> int:
        return len(self.queue) + (self.current is not None)
