"""What becomes of the requests that were lost with a replica, and of those that come while none is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.policies.recovery import LostRequest, Recovery, Rescue
from simulator.policies.registry import nonsense
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ANYWHERE, ReplicaPool
from simulator.serving.sequence import GenerationSequence, Sequence

MOST_RETRIES = 1000
"""Rescues of one request: a policy that goes on for ever would keep a run from ending."""


@dataclass(slots=True)
class _Lost:
    """A request, or a generation of one, that was lost with a replica."""

    rescues: Rescues
    """Those of the replica's service: an answer is decided on where it was asked for, all its parts at once."""
    sequence: Sequence
    replica: int


class Rescues:
    """Who was lost, and who waits for a replica to be up.

    Generations of one answer stay together: where one of a service's is placed, the others follow (`Answer.wanted`).

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

    __slots__ = ("_give_up", "_lost", "_pool", "_recovery", "_retries", "_send", "_stranded", "again")

    def __init__(
        self,
        pool: ReplicaPool,
        recovery: Recovery,
        send: Callable[[Sequence, int], None],
        give_up: Callable[[Sequence], None],
    ) -> None:
        self.again: Rescues | None = None
        """Where requests that were lost here begin again; None: here."""
        self._pool = pool
        self._recovery = recovery
        self._send = send
        self._give_up = give_up
        self._lost: dict[Sequence, list[_Lost]] = {}  # by request, to be decided on
        self._stranded: list[tuple[Sequence, int]] = []  # who waits, and for which replica to be up
        self._retries: dict[Sequence, int] = {}

    @property
    def stranded(self) -> bool:
        """Whether anybody waits for a replica to be up."""
        return any(not self._stale(sequence) for sequence, _ in self._stranded)

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
        self._pool.fail(replica, returns)
        for sequence in lost:
            if sequence.handover is not None:  # its KV is safe where it was prefilled
                self._stranded.append((sequence, ANYWHERE))
                continue
            asked, request = self, sequence
            if isinstance(sequence, GenerationSequence):
                sequence.answer.lost(sequence)
                asked, request = sequence.answer.service.rescues, sequence.answer.request
            again = _Lost(self, sequence, replica.index)
            if self.again is not None:
                again = _Lost(self.again, sequence, ANYWHERE)
            asked._lost.setdefault(request, []).append(again)
        return held_tokens

    def recover(self) -> None:
        """Decide on what was lost and what waits, once all that fails or comes back at this instant has done so.

        Raises
        ------
        PolicyError
            Where the recovery policy decides nonsense.
        """
        lost, self._lost = self._lost, {}
        for request, parts in lost.items():
            self._rescue(request, parts)
        stranded, self._stranded = self._stranded, []
        for sequence, index in stranded:
            if not self._stale(sequence):
                self.resume(sequence, index)

    def _rescue(self, request: Sequence, lost: list[_Lost]) -> None:
        """Have the policy say what becomes of a request of which this was lost at one instant."""
        if _given_up(lost[0].sequence):
            self._give_up(lost[0].sequence)
            return
        retries = self._retries.get(request, 0)
        rescue = self._recovery.rescue(LostRequest(retries, sum(it.sequence.generated_tokens for it in lost)))
        if rescue is None:
            self._give_up(lost[0].sequence)
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
        self._retries[request] = retries + 1
        for it in lost:
            it.sequence.restart(rescue.keep_generated)
            if rescue.where == "any":
                it.replica = ANYWHERE
            if isinstance(it.sequence, GenerationSequence):
                it.sequence.answer.goes_on(it.sequence, it.replica)
        for it in lost:
            it.rescues.resume(it.sequence, it.replica)

    def resume(self, sequence: Sequence, index: int = ANYWHERE) -> None:
        """Send a sequence to replica `index` as soon as that is up; where it never will be, its request has failed.

        A generation goes where its answer wants it. Nobody waits for a replica that is switched off.
        """
        pool = self._pool
        if isinstance(sequence, GenerationSequence):
            if sequence.answer.failed:
                return
            index = sequence.answer.wanted(sequence)
        if pool.is_closed(index):
            index = ANYWHERE
        if pool.is_gone(index):
            self._give_up(sequence)
        elif not pool.is_up(index):
            self._stranded.append((sequence, index))
        else:
            self._send(sequence, pool.route(sequence) if index == ANYWHERE else index)

    def _stale(self, sequence: Sequence) -> bool:
        """Whether a sequence does not wait any more: its answer has failed, or its KV was lost meanwhile."""
        return _given_up(sequence) or (self.again is not None and sequence.handover is None)

    def take_retries(self, sequence: Sequence) -> int:
        """Return how often a request was rescued, and forget it: it has ended."""
        return self._retries.pop(sequence, 0)


def _given_up(sequence: Sequence) -> bool:
    """Whether a sequence is a generation of an answer that has failed."""
    return isinstance(sequence, GenerationSequence) and sequence.answer.failed
