"""What becomes of the requests that were lost with a replica, and of those that come while none is up."""

from __future__ import annotations

from collections.abc import Callable

from simulator.policies.recovery import LostRequest, Recovery, Rescue
from simulator.policies.registry import nonsense
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ANYWHERE, ReplicaPool
from simulator.serving.sequence import Sequence

MOST_RETRIES = 1000
"""Rescues of one request: a policy that goes on for ever would keep a run from ending."""


class Rescues:
    """Who was lost, and who waits for a replica to be up.

    Parameters
    ----------
    pool
        The service's replicas.
    recovery
        Policy for requests that were lost.
    send
        Called with a sequence and the number of the replica, which is up, that serves it from now on.
    give_up
        Called with a sequence that nobody will serve.
    """

    __slots__ = ("_give_up", "_lost", "_pool", "_recovery", "_retries", "_send", "_stranded")

    def __init__(
        self,
        pool: ReplicaPool,
        recovery: Recovery,
        send: Callable[[Sequence, int], None],
        give_up: Callable[[Sequence], None],
    ) -> None:
        self._pool = pool
        self._recovery = recovery
        self._send = send
        self._give_up = give_up
        self._lost: list[tuple[Sequence, int]] = []  # with which replica, to be decided on
        self._stranded: list[tuple[Sequence, int]] = []  # who waits, and for which replica to be up
        self._retries: dict[Sequence, int] = {}

    @property
    def stranded(self) -> bool:
        """Whether anybody waits for a replica to be up."""
        return bool(self._stranded)

    def fail(self, replica: Replica, returns: bool) -> int:
        """Let a replica be down from now on; `recover` decides on who was lost with it.

        Parameters
        ----------
        replica
            One of the pool's; it may be down already.
        returns
            Whether it will be up again.

        Returns
        -------
        int
            Tokens of KV that requests under way have lost.
        """
        lost, held_tokens = replica.fail()
        self._pool.take_down(replica, returns)
        self._lost += [(sequence, replica.index) for sequence in lost]
        return held_tokens

    def recover(self) -> None:
        """Decide on what was lost and what waits, once all that fails or comes back at this instant has done so.

        Raises
        ------
        PolicyError
            Where the recovery policy decides nonsense.
        """
        lost, self._lost = self._lost, []
        for sequence, index in lost:
            self._rescue(sequence, index)
        stranded, self._stranded = self._stranded, []
        for sequence, index in stranded:
            self.resume(sequence, index)

    def _rescue(self, sequence: Sequence, index: int) -> None:
        """Have the policy say what becomes of a request that was lost with replica `index`."""
        retries = self._retries.get(sequence, 0)
        rescue = self._recovery.rescue(LostRequest(retries, sequence.generated_tokens))
        if rescue is None:
            self._give_up(sequence)
            return
        if (
            not isinstance(rescue, Rescue)
            or rescue.where not in ("same", "any")
            or type(rescue.keep_generated) is not bool
        ):
            what = (
                f"decided {rescue!r}; allowed: None, or a Rescue whose `where` is 'same' or 'any' and whose "
                "`keep_generated` is a truth value"
            )
            raise nonsense("recovery", self._recovery, what)
        if retries >= MOST_RETRIES:
            what = f"has rescued one request {retries} times; allowed: at most {MOST_RETRIES}"
            raise nonsense("recovery", self._recovery, what)
        self._retries[sequence] = retries + 1
        sequence.restart(rescue.keep_generated)
        self.resume(sequence, index if rescue.where == "same" else ANYWHERE)

    def resume(self, sequence: Sequence, index: int) -> None:
        """Send a request to replica `index` as soon as that is up; where it never will be, the request has failed."""
        pool = self._pool
        if pool.is_gone(index):
            self._give_up(sequence)
        elif not pool.is_up(index):
            self._stranded.append((sequence, index))
        else:
            self._send(sequence, pool.route(sequence) if index == ANYWHERE else index)

    def take_retries(self, sequence: Sequence) -> int:
        """Return how often a request was rescued, and forget it: it has ended."""
        return self._retries.pop(sequence, 0)
