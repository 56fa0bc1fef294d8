"""One replica of an LLM service: continuous batching with chunked prefill, advanced in closed form.

The engine works in *runs*: k equal engine steps whose total time is known (`StepCost`), one pending event per
run. Between two events nothing changes but the contexts of the decodes and the position of one prefill, both
linearly. A run ends where the batch changes: the first decode to finish, the prefill chunk that is not whole, two
pointers that may meet, memory that may run out. A newcomer cuts the run at the end of the step under way.

Decodes advance together, so each is known by the value of one clock at which it ends; no token is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Ids

import numpy as np

from simulator.core import Environment, WorkQueue
from simulator.core.records import Table
from simulator.policies.batching import Batching
from simulator.policies.gpu_sharing import GpuSharing
from simulator.policies.kv_loading import KvLoading
from simulator.policies.queueing import Queueing
from simulator.serving.account import RunAccount
from simulator.serving.admission import AdmissionQueue
from simulator.serving.batch import Batch
from simulator.serving.decodes import Decodes
from simulator.serving.forecast import ReplicaForecast, Saturation
from simulator.serving.gpu_share import GpuShare
from simulator.serving.handover import Handover
from simulator.serving.kv_manager import KvManager
from simulator.serving.loader import Loader
from simulator.serving.pointers import Pointers
from simulator.serving.run_loop import RunLoop
from simulator.serving.scheduler import Scheduler
from simulator.serving.sequence import GenerationSequence, Sequence
from simulator.serving.step_cost import StepCost
from simulator.serving.uptime import Uptime


class Replica:
    """A tensor-parallel group of GPUs that serves requests.

    Parameters
    ----------
    env
        The simulation's environment.
    index
        Number of this replica within its service.
    gpus
        Name of the device that it runs on.
    cost
        Step cost.
    kv
        KV cache of this replica.
    batching, kv_loading, queueing
        Policies.
    token_budget
        Tokens per step that the service may use (the background share is taken off).
    max_sequences
        Most sequences admitted at a time, not above `token_budget`.
    dequantisation_s_per_token
        GPU time to expand one loaded token's KV.
    rng
        Stream of step budgets, for policies whose budget varies.
    full
        What it does when it is full, for forecasts.
    on_finish
        Told each sequence that has ended.
    on_progress
        Told each sequence that has come to one of its `stops`, and at how many tokens.
    intervals
        Table that gets a row per run; None: nothing is recorded.
    pointers
        Record of where the pointers of prompts were; None: nothing is recorded.
    step_by_step
        Make every run one step long: the slow reference that the closed form is checked against.
    decodes
        Its decoding sequences, none as yet; None: such that each decodes one token per step.
    on_prefilled
        Told each sequence that is prefilled here and will be decoded elsewhere; None: they are decoded here.
    """

    def __init__(
        self,
        env: Environment,
        index: int,
        gpus: str,
        cost: StepCost,
        kv: KvManager,
        batching: Batching,
        kv_loading: KvLoading,
        queueing: Queueing,
        token_budget: int,
        max_sequences: int,
        dequantisation_s_per_token: float,
        rng: np.random.Generator,
        full: Saturation,
        on_finish: Callable[[Sequence], None],
        on_progress: Callable[[GenerationSequence, int], None],
        intervals: Table | None,
        pointers: Pointers | None,
        step_by_step: bool = False,
        on_prefilled: Callable[[Replica, Sequence], None] | None = None,
        decodes: Decodes | None = None,
    ) -> None:
        self.env = env
        self.index = index
        self.gpus = gpus
        self.cost = cost
        self.kv = kv
        self.on_finish = on_finish
        self.on_progress = on_progress
        self._on_prefilled = on_prefilled
        self.pointers = pointers
        self.outstanding_tokens = 0
        """Prompt and answer tokens of all unfinished requests sent here."""
        self.sent = 0
        """Requests sent here since there has been another choice of replicas; the pool keeps this up to date."""
        self.forecast = ReplicaForecast(self, full)
        """What it is expected to do with a request."""
        self.uptime = Uptime()
        """For how long it has been off, or down; whoever switches it or lets it fail keeps this up to date."""
        self._loader = Loader(
            env, cost, kv, token_budget, dequantisation_s_per_token, self._loaded, self._ready, pointers
        )
        # Each knows only those before it.
        self.batch = Batch(env, kv, self._loader, decodes)
        self.queue = AdmissionQueue(env, self.batch, kv, self._loader, queueing, max_sequences)
        self.scheduler = Scheduler(
            self.batch,
            self.queue,
            cost,
            kv,
            self._loader,
            batching,
            kv_loading,
            token_budget,
            rng,
            step_by_step,
        )
        self.account = RunAccount(index, cost.energy, self.batch, self.queue, kv.pool, intervals, pointers)
        """What it has done."""
        self._loop = RunLoop(env, self.scheduler, cost.model.layers, self._end)
        self._gpu_share: GpuShare | None = None
        self._ending = False  # within `_end`
        self._arrived: list[Sequence] = []  # submitted meanwhile
        self._received: list[Sequence] = []  # whose KV has come over during the step under way

    # ---------------------------------------------------------------- what others call

    def resident_prefix_tokens(self, hash_ids: Ids[int]) -> int:
        """Tokens of this prompt's front whose KV is in GPU memory."""
        return self.kv.pool.resident(hash_ids) * self.kv.prefix_block_tokens

    def busy_until_now_s(self) -> float:
        """Time spent in engine steps, those under way included, in s."""
        run = self._loop.run
        return self.account.busy_s + (self.env._now - run.start_s if run.steps else 0.0)

    def ended_steps(self) -> int:
        """Steps of the run under way that have ended."""
        run = self._loop.run
        return run.ended_steps(self.env._now - run.start_s) if run.steps else 0

    def context_tokens(self) -> float:
        """Tokens that all decodes together attend to in their next step."""
        decodes = self.batch.decodes
        return decodes.context_tokens + self.ended_steps() * decodes.growth_tokens()

    def unfilled_tokens(self) -> int:
        """Tokens that have yet to be prefilled, of who is admitted and of who waits."""
        tokens = self.queue.waiting_tokens
        tokens += sum(it.prefill_to - it.position for it in self.batch.prefilling)
        return tokens - self.ended_steps() * sum(take for _, take in self._loop.run.chunks)

    def submit(self, sequence: Sequence) -> None:
        """Take a new request, which `KvManager.fits_alone`."""
        if self._ending:  # what a step's end sets free comes when all of it is known
            self._arrived.append(sequence)
        else:
            self._take(sequence)

    def _take(self, sequence: Sequence) -> None:
        queue = self.queue
        self.outstanding_tokens += sequence.input_tokens + sequence.output_tokens
        queue.put(sequence)
        handover = sequence.handover
        if handover is not None:
            handover.target = self
        if queue.waiting[0] is sequence and (self.kv.tiers.tiers or handover is not None):
            # Starts its load or transfer, if it has one, without waiting for the step's end.
            queue.admit(0, max(1, self._loop.run.steps))
        self._loop.poke()

    def stop(self) -> None:
        """Book the steps that have ended so far, where the simulation stops in the middle of a run."""
        run = self._loop.run
        self.account.book_ended(run, self.env._now, run.steps)
        if self.pointers is not None:
            self.pointers.stop(self.batch.admitted)

    # ---------------------------------------------------------------- handovers between prefill and decode

    def set_aside(self, handover: Handover) -> None:
        """Keep the KV of a prompt that was prefilled here until `let_go`."""
        self.batch.set_aside(handover)

    def let_go(self, handover: Handover) -> None:
        """Give up the KV of a prompt that was prefilled here: it has come over, or nobody wants it any more."""
        self.batch.let_go(handover)
        self._freed(handover.sequence)

    def withdraw(self, sequence: Sequence) -> None:
        """Forget a sequence whose KV will not come over: it was lost where it was prefilled."""
        if sequence in self.batch.admitted:
            self.batch.remove(sequence)
        else:
            self.queue.remove(sequence)
        self._freed(sequence)

    def receive(self, sequence: Sequence) -> None:
        """Decode a sequence from the next step on: all its KV has come over."""
        sequence.log(self.env, "transferred")
        sequence.position = sequence.compute_to = sequence.prefill_to
        if self._loop.run.steps:  # it joins the others when their step has ended
            self._received.append(sequence)
            self._loop.cut()
        else:
            self.batch.start_decoding(sequence)
            self._loop.poke()

    def _freed(self, sequence: Sequence) -> None:
        """Take note that a sequence is none of this replica's any more."""
        self.queue.memory_full = False
        self.outstanding_tokens -= sequence.input_tokens + sequence.output_tokens
        if not self._ending:
            self._loop.poke()

    # ---------------------------------------------------------------- faults

    def fail(self) -> tuple[list[Sequence], int]:
        """Lose all requests and all that is in GPU memory; steps that have ended count, the one under way does not.

        Returns
        -------
        list of Sequence
            What was sent here and is not finished: what is on its way elsewhere, what was admitted, in that order, then
            what has waited.
        int
            Tokens of KV that they held.
        """
        run, batch = self._loop.run, self.batch
        # The last step has not ended: it would have ended the run.
        steps = self.account.book_ended(run, self.env._now, max(0, run.steps - 1))
        for sequence, take in run.chunks:
            sequence.position += take * steps
        batch.decodes.advance(steps)
        for handover in batch.leaving.values():
            handover.lose()
        lost = [*batch.leaving, *batch.admitted, *self.queue.waiting]
        held_tokens = batch.clear()
        if self.pointers is not None:
            self.pointers.stop(())
        for sequence in lost:
            sequence.log(self.env, "lose", sequence.generated_tokens)
            if sequence.handover is not None:
                sequence.handover.leave_target()
        self._received.clear()
        self.queue.clear()
        self.kv.clear()
        self.outstanding_tokens = 0
        self._loop.abandon()
        return lost, held_tokens

    def set_speed(self, speed: float) -> None:
        """Compute at a share of the GPUs' speed from the next step on."""
        self.scheduler.speed = speed
        self._loop.cut()

    def share_gpu(self, policy: GpuSharing, sr: WorkQueue) -> None:
        """Share the GPU with SR from now on, before anything has been computed."""
        self._gpu_share = GpuShare(policy, self._loop, sr)

    def outlook(self) -> tuple[float, float]:
        """Return the share of the GPUs' speed that steps would have now, and how long they would wait for it, in s."""
        share, wait_s = (1.0, 0.0) if self._gpu_share is None else self._gpu_share.outlook()
        return share * self.scheduler.speed, wait_s

    def lose_tier(self, tier: int) -> None:
        """A storage tier has failed: loads from it end with what has arrived; the rest will be computed."""
        batch = self.batch
        for sequence in tuple(batch.admitted):
            load = sequence.load
            if load is None or not load.reads(tier):
                continue
            computing = self._loop.computes(sequence)
            if sequence.overlaps and sequence.position == sequence.stored_tokens:
                # The tokens behind the prefix are in the batch already, and their step cannot be completed.
                if computing:
                    self._loop.abandon()
                self.queue.preempt(sequence)
                self._loop.poke()
                continue
            load.lose(tier)
            sequence.overlaps = False
            if not computing:  # else it is looked at when the step ends
                batch.meet(sequence)
                line = batch.line(sequence)
                if (
                    sequence.load is not None
                    and sequence.position < sequence.compute_to
                    and sequence not in line
                ):
                    line.append(sequence)
                self._loop.poke()

    # ---------------------------------------------------------------- loads

    def _loaded(self, sequence: Sequence) -> None:
        """Everything that the back pointer was to load has arrived."""
        if self._loop.computes(sequence):  # looked at when the step ends
            if sequence.overlaps:
                self._loop.load_arrived()
        elif sequence.overlaps and sequence.position == sequence.stored_tokens:
            self._loader.end(sequence)  # it waits for budget: nothing is left to overlap with
        elif sequence.position >= sequence.compute_to or sequence.racing:
            self.batch.meet(sequence)

    def _ready(self, sequence: Sequence) -> None:
        """The engine has taken a complete prefix over."""
        self.batch.prefilling.append(sequence)
        self._loop.poke()

    # ---------------------------------------------------------------- runs

    def _end(self) -> None:
        """Apply a run of steps, then start the next."""
        now = self.env._now
        run, batch, account = self._loop.run, self.batch, self.account
        steps = run.steps
        self._ending = True
        account.book(run, steps, now)
        batch.decodes.advance(steps)
        for sequence, take in run.chunks:
            tokens = take * steps
            account.prefilled(sequence, run, tokens, now)
            sequence.position += tokens
            if sequence.load is not None and not batch.front_moved(sequence):
                continue
            sequence.load_step_s = 0.0  # this run has paid for it
            if sequence.position >= sequence.prefill_to:
                batch.line(sequence).remove(sequence)
                self._prefilled(sequence)
        for sequence, tokens in batch.decodes.stopped():
            if tokens < sequence.output_tokens:
                assert isinstance(sequence, GenerationSequence)
                self._progressed(sequence, tokens)
            else:
                self.kv.take_from_decodes(sequence, batch.decodes.held_blocks(sequence))
                self._finish(sequence)
        run.clear()
        for sequence in self._received:
            batch.start_decoding(sequence)
        self._received.clear()
        for sequence in self._arrived:
            self._take(sequence)
        self._arrived.clear()
        self._ending = False
        self._loop.start()

    # ---------------------------------------------------------------- what becomes of a sequence

    def _prefilled(self, sequence: Sequence) -> None:
        """The last chunk is computed, and with it the next token of the answer."""
        if sequence.first_token_s < 0.0:
            sequence.first_token_s = self.env._now
            sequence.log(self.env, "first_token")
        sequence.generated_tokens += 1
        self.kv.share(sequence, len(sequence.shared), sequence.prefill_to)
        if sequence.generated_tokens >= sequence.output_tokens:
            self._finish(sequence)
        elif self._on_prefilled is not None:
            self._on_prefilled(self, sequence)
        else:
            passed = 0
            while sequence.stop_tokens <= sequence.generated_tokens:
                assert isinstance(sequence, GenerationSequence)
                passed = sequence.pass_stop()
            self.batch.start_decoding(sequence)
            if passed:
                assert isinstance(sequence, GenerationSequence)
                self._progressed(sequence, passed)

    def _progressed(self, sequence: GenerationSequence, tokens: int) -> None:
        """A decode has come to a token that others wait for: share its blocks so far, report."""
        self.batch.share_decoded(sequence, tokens)
        self.on_progress(sequence, tokens)

    def _finish(self, sequence: Sequence) -> None:
        """The answer is complete: share its blocks, give memory back, report."""
        self.batch.leave(sequence)
        sequence.log(self.env, "finish")
        self.queue.memory_full = False
        self.outstanding_tokens -= sequence.input_tokens + sequence.output_tokens
        self.on_finish(sequence)  # may pin blocks that others go on from
        self.kv.release(sequence)
