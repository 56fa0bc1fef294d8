"""The replicas of a service: which of them take requests, and which one serves a sequence."""

from __future__ import annotations

from collections.abc import Sequence as Items

from simulator.policies.registry import nonsense
from simulator.policies.routing import Routing
from simulator.serving.replica import Replica
from simulator.serving.sequence import Sequence

ANYWHERE = -1
"""Instead of the number of a replica: any that is up."""


class ReplicaPool:
    """Routes among the replicas that are up: neither broken nor closed.

    Parameters
    ----------
    routing
        Policy that picks one.
    """

    __slots__ = (
        "_broken",
        "_closed",
        "_gone",
        "_roomiest",
        "_routed",
        "_routing",
        "_unlike",
        "replicas",
        "up",
    )

    def __init__(self, routing: Routing) -> None:
        self.replicas: list[Replica] = []
        """All of the service, in the order of their numbers."""
        self._routing = routing
        self.up: Items[Replica] = ()
        """Those that are up, in the same order."""
        self._broken: set[int] = set()
        self._closed: set[int] = set()  # switched off, or on the way there or back
        self._gone: set[int] = set()  # broken, and will never be up again
        self._routed = 0
        self._unlike = False  # in the length of their KV caches
        self._roomiest: Replica | None = None

    def add(self, replica: Replica) -> None:
        """Let there be another replica, which is up."""
        size, roomiest = replica.kv.pool.total_blocks, self._roomiest
        if roomiest is None:
            self._roomiest = replica
        elif size != roomiest.kv.pool.total_blocks:
            self._unlike = True
            if size > roomiest.kv.pool.total_blocks:
                self._roomiest = replica
        self.replicas.append(replica)
        self._changed()

    def fits(self, sequence: Sequence) -> bool:
        """Whether there is a replica whose KV cache is as long as a sequence."""
        return self._roomiest is not None and self._roomiest.kv.fits_alone(sequence)

    def route(self, sequence: Sequence) -> int:
        """Return the number of the replica that serves a sequence, which `fits`; `ANYWHERE` where none is up.

        Raises
        ------
        PolicyError
            Where the routing policy decides nonsense.
        """
        up = self.up
        if self._unlike:
            up = tuple(it for it in up if it.kv.fits_alone(sequence))
        if len(up) == 1:
            choice = 0
        elif not up:
            return ANYWHERE
        else:
            choice = self._routing.choose(up, sequence, self._routed)
            if type(choice) is not int or choice not in range(len(up)):
                raise nonsense(
                    "routing", self._routing, f"chose replica {choice!r}; allowed: 0..{len(up) - 1}"
                )
        self._routed += 1
        up[choice].sent += 1
        return up[choice].index

    def fail(self, replica: Replica, returns: bool) -> None:
        """Route to others than `replica`, which is broken; `returns` says whether it will be repaired."""
        self._broken.add(replica.index)
        if not returns:
            self._gone.add(replica.index)
        self._changed()

    def repair(self, replica: Replica) -> None:
        """Let a replica be whole that was broken, and is empty; `Rescues.recover` gives it what waits."""
        self._broken.discard(replica.index)
        self._changed()

    def close(self, replica: Replica) -> None:
        """Route to others than `replica`: it is to be switched off."""
        self._closed.add(replica.index)
        self._changed()

    def open(self, replica: Replica) -> None:
        """Route to a replica again that was closed."""
        self._closed.discard(replica.index)
        self._changed()

    def _changed(self) -> None:
        self.up = tuple(
            it for it in self.replicas if it.index not in self._broken and it.index not in self._closed
        )
        for replica in self.replicas:
            replica.sent = 0

    def is_broken(self, index: int) -> bool:
        """Whether replica `index` is broken, or will be for ever."""
        return index in self._broken

    def is_closed(self, index: int) -> bool:
        """Whether replica `index` is switched off, or on the way there or back."""
        return index in self._closed

    @property
    def closed(self) -> list[Replica]:
        """Those that are switched off, or on the way there or back, and are not broken."""
        return [it for it in self.replicas if it.index in self._closed and it.index not in self._broken]

    def is_up(self, index: int) -> bool:
        """Whether replica `index` is up; for `ANYWHERE`, whether one is."""
        return bool(self.up) if index == ANYWHERE else index not in self._broken | self._closed

    def is_gone(self, index: int) -> bool:
        """Whether replica `index` will never be up again; for `ANYWHERE`, whether none will."""
        return index in self._gone or len(self._gone) == len(self.replicas)
