"""The replicas of a service: which of them are up, and which one serves a sequence."""

from __future__ import annotations

from simulator.policies.registry import nonsense
from simulator.policies.routing import Routing
from simulator.serving.replica import Replica
from simulator.serving.sequence import Sequence

ANYWHERE = -1
"""Instead of the number of a replica: any that is up."""


class ReplicaPool:
    """Routes among the replicas that are up.

    Parameters
    ----------
    routing
        Policy that picks one.
    """

    __slots__ = ("_down", "_gone", "_routed", "_routing", "replicas", "up")

    def __init__(self, routing: Routing) -> None:
        self.replicas: list[Replica] = []
        """All of the service, each at the place that is its `index`."""
        self._routing = routing
        self.up: tuple[Replica, ...] = ()
        """Those that are up, in the same order: what the policy gets to see."""
        self._down: set[int] = set()  # numbers of the others
        self._gone: set[int] = set()  # numbers of those that will never be up again
        self._routed = 0

    def add(self, replica: Replica) -> None:
        """Take a further replica, which is up."""
        self.replicas.append(replica)
        self.up = (*self.up, replica)

    def route(self, sequence: Sequence) -> int:
        """Return the number of the replica that serves a sequence; `ANYWHERE` where none is up.

        Raises
        ------
        PolicyError
            Where the routing policy decides nonsense.
        """
        up = self.up
        if len(up) == 1:
            choice = 0
        elif not up:
            return ANYWHERE
        else:
            choice = self._routing.choose(up, sequence.hash_ids, self._routed)
            if type(choice) is not int or choice not in range(len(up)):
                raise nonsense(
                    "routing", self._routing, f"chose replica {choice!r}; allowed: 0..{len(up) - 1}"
                )
        self._routed += 1
        return up[choice].index

    def take_down(self, replica: Replica, returns: bool) -> None:
        """Route to others than `replica` from now on; `returns` says whether it will be up again."""
        self._down.add(replica.index)
        self._refresh()
        if not returns:
            self._gone.add(replica.index)

    def bring_up(self, replica: Replica) -> None:
        """Route to a replica again that was down, and is empty; `Rescues.recover` gives it what waits."""
        self._down.remove(replica.index)
        self._refresh()

    def _refresh(self) -> None:
        self.up = tuple(it for it in self.replicas if it.index not in self._down)

    def is_up(self, index: int) -> bool:
        """Whether replica `index` is up; for `ANYWHERE`, whether one is."""
        return bool(self.up) if index == ANYWHERE else index not in self._down

    def is_gone(self, index: int) -> bool:
        """Whether replica `index` will never be up again; for `ANYWHERE`, whether none will."""
        return index in self._gone or len(self._gone) == len(self.replicas)
