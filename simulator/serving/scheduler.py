"""What the engine computes next: whose tokens, how many, for how many equal steps, and how long each takes."""

from __future__ import annotations

import numpy as np

from simulator.policies.batching import Batching
from simulator.policies.kv_loading import KvLoading
from simulator.policies.registry import nonsense
from simulator.serving.admission import AdmissionQueue
from simulator.serving.batch import Batch
from simulator.serving.kv_manager import KvManager
from simulator.serving.load_view import RaceView
from simulator.serving.loader import Loader
from simulator.serving.run import Run
from simulator.serving.sequence import Sequence
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

UNLIMITED = 1 << 62
"""More steps than any run has."""


class Scheduler:
    """Forms runs of steps: every decode takes a token of the budget, prefill chunks take what is left.

    Parameters
    ----------
    batch, queue
        Who may take part, and who waits to.
    cost
        Step cost.
    kv
        KV cache of the replica.
    loader
        Its back pointers.
    batching, kv_loading
        Policies.
    token_budget
        Tokens per step that the service may use (the background share is taken off).
    rng
        Stream of step budgets, for policies whose budget varies.
    step_by_step
        Make every run one step long: the slow reference that the closed form is checked against.
    """

    __slots__ = (
        "_batch",
        "_batching",
        "_cost",
        "_kv",
        "_kv_loading",
        "_loader",
        "_queue",
        "_rng",
        "_step_by_step",
        "speed",
        "token_budget",
    )

    def __init__(
        self,
        batch: Batch,
        queue: AdmissionQueue,
        cost: StepCost,
        kv: KvManager,
        loader: Loader,
        batching: Batching,
        kv_loading: KvLoading,
        token_budget: int,
        rng: np.random.Generator,
        step_by_step: bool,
    ) -> None:
        self._batch = batch
        self._queue = queue
        self._cost = cost
        self._kv = kv
        self._loader = loader
        self._batching = batching
        self._kv_loading = kv_loading
        self.token_budget = token_budget
        self._rng = rng
        self._step_by_step = step_by_step
        self.speed = 1.0
        """Share of the GPUs' speed that is left."""

    def form(self, run: Run) -> bool:
        """Fill a run anew, but for its start and share; False where there is nothing to compute."""
        batch, cost = self._batch, self._cost
        decodes, waiting = batch.decodes, self._queue.waiting
        if waiting or not decodes.heap:
            self._queue.make_room()
        n = len(decodes.heap)
        run.clear()
        run.new = n
        run.left = max(0, self.token_budget - n * decodes.width)
        steps = decodes.heap[0][0] - decodes.clock if n else UNLIMITED
        if batch.prefilling or batch.yielding or waiting:
            if self._batching.varies:  # decodes alone do not ask for a budget
                steps = 1
            self._compose(run, n * decodes.width)
        if not run.new:
            return False
        speed = self.speed * run.share
        run.step_s = cost.step_s(run.new, n, decodes.context_tokens, run.pairs) / speed
        run.growth_s = cost.growth_s(run.new, decodes.growth_tokens()) / speed
        if run.chunks:
            steps = min(steps, self._equal_steps(run))
        if self._step_by_step:
            steps = 1
        if n:
            steps = self._kv.reserve_longest(decodes, steps)
            if not steps:
                self._queue.make_room()  # preempts, so that the batch is another one
                return self.form(run)
        run.steps = steps
        return True

    def _compose(self, run: Run, decodes: int) -> None:
        """Fill the token budget that the decodes leave with prefill chunks."""
        batch = self._batch
        if self._batching.varies:
            run.left = max(0, self._drawn_budget() - decodes)
        if self._queue.waiting:
            self._queue.admit(run.left - sum(s.compute_to - s.position for s in batch.prefilling), 1)
        for line in (batch.prefilling, batch.yielding):
            for sequence in tuple(line):
                if run.left <= 0:
                    return
                end = sequence.compute_to
                if sequence.racing and end == sequence.stored_tokens and end - sequence.position <= run.left:
                    # The front computes the whole prefix itself: it need not stop there.
                    end = sequence.prefill_to
                take = min(run.left, end - sequence.position)
                pairs = chunk_pairs(sequence.position, take)
                if not self._gives_up(run, sequence, take, pairs):
                    run.add(sequence, take, pairs)

    def _gives_up(self, run: Run, sequence: Sequence, take: int, pairs: float) -> bool:
        """Ask the policy whether a racing front pointer takes part in this step; if not, it stops for good."""
        if not (sequence.racing and self._kv_loading.asks_every_step):
            return False
        load, cost, decodes = sequence.load, self._cost, self._batch.decodes
        assert load is not None
        missing = sequence.stored_tokens - sequence.position
        completes = take >= missing
        view = RaceView(
            cost.step_s(run.new + take, len(decodes), decodes.context_tokens, run.pairs + pairs)
            / (self.speed * run.share),
            load.remaining_s(missing) + (cost.engine.kv_load_overhead_s if completes else 0.0),
        )
        if self._kv_loading.keep_computing(view):
            return False
        sequence.compute_to = sequence.position
        load.limit(missing)
        self._batch.line(sequence).remove(sequence)
        return True

    def _drawn_budget(self) -> int:
        """Ask the policy for the coming step's budget; what others take of every step is not to be had."""
        budget = self._batching.step_budget(self._rng)
        if type(budget) is not int or budget < 1:
            what = f"decided a step budget of {budget!r} tokens; allowed: whole numbers from 1 on"
            raise nonsense("batching", self._batching, what)
        return min(budget, self.token_budget)

    def _equal_steps(self, run: Run) -> int:
        """Return how many steps the run's prefill chunks stay as they are, and complete its step time."""
        extra_s = sum(self._loader.expansion_s(sequence) for sequence, _ in run.chunks)
        if extra_s:
            run.step_s += extra_s / (self.speed * run.share)
            return 1
        sequence, take = run.chunks[0]
        steps = (sequence.compute_to - sequence.position) // take
        if len(run.chunks) > 1 or steps < 2:
            return 1
        if sequence.load is not None and (sequence.overlaps or self._kv_loading.asks_every_step):
            return 1
        run.growth_s += self._cost.chunk_growth_s(run.new, take) / (self.speed * run.share)
        if sequence.racing:
            return self._loader.steps_before_meeting(sequence, take, steps, run.step_s, run.growth_s)
        return steps
