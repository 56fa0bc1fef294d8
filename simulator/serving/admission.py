"""Who waits before a replica's batch: who enters it when there is room, and who leaves it when there is none."""

from __future__ import annotations

from collections import deque

from simulator.core import Environment
from simulator.policies.queueing import Queueing
from simulator.policies.registry import nonsense
from simulator.serving.batch import Batch
from simulator.serving.kv_manager import Admission, KvManager
from simulator.serving.loader import Loader
from simulator.serving.sequence import Sequence


class AdmissionQueue:
    """Those who wait, in the order in which they will be admitted.

    Parameters
    ----------
    env
        The simulation's environment.
    batch
        Where they are admitted to.
    kv
        KV cache of the replica.
    loader
        Starts the load of who is admitted, if it has one.
    queueing
        Policy that says in which order.
    max_sequences
        Most sequences admitted at a time.
    """

    __slots__ = (
        "_batch",
        "_env",
        "_kv",
        "_loader",
        "_queueing",
        "_refused",
        "max_sequences",
        "memory_full",
        "waiting",
        "waiting_tokens",
    )

    def __init__(
        self,
        env: Environment,
        batch: Batch,
        kv: KvManager,
        loader: Loader,
        queueing: Queueing,
        max_sequences: int,
    ) -> None:
        self._env = env
        self._batch = batch
        self._kv = kv
        self._loader = loader
        self._queueing = queueing
        self.max_sequences = max_sequences
        self.waiting: deque[Sequence] = deque()
        """The next one first."""
        self.waiting_tokens = 0
        """Tokens that they have to prefill, what may be resident or stored included."""
        self.memory_full = False
        """The next one found no memory, and nothing was freed since."""
        self._refused: Sequence | None = None  # the next one, which had nothing to load and found no budget

    def put(self, sequence: Sequence) -> None:
        """Put a sequence behind all that have its key or a smaller one, a generation then before what it may pass.

        Raises
        ------
        PolicyError
            Where the queueing policy decides nonsense.
        """
        waiting = self.waiting
        key = sequence.queue_key = self._key(sequence)
        place = len(waiting)
        while place and waiting[place - 1].queue_key > key:
            place -= 1
        if not place and waiting:
            self.memory_full = False  # it is the next one now, and may be smaller
        if sequence.rank is not None:
            while place:
                other = waiting[place - 1]
                passed = sequence.passes_requests if other.rank is None else other.rank > sequence.rank
                if (
                    not passed or other.admitted_s >= 0.0 or other.queue_key < key
                ):  # what was preempted comes first
                    break
                place -= 1
        waiting.insert(place, sequence)
        self.waiting_tokens += _unfilled_tokens(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that will not be served here."""
        self.waiting.remove(sequence)
        self.waiting_tokens -= _unfilled_tokens(sequence)
        self.memory_full = False  # another one may be the next

    def _key(self, sequence: Sequence) -> float:
        key = self._queueing.key(sequence.request)
        if not isinstance(key, int | float) or key != key:  # noqa: PLR0124 (NaN)
            raise nonsense("queueing", self._queueing, f"decided the key {key!r}; allowed: numbers")
        return float(key)

    def admit(self, left: int, steps: int) -> None:
        """Admit in order while memory, sequence slots and token budget allow.

        Parameters
        ----------
        left
            Tokens of the coming step that nobody takes; without any, only who has something to load is admitted.
        steps
            Steps for which the decodes must have memory.
        """
        waiting, batch = self.waiting, self._batch
        admitted = batch.admitted
        while waiting and not self.memory_full and len(admitted) < self.max_sequences:
            sequence = waiting[0]
            if left <= 0 and sequence is self._refused:
                return  # asked once, so that it makes no difference into how many runs the steps are cut
            outcome = self._try(sequence, left > 0, steps)
            if outcome is Admission.NO_MEMORY:
                self.memory_full = True
            elif outcome is Admission.NO_BUDGET:
                self._refused = sequence
            if outcome is not Admission.ADMITTED:
                return
            waiting.popleft()
            self.waiting_tokens -= _unfilled_tokens(sequence)
            admitted[sequence] = None
            if sequence.handover is not None:
                sequence.log(self._env, "transfer", sequence.prefill_to)
                sequence.handover.begin()
                continue
            if sequence.admitted_s < 0.0:  # else it was preempted
                sequence.admitted_s = self._env._now
            if self._env.log is not None:
                sequence.log(self._env, "admit", sequence.position)
                if sequence.load is not None:
                    sequence.log(self._env, "load", sequence.load.tokens)
            if sequence.compute_to > sequence.position:
                batch.line(sequence).append(sequence)
                if not sequence.yields:
                    left -= sequence.compute_to - sequence.position

    def _try(self, sequence: Sequence, may_compute: bool, steps: int) -> Admission:
        """Try to admit a sequence; where memory is short, with what can be found."""
        batch, kv, start_load = self._batch, self._kv, self._loader.start
        outcome = kv.admit(sequence, may_compute, start_load)
        if outcome is Admission.NO_MEMORY and batch.decodes:
            # What is reserved for the decodes is an upper bound: count.
            kv.reserve_exactly(batch.decodes, steps)
            outcome = kv.admit(sequence, may_compute, start_load)
        if outcome is Admission.NO_MEMORY and not batch.admitted and kv.unpin_all():
            outcome = kv.admit(sequence, may_compute, start_load)
        return outcome

    def make_room(self) -> None:
        """See to it that the decodes have blocks for one step; else give up what is pinned, then preempt."""
        while not self._kv.reserve(self._batch.decodes, 1):
            if self._kv.unpin_all():
                continue
            last_first = reversed(self._batch.admitted)
            self.preempt(max(last_first, key=_queue_key))
            self.memory_full = True  # what it frees is for the decodes

    def preempt(self, victim: Sequence) -> None:
        """Take a sequence out of the batch: it waits before all that have its key, and will be recomputed."""
        victim.log(self._env, "preempt", victim.position)
        self._batch.remove(victim)
        if victim.handover is not None:
            victim.handover.pause()
        else:
            victim.reset()
        victim.preemptions += 1
        place = 0
        while place < len(self.waiting) and self.waiting[place].queue_key < victim.queue_key:
            place += 1
        self.waiting.insert(place, victim)
        self.waiting_tokens += _unfilled_tokens(victim)
        self.memory_full = False

    def clear(self) -> None:
        """Lose all of them."""
        self.waiting.clear()
        self.waiting_tokens = 0
        self.memory_full = False
        self._refused = None


def _queue_key(sequence: Sequence) -> float:
    return sequence.queue_key


def _unfilled_tokens(sequence: Sequence) -> int:
    """Return the tokens that a sequence which waits has to prefill."""
    return 0 if sequence.handover is not None else sequence.prefill_to
