"""One replica of an LLM service: continuous batching with chunked prefill, advanced in closed form.

The engine works in *runs*: k equal engine steps whose total time is known (`StepCost`), one pending event per
run. Between two events nothing changes but the contexts of the decodes and the position of one prefill, both
linearly. A run ends where the batch changes: the first decode to finish, the prefill chunk that is not whole, two
pointers that may meet, memory that may run out. A newcomer cuts the run at the end of the step under way.

Decodes advance together, so each is known by the value of one clock at which it ends; no token is touched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Ids

import numpy as np

from simulator.core import STEP_END, STEP_START, Call, Environment
from simulator.core.records import Table
from simulator.policies.batching import Batching
from simulator.policies.kv_loading import KvLoading
from simulator.policies.registry import PolicyError
from simulator.serving.decodes import Decodes
from simulator.serving.kv_manager import Admission, KvManager
from simulator.serving.load_view import RaceView
from simulator.serving.loader import Loader
from simulator.serving.pointers import Pointers
from simulator.serving.run import Run
from simulator.serving.sequence import GenerationSequence, Sequence
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

UNLIMITED = 1 << 62
"""More steps than any run has."""


class Replica:
    """A tensor-parallel group of GPUs that serves requests.

    Parameters
    ----------
    env
        The simulation's environment.
    index
        Number of this replica within its service.
    cost
        Step cost.
    kv
        KV cache of this replica.
    batching, kv_loading
        Policies.
    token_budget
        Tokens per step that the service may use (the background share is taken off).
    max_sequences
        Most sequences admitted at a time, not above `token_budget`.
    dequantisation_s_per_token
        GPU time to expand one loaded token's KV.
    rng
        Stream of step budgets, for policies whose budget varies.
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
    """

    def __init__(
        self,
        env: Environment,
        index: int,
        cost: StepCost,
        kv: KvManager,
        batching: Batching,
        kv_loading: KvLoading,
        token_budget: int,
        max_sequences: int,
        dequantisation_s_per_token: float,
        rng: np.random.Generator,
        on_finish: Callable[[Sequence], None],
        on_progress: Callable[[GenerationSequence, int], None],
        intervals: Table | None,
        pointers: Pointers | None,
        step_by_step: bool = False,
    ) -> None:
        self.env = env
        self.index = index
        self.cost = cost
        self.kv = kv
        self.batching = batching
        self.kv_loading = kv_loading
        self.token_budget = token_budget
        self.max_sequences = max_sequences
        self.rng = rng
        self.on_finish = on_finish
        self.on_progress = on_progress
        self.intervals = intervals
        self.pointers = pointers
        self.step_by_step = step_by_step
        self.outstanding_tokens = 0
        """Prompt and answer tokens of all unfinished requests sent here."""
        self.busy_s = 0.0
        """Time spent in engine steps."""
        self.busy_j = 0.0
        """Energy of engine steps, idle power during them included."""
        self.steps = 0
        """Engine steps done."""
        self.computed_tokens = 0
        """Tokens computed, decodes and recomputation included."""
        self.down_s = 0.0
        """Time for which it has been out of order; whoever lets it fail keeps this up to date."""
        self._speed = 1.0  # share of the GPUs' speed that is left

        self._loader = Loader(
            env, cost, kv, token_budget, dequantisation_s_per_token, self._loaded, self._ready, pointers
        )
        self._waiting: deque[Sequence] = deque()
        self._admitted: dict[Sequence, None] = {}  # in order of admission
        self._prefilling: list[Sequence] = []  # may take a chunk of the coming step
        self._yielding: list[Sequence] = []  # likewise, from what is left
        self._decodes = Decodes(kv.block_tokens, kv.pool.chunk_blocks)
        self._memory_full = False  # the head of the queue found no room, and nothing was freed since
        self._refused: Sequence | None = (
            None  # head of the queue that had nothing to load and found no budget
        )
        self._run = Run()
        self._running = False
        self._ending = False  # within `_end`
        self._arrived: list[Sequence] = []  # submitted meanwhile
        self._call: Call | None = None  # end of the run; None while it waits for an overlapped load

    # ---------------------------------------------------------------- what others call

    def resident_prefix_tokens(self, hash_ids: Ids[int]) -> int:
        """Tokens of this prompt's front whose KV is in GPU memory."""
        return self.kv.pool.resident(hash_ids) * self.kv.prefix_block_tokens

    def submit(self, sequence: Sequence) -> None:
        """Take a new request, which `KvManager.fits_alone`."""
        if self._ending:  # what a step's end sets free comes when all of it is known
            self._arrived.append(sequence)
        else:
            self._take(sequence)

    def _take(self, sequence: Sequence) -> None:
        self.outstanding_tokens += sequence.input_tokens + sequence.output_tokens
        self._queue(sequence)
        if len(self._waiting) == 1 and self.kv.tiers.tiers:
            self._admit(0)  # starts its load, if it has one, without waiting for the step's end
        self._poke()

    def _queue(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the queue, a generation then before what it may pass."""
        waiting = self._waiting
        place = len(waiting)
        if sequence.rank is not None:
            while place:
                other = waiting[place - 1]
                passed = sequence.passes_requests if other.rank is None else other.rank > sequence.rank
                if not passed or other.admitted_s >= 0.0:  # what was preempted comes first
                    break
                place -= 1
        waiting.insert(place, sequence)

    def stop(self) -> None:
        """Book the steps that have ended so far, where the simulation stops in the middle of a run."""
        self._book_ended_steps(self._run.steps)
        if self.pointers is not None:
            self.pointers.stop(self._admitted)

    def _book_ended_steps(self, most: int) -> int:
        """Book the steps of the run that have ended, `most` at most, and return how many."""
        run = self._run
        if not run.steps or self._call is None:
            return 0
        if any(sequence.overlaps and sequence.load is not None for sequence, _ in run.chunks):
            return 0  # its one step lasts until the load has arrived
        elapsed_s = self.env._now - run.start_s
        steps = run.step_at(elapsed_s)
        if run.duration_s(steps) > elapsed_s:
            steps -= 1
        steps = min(steps, most)
        if steps:
            end_s = run.start_s + run.duration_s(steps)
            self._account(end_s, steps)
            for sequence, take in run.chunks:
                if self.pointers is not None:
                    self.pointers.computed(sequence, run.start_s, end_s, take * steps)
                sequence.computed_tokens += take * steps
        return steps

    # ---------------------------------------------------------------- faults

    def fail(self) -> tuple[list[Sequence], int]:
        """Lose all requests and all that is in GPU memory; steps that have ended count, the one under way does not.

        Returns
        -------
        list of Sequence
            What was sent here and is not finished: what was admitted, in that order, then what has waited.
        int
            Tokens of KV that they held.
        """
        run = self._run
        steps = self._book_ended_steps(run.steps - 1)  # the last one has not: it would have ended the run
        for sequence, take in run.chunks:
            sequence.position += take * steps
        self._decodes.advance(steps)
        lost = [*self._admitted, *self._waiting]
        held_tokens = 0
        for sequence in self._admitted:
            held_tokens += sequence.position - sequence.generated_tokens
            if sequence.load is not None:
                self._loader.end(sequence)
            if sequence.join_call is not None:
                sequence.join_call.cancel()
        self._decodes.clear()
        for sequence in self._admitted:
            held_tokens += sequence.generated_tokens
        if self.pointers is not None:
            self.pointers.stop(())
        for sequence in lost:
            self._note("lose", sequence, sequence.generated_tokens)
        self._admitted.clear()
        self._waiting.clear()
        self._prefilling.clear()
        self._yielding.clear()
        self._memory_full = False
        self._refused = None
        self.kv.clear()
        self.outstanding_tokens = 0
        self._abandon_run()
        return lost, held_tokens

    def set_speed(self, speed: float) -> None:
        """Compute at a share of the GPUs' speed from the next step on."""
        self._speed = speed
        self._cut_run()

    def lose_tier(self, tier: int) -> None:
        """A storage tier has failed: loads from it end with what has arrived; the rest will be computed."""
        for sequence in tuple(self._admitted):
            load = sequence.load
            if load is None or not load.reads(tier):
                continue
            computing = any(chunk[0] is sequence for chunk in self._run.chunks)
            if sequence.overlaps and sequence.position == sequence.stored_tokens:
                # The tokens behind the prefix are in the batch already, and their step cannot be completed.
                if computing:
                    self._abandon_run()
                self._preempt(sequence)
                self._memory_full = False  # it went to the head of the queue, not to make room
                self._poke()
                continue
            load.lose(tier)
            sequence.overlaps = False
            if not computing:  # else it is looked at when the step ends
                self._meet(sequence)
                line = self._line(sequence)
                if (
                    sequence.load is not None
                    and sequence.position < sequence.compute_to
                    and sequence not in line
                ):
                    line.append(sequence)
                self._poke()

    def _abandon_run(self) -> None:
        """Take the run under way back, as if it had never been formed."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._run.clear()
        self._running = False

    # ---------------------------------------------------------------- admission and preemption

    def _admit(self, left: int) -> None:
        """Admit waiting requests in order while memory, sequence slots and token budget allow."""
        waiting = self._waiting
        while waiting and not self._memory_full and len(self._admitted) < self.max_sequences:
            sequence = waiting[0]
            if left <= 0 and sequence is self._refused:
                return  # asked once, so that it makes no difference into how many runs the steps are cut
            outcome = self.kv.admit(sequence, left > 0, self._loader.start)
            if outcome is Admission.NO_MEMORY and self._decodes:
                # What is reserved for the decodes is an upper bound: count.
                self.kv.reserve_exactly(self._decodes, max(1, self._run.steps))
                outcome = self.kv.admit(sequence, left > 0, self._loader.start)
            if outcome is Admission.NO_MEMORY and not self._admitted and self.kv.unpin_all():
                outcome = self.kv.admit(sequence, left > 0, self._loader.start)
            if outcome is Admission.NO_MEMORY:
                self._memory_full = True
            elif outcome is Admission.NO_BUDGET:
                self._refused = sequence
            if outcome is not Admission.ADMITTED:
                return
            waiting.popleft()
            self._admitted[sequence] = None
            if sequence.admitted_s < 0.0:  # else it was preempted
                sequence.admitted_s = self.env._now
            if self.env.log is not None:
                self._note("admit", sequence, sequence.position)
                if sequence.load is not None:
                    self._note("load", sequence, sequence.load.tokens)
            if sequence.compute_to > sequence.position:
                self._line(sequence).append(sequence)
                if not sequence.yields:
                    left -= sequence.compute_to - sequence.position

    def _line(self, sequence: Sequence) -> list[Sequence]:
        return self._yielding if sequence.yields else self._prefilling

    def _make_room(self) -> None:
        """See to it that the decodes have blocks for one step; else give up what is pinned, then preempt."""
        while not self.kv.reserve(self._decodes, 1):
            if self.kv.unpin_all():
                continue
            self._preempt(next(reversed(self._admitted)))

    def _preempt(self, victim: Sequence) -> None:
        """Take a sequence out of the batch; it will be recomputed from the start."""
        del self._admitted[victim]
        self._note("preempt", victim, victim.position)
        if victim.load is not None:
            self._loader.end(victim)
        if victim.join_call is not None:
            victim.join_call.cancel()
        line = self._line(victim)
        if victim in line:
            line.remove(victim)
        if self._decodes.remove(victim):
            self.kv.take_from_decodes(victim, self._decodes.held_blocks(victim))
        self.kv.release(victim)
        victim.reset()
        victim.preemptions += 1
        self._waiting.appendleft(victim)
        self._memory_full = True  # what it frees is for the decodes

    # ---------------------------------------------------------------- loads

    def _loaded(self, sequence: Sequence) -> None:
        """Everything that the back pointer was to load has arrived."""
        if self._running and any(chunk[0] is sequence for chunk in self._run.chunks):
            if sequence.overlaps and self._call is None:
                self._schedule_end()
            return  # looked at when the step ends
        if sequence.overlaps and sequence.position == sequence.stored_tokens:
            self._loader.end(sequence)  # it waits for budget: nothing is left to overlap with
        elif sequence.position >= sequence.compute_to or sequence.racing:
            self._meet(sequence)

    def _meet(self, sequence: Sequence) -> None:
        """Take a sequence out of its line if its pointers have met, or if the front is done and awaits the back."""
        line = self._line(sequence)
        met = self._loader.met(sequence)
        if met:
            self._note("meet", sequence, sum(sequence.loaded_tokens))
        if (met or sequence.position >= sequence.compute_to) and sequence in line:
            line.remove(sequence)

    def _ready(self, sequence: Sequence) -> None:
        """The engine has taken a complete prefix over."""
        self._prefilling.append(sequence)
        self._poke()

    # ---------------------------------------------------------------- runs

    def _poke(self) -> None:
        """Something new can be computed: see that the next step takes note of it."""
        run = self._run
        if not self._running:
            # The first step is formed after everything else that happens at this instant.
            self._running = True
            run.clear()
            self._call = self.env.call_at(self.env._now, self._start, STEP_START)
        elif run.left > 0 or run.yields:
            self._cut_run()

    def _cut_run(self) -> None:
        """Let the run under way end with the step under way."""
        run = self._run
        if run.steps > 1 and self._call is not None:
            steps = run.step_at(self.env._now - run.start_s)
            if steps < run.steps:
                self._call.cancel()
                run.steps = steps
                self._schedule_end()

    def _start(self) -> None:
        """Form the next run of steps."""
        run, decodes, cost = self._run, self._decodes, self.cost
        if self._waiting or not decodes.heap:
            self._make_room()
        n = len(decodes.heap)
        run.clear()
        run.new = n
        run.left = max(0, self.token_budget - n)
        steps = decodes.heap[0][0] - decodes.clock if n else UNLIMITED
        if self._prefilling or self._yielding or self._waiting:
            if self.batching.varies:  # decodes alone do not ask for a budget
                steps = 1
            self._compose(n)
        if not run.new:
            self._running = False
            self._call = None
            return
        run.step_s = cost.step_s(run.new, n, decodes.context_tokens, run.pairs) / self._speed
        run.growth_s = cost.growth_s(run.new, n) / self._speed
        if run.chunks:
            steps = min(steps, self._equal_steps())
        if self.step_by_step:
            steps = 1
        if n:
            steps = self.kv.reserve_longest(decodes, steps)
            if not steps:
                self._make_room()  # preempts, so that the batch is another one
                self._start()
                return
        run.steps = steps
        run.start_s = self.env._now
        self._schedule_end()

    def _compose(self, decodes: int) -> None:
        """Fill the token budget that the decodes leave with prefill chunks."""
        run = self._run
        if self.batching.varies:
            run.left = max(0, self._drawn_budget() - decodes)
        if self._waiting:
            self._admit(run.left - sum(s.compute_to - s.position for s in self._prefilling))
        for line in (self._prefilling, self._yielding):
            for sequence in tuple(line):
                if run.left <= 0:
                    return
                end = sequence.compute_to
                if sequence.racing and end == sequence.stored_tokens and end - sequence.position <= run.left:
                    end = (
                        sequence.prefill_to
                    )  # the front computes the whole prefix itself: it need not stop there
                take = min(run.left, end - sequence.position)
                pairs = chunk_pairs(sequence.position, take)
                if not self._gives_up(sequence, take, pairs):
                    run.add(sequence, take, pairs)

    def _gives_up(self, sequence: Sequence, take: int, pairs: float) -> bool:
        """Ask the policy whether a racing front pointer takes part in this step; if not, it stops for good."""
        if not (sequence.racing and self.kv_loading.asks_every_step):
            return False
        load, run, decodes = sequence.load, self._run, self._decodes
        assert load is not None
        missing = sequence.stored_tokens - sequence.position
        completes = take >= missing
        view = RaceView(
            self.cost.step_s(run.new + take, len(decodes), decodes.context_tokens, run.pairs + pairs)
            / self._speed,
            load.remaining_s(missing) + (self.cost.engine.kv_load_overhead_s if completes else 0.0),
        )
        if self.kv_loading.keep_computing(view):
            return False
        sequence.compute_to = sequence.position
        load.limit(missing)
        self._line(sequence).remove(sequence)
        return True

    def _drawn_budget(self) -> int:
        """Ask the policy for the coming step's budget; what others take of every step is not to be had."""
        budget = self.batching.step_budget(self.rng)
        if type(budget) is not int or budget < 1:
            raise PolicyError(
                f"batching policy {type(self.batching).__qualname__} decided a step budget of {budget!r} tokens; "
                "allowed: whole numbers from 1 on"
            )
        return min(budget, self.token_budget)

    def _equal_steps(self) -> int:
        """Return how many steps the run's prefill chunks stay as they are, and complete its step time."""
        run = self._run
        extra_s = sum(self._loader.expansion_s(sequence) for sequence, _ in run.chunks)
        if extra_s:
            run.step_s += extra_s / self._speed
            return 1
        sequence, take = run.chunks[0]
        steps = (sequence.compute_to - sequence.position) // take
        if len(run.chunks) > 1 or steps < 2:
            return 1
        if sequence.load is not None and (sequence.overlaps or self.kv_loading.asks_every_step):
            return 1
        run.growth_s += self.cost.chunk_growth_s(run.new, take) / self._speed
        if sequence.racing:
            return self._loader.steps_before_meeting(sequence, take, steps, run.step_s, run.growth_s)
        return steps

    def _schedule_end(self) -> None:
        """Arm the end of the run; an overlapped load that is still under way arms it when it has arrived."""
        run = self._run
        end_s = run.start_s + run.duration_s(run.steps)
        for sequence, _ in run.chunks:
            if sequence.overlaps and sequence.load is not None:
                done_s = sequence.load.done_s
                if done_s is None:
                    self._call = None
                    return
                end_s = max(end_s, done_s + run.step_s / self.cost.model.layers)
        self._call = self.env.call_at(end_s, self._end, STEP_END)

    def _end(self) -> None:
        """Apply a run of steps, then form the next."""
        now = self.env._now
        run, decodes = self._run, self._decodes
        steps = run.steps
        self._ending = True
        self._account(now, steps)
        decodes.advance(steps)
        for sequence, take in run.chunks:
            if self.pointers is not None:
                self.pointers.computed(sequence, run.start_s, now, take * steps)
            sequence.position += take * steps
            sequence.computed_tokens += take * steps
            if sequence.load is not None:
                if not sequence.overlaps and sequence.position <= sequence.stored_tokens:
                    self._meet(sequence)
                    continue
                if sequence.racing:  # the front has come past the whole prefix: nothing is taken over
                    self._line(sequence).remove(sequence)
                    sequence.compute_to = sequence.prefill_to
                    sequence.racing = sequence.yields = False
                    self._prefilling.append(sequence)
                self._loader.end(sequence)
                sequence.overlaps = False
            sequence.load_step_s = 0.0  # this run has paid for it
            if sequence.position >= sequence.prefill_to:
                self._line(sequence).remove(sequence)
                self._prefilled(sequence, now)
        for sequence, tokens in decodes.stopped():
            if tokens < sequence.output_tokens:
                assert isinstance(sequence, GenerationSequence)
                self._progressed(sequence, tokens)
            else:
                self.kv.take_from_decodes(sequence, decodes.held_blocks(sequence))
                self._finish(sequence)
        run.clear()
        for sequence in self._arrived:
            self._take(sequence)
        self._arrived.clear()
        self._ending = False
        self._start()

    def _account(self, now: float, steps: int) -> None:
        """Book time and energy of the first `steps` steps of the run, which end now."""
        run, decodes = self._run, self._decodes
        n = len(decodes.heap)
        duration_s = now - run.start_s
        energy_j = self.cost.energy.run_j(
            steps,
            run.step_s if steps > 1 else duration_s,  # an overlapped load may have drawn a single step out
            run.growth_s,
            run.new,
            decodes.context_tokens,
            n,
            run.pairs,
            sum(take * take for _, take in run.chunks) if steps > 1 else 0.0,
        )
        self.busy_s += duration_s
        self.busy_j += energy_j
        self.steps += steps
        self.computed_tokens += steps * run.new
        if self.intervals is not None:
            self.intervals.append(
                self.index,
                run.start_s,
                now,
                steps,
                n,
                steps * (run.new - n),
                len(self._waiting),
                len(self._admitted),
                self.kv.pool.used_blocks,
                energy_j,
            )

    # ---------------------------------------------------------------- what becomes of a sequence

    def _prefilled(self, sequence: Sequence, now: float) -> None:
        """The last chunk is computed, and with it the next token of the answer."""
        if sequence.first_token_s < 0.0:
            sequence.first_token_s = now
            self._note("first_token", sequence)
        sequence.generated_tokens += 1
        self.kv.share(sequence, len(sequence.shared), sequence.prefill_to)
        if sequence.generated_tokens >= sequence.output_tokens:
            self._finish(sequence)
        else:
            passed = 0
            while sequence.stop_tokens <= sequence.generated_tokens:
                assert isinstance(sequence, GenerationSequence)
                passed = sequence.pass_stop()
            self._decodes.join(sequence)
            self.kv.hand_to_decodes(sequence)
            if passed:
                assert isinstance(sequence, GenerationSequence)
                self._progressed(sequence, passed)

    def _progressed(self, sequence: GenerationSequence, tokens: int) -> None:
        """A decode has come to a token that others wait for: share its blocks so far, report."""
        kv = self.kv
        before = len(sequence.shared)
        kv.share(sequence, before, sequence.input_tokens + tokens - 1)
        self._decodes.shares(len(sequence.shared) - before)
        kv.hand_to_decodes(sequence)
        self.on_progress(sequence, tokens)

    def _finish(self, sequence: Sequence) -> None:
        """The answer is complete: share its blocks, give memory back, report."""
        kv = self.kv
        if kv.prefix_block_tokens:
            kv.share(
                sequence,
                sequence.input_tokens // kv.prefix_block_tokens,
                sequence.input_tokens + sequence.output_tokens - 1,
            )
        del self._admitted[sequence]
        self._note("finish", sequence)
        self._memory_full = False
        self.outstanding_tokens -= sequence.input_tokens + sequence.output_tokens
        self.on_finish(sequence)  # may pin blocks that others go on from
        kv.release(sequence)

    def _note(self, kind: str, sequence: Sequence, detail: float | str = "") -> None:
        log = self.env.log
        if log is not None:
            log.add(self.env._now, kind, sequence.name, detail)

    @property
    def waiting(self) -> int:
        """Requests that have not been admitted."""
        return len(self._waiting)
