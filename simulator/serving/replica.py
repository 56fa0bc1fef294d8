"""One replica of an LLM service: continuous batching with chunked prefill, advanced in closed form.

The engine works in *runs*: k equal engine steps whose total time is known (`StepCost`), one pending event per
run. Between two events nothing changes but the contexts of the decodes and the position of one prefill, both
linearly. A run ends where the batch changes: the first decode to finish, the prefill chunk that is not whole, two
pointers that may meet, memory that may run out. A newcomer cuts the run at the end of the step under way.

Decodes advance together, so each is known by the value of one clock at which it ends; no token is touched.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Ids
from heapq import heapify, heappop, heappush

import numpy as np

from simulator.core import STEP_END, STEP_START, Call, Environment
from simulator.core.records import Table
from simulator.policies.batching import Batching
from simulator.policies.kv_loading import KvLoading
from simulator.policies.registry import PolicyError
from simulator.serving.kv_manager import Admission, KvManager
from simulator.serving.kv_tiers import Load, Segment
from simulator.serving.load_view import RaceView
from simulator.serving.sequence import Sequence
from simulator.serving.step_cost import StepCost, chunk_pairs

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
    intervals
        Table that gets a row per run; None: nothing is recorded.
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
        intervals: Table | None,
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
        self.dequantisation_s_per_token = dequantisation_s_per_token
        self.rng = rng
        self.on_finish = on_finish
        self.intervals = intervals
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

        self._waiting: deque[Sequence] = deque()
        self._admitted: dict[Sequence, None] = {}  # in order of admission
        self._prefilling: list[Sequence] = []  # may take a chunk of the coming step
        self._yielding: list[Sequence] = []  # likewise, from what is left
        self._decoding: list[tuple[int, int, Sequence]] = []  # heap by the clock value at which each ends
        self._joined = 0  # sequences that have begun to decode: their number settles ties in the heap
        self._clock = 0  # decode steps done
        self._context = 0  # tokens that the next decode step attends to, all decodes together
        self._decode_shared = 0  # KV blocks that decodes hold as prefix blocks
        self._memory_full = False  # the head of the queue found no room, and nothing was freed since
        self._refused: Sequence | None = (
            None  # a head of the queue that had nothing to load and found no budget
        )

        # The run under way: `_steps` steps from `_start_s`, the first of `_step_s`, each one `_growth_s` longer.
        self._running = False
        self._call: Call | None = None
        self._start_s = 0.0
        self._steps = 0
        self._step_s = 0.0
        self._growth_s = 0.0
        self._chunks: list[tuple[Sequence, int]] = []
        self._left = 0  # token budget that stays unused in each step
        self._yields = False  # whether a chunk of the run would give way to a newcomer

    # ---------------------------------------------------------------- what others call

    def resident_prefix_tokens(self, hash_ids: Ids[int]) -> int:
        """Tokens of this prompt's front whose KV is in GPU memory."""
        return self.kv.pool.resident(hash_ids) * self.kv.prefix_block_tokens

    def submit(self, sequence: Sequence) -> None:
        """Take a new request, which `KvManager.fits_alone`."""
        self.outstanding_tokens += sequence.input_tokens + sequence.output_tokens
        self._waiting.append(sequence)
        if len(self._waiting) == 1 and self.kv.tiers.tiers:
            self._admit(0)  # starts its load, if it has one, without waiting for the step's end
        if not self._running:
            self._wake()
        elif self._left > 0 or self._yields:
            self._cut()

    def stop(self) -> None:
        """Book the steps that have ended so far, where the simulation stops in the middle of a run."""
        if not self._steps or self._call is None or any(sequence.overlaps for sequence, _ in self._chunks):
            return
        elapsed_s = self.env._now - self._start_s
        steps = self._step_under_way(elapsed_s)
        if self._run_s(steps) > elapsed_s:
            steps -= 1
        if steps:
            self._account(self._start_s + self._run_s(steps), steps, len(self._decoding))
            for sequence, take in self._chunks:
                sequence.computed_tokens += take * steps

    # ---------------------------------------------------------------- admission and memory

    def _admit(self, left: int) -> None:
        """Admit waiting requests in order while memory, sequence slots and token budget allow."""
        waiting = self._waiting
        while waiting and not self._memory_full and len(self._admitted) < self.max_sequences:
            sequence = waiting[0]
            if left <= 0 and sequence is self._refused:
                return  # asked once, so that it makes no difference into how many runs the steps are cut
            outcome = self.kv.admit(sequence, left > 0, self._start_load)
            if outcome is Admission.NO_MEMORY and self._decoding:
                self._reserve_exactly(self._steps if self._running else 1)
                outcome = self.kv.admit(sequence, left > 0, self._start_load)
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
            if sequence.compute_to > sequence.position:
                self._line(sequence).append(sequence)
                if not sequence.yields:
                    left -= sequence.compute_to - sequence.position

    def _line(self, sequence: Sequence) -> list[Sequence]:
        return self._yielding if sequence.yields else self._prefilling

    def _decode_blocks(self, steps: int) -> int:
        """Upper bound of the private KV blocks of all decodes after `steps` further steps."""
        n = len(self._decoding)
        size = self.kv.block_tokens
        return (self._context + n * (steps - 1) + n * (size - 1)) // size - self._decode_shared

    def _reserve_exactly(self, steps: int) -> bool:
        """Reserve the blocks that decodes will hold after `steps` further steps, counted one by one."""
        size = self.kv.block_tokens
        ahead = self._clock + steps - 1
        blocks = sum(
            -(-(sequence.join_context + ahead - sequence.join_clock) // size)
            for _, _, sequence in self._decoding
        )
        return self.kv.reserve_decodes(blocks - self._decode_shared)

    def _make_room(self) -> None:
        """See to it that the decodes have blocks for one step; preempt the last admitted where they have not."""
        while self._decoding:
            if self.kv.reserve_decodes(self._decode_blocks(1)) or self._reserve_exactly(1):
                return
            self._preempt(next(reversed(self._admitted)))
        self.kv.reserve_decodes(0)

    def _longest(self, steps: int) -> int:
        """Return for how many of `steps` steps the decodes have blocks, and reserve them; at least 1."""
        if self.kv.reserve_decodes(self._decode_blocks(steps)):
            return steps
        low, high = 1, steps
        while low < high:
            middle = (low + high + 1) // 2
            if self._reserve_exactly(middle):
                low = middle
            else:
                high = middle - 1
        self._reserve_exactly(low)
        return low

    def _preempt(self, victim: Sequence) -> None:
        """Take a sequence out of the batch; it will be recomputed from the start."""
        del self._admitted[victim]
        if victim.load is not None:
            self._end_load(victim)
        if victim.join_call is not None:
            victim.join_call.cancel()
        line = self._line(victim)
        if victim in line:
            line.remove(victim)
        for place, entry in enumerate(self._decoding):
            if entry[2] is victim:
                self._decoding[place] = self._decoding[-1]
                self._decoding.pop()
                heapify(self._decoding)
                done = self._clock - victim.join_clock
                victim.generated_tokens += done
                self._context -= victim.join_context + done
                self._decode_shared -= len(victim.shared) * self.kv.pool.chunk_blocks
                self.kv.reserve_decodes(max(0, self._decode_blocks(1)))
                break
        self.kv.release(victim)
        victim.reset()
        self._waiting.appendleft(victim)
        self._memory_full = True  # what it frees is for the decodes

    # ---------------------------------------------------------------- loads

    def _start_load(self, sequence: Sequence, segments: list[Segment], tokens: int) -> Load:
        load = self.kv.load(segments, tokens, lambda: self._loaded(sequence))
        if sequence.overlaps:
            self.env.call_at(self.env._now, lambda: self._gate(sequence))
        return load

    def _loaded(self, sequence: Sequence) -> None:
        """Everything that the back pointer was to load has arrived."""
        if self._running and any(chunk[0] is sequence for chunk in self._chunks):
            if sequence.overlaps and self._call is None:
                self._schedule_end()
            return  # looked at when the step ends
        if sequence.overlaps and sequence.position == sequence.stored_tokens:
            self._end_load(sequence)  # it waits for budget: nothing is left to overlap with
        elif sequence.position >= sequence.compute_to or sequence.racing:
            self._meet(sequence)

    def _meet(self, sequence: Sequence) -> None:
        """Test whether both pointers have met; if so the prefix is complete."""
        load = sequence.load
        assert load is not None
        if sequence.position >= sequence.stored_tokens - load.loaded_tokens():
            line = self._line(sequence)
            if sequence in line:
                line.remove(sequence)
            self._end_load(sequence)
            self._hand_over(sequence)
        else:
            load.limit(sequence.stored_tokens - sequence.position)
            if sequence.position >= sequence.compute_to:
                self._line(sequence).remove(sequence)  # the front is done and waits for the back

    def _gate(self, sequence: Sequence) -> None:
        """Let a layer-wise load's new tokens into the batch so early that they end with the load."""
        load = sequence.load
        if load is None or not sequence.overlaps or sequence.position == sequence.stored_tokens:
            return
        cost = self.cost
        chunk = min(sequence.prefill_to - sequence.stored_tokens, self.token_budget)
        step_s = cost.step_s(chunk, pairs=chunk_pairs(sequence.stored_tokens, chunk))
        layers = cost.model.layers
        lead_s = step_s * (layers - 1) / layers + cost.engine.kv_load_overhead_s
        rest_s = load.remaining_s(load.tokens) - lead_s
        if rest_s > 1e-9:
            self.env.call_at(self.env._now + rest_s, lambda: self._gate(sequence))
        else:
            self._hand_over(sequence)

    def _end_load(self, sequence: Sequence) -> None:
        """Take the back pointer away and book what it has brought."""
        load = sequence.load
        assert load is not None
        load.cancel()
        for tier, tokens in enumerate(load.tokens_by_tier):
            sequence.loaded_tokens[tier] += tokens
        sequence.load_step_s = self.dequantisation_s_per_token * sum(load.tokens_by_tier)
        sequence.load = None

    def _hand_over(self, sequence: Sequence) -> None:
        """The prefix is complete: what follows it may be computed once the engine has taken it over."""
        sequence.position = sequence.stored_tokens
        sequence.compute_to = sequence.prefill_to
        sequence.racing = False
        sequence.yields = False

        def join() -> None:
            sequence.join_call = None
            self._line(sequence).append(sequence)
            if not self._running:
                self._wake()
            elif self._left > 0 or self._yields:
                self._cut()

        sequence.join_call = self.env.call_at(self.env._now + self.cost.engine.kv_load_overhead_s, join)

    # ---------------------------------------------------------------- runs

    def _wake(self) -> None:
        """Form a step at this instant, after everything else that happens in it."""
        self._running = True
        self._steps = 0
        self._chunks = []
        self._left = 0
        self._yields = False
        self._call = self.env.call_at(self.env._now, self._start, STEP_START)

    def _start(self) -> None:
        """Form the next run of steps."""
        cost, decoding = self.cost, self._decoding
        if self.kv.pool.private_blocks:
            self._make_room()
        n = len(decoding)
        budget = self.token_budget
        steps = decoding[0][0] - self._clock if n else UNLIMITED
        prefills = bool(self._prefilling or self._yielding or self._waiting)
        if prefills and self.batching.varies:  # decodes alone do not ask for a budget
            budget = self._drawn_budget()
            steps = 1
        left = max(0, budget - n)
        chunks: list[tuple[Sequence, int]] = []
        new = n
        pairs = 0.0
        yields = False
        if prefills:
            self._running = False  # admissions below see the decodes of one step
            if self._waiting:
                self._admit(left - sum(s.compute_to - s.position for s in self._prefilling))
            for line in (self._prefilling, self._yielding):
                for sequence in tuple(line):
                    if left <= 0:
                        break
                    take = min(left, sequence.compute_to - sequence.position)
                    if sequence.racing and self.kv_loading.asks_every_step:
                        load = sequence.load
                        assert load is not None
                        own = chunk_pairs(sequence.position, take)
                        view = RaceView(
                            cost.step_s(new + take, n, self._context, pairs + own),
                            load.remaining_s(sequence.stored_tokens - sequence.position),
                        )
                        if not self.kv_loading.keep_computing(view):
                            sequence.compute_to = sequence.position
                            load.limit(sequence.stored_tokens - sequence.position)
                            line.remove(sequence)
                            continue
                    chunks.append((sequence, take))
                    left -= take
                    new += take
                    pairs += chunk_pairs(sequence.position, take)
                    yields = yields or sequence.yields
        if not new:
            self._running = False
            self._call = None
            return
        self._running = True
        step_s = cost.step_s(new, n, self._context, pairs)
        growth_s = cost.alpha_s * n
        if chunks:
            sequence, take = chunks[0]
            whole = (sequence.compute_to - sequence.position) // take
            if len(chunks) > 1 or whole < 2:
                steps = 1
            else:
                steps = min(steps, whole)
                growth_s += cost.beta_s * take * take
            extra_s = 0.0
            for sequence, _ in chunks:
                if sequence.load_step_s:
                    extra_s += sequence.load_step_s
                    sequence.load_step_s = 0.0
                if sequence.load is not None and sequence.overlaps:
                    extra_s += self.dequantisation_s_per_token * sequence.load.tokens
                if sequence.load is not None and (sequence.overlaps or self.kv_loading.asks_every_step):
                    steps = 1
            if extra_s:
                steps = 1
                step_s += extra_s
            if steps > 1 and chunks[0][0].racing:
                steps = self._race_steps(chunks[0][0], take, steps, step_s, growth_s)
        if self.step_by_step:
            steps = 1
        elif n and steps > 1:
            steps = self._longest(steps)
        self._chunks = chunks
        self._left = left
        self._yields = yields
        self._step_s = step_s
        self._growth_s = growth_s
        self._steps = steps
        self._start_s = self.env._now
        self._schedule_end()

    def _drawn_budget(self) -> int:
        budget = self.batching.step_budget(self.rng)
        if not isinstance(budget, int) or budget < 1:
            raise PolicyError(
                f"batching policy {type(self.batching).__qualname__} decided a step budget of {budget!r} tokens; "
                "allowed: whole numbers from 1 on"
            )
        return budget

    def _race_steps(self, sequence: Sequence, take: int, steps: int, step_s: float, growth_s: float) -> int:
        """Return the most steps after which the pointers certainly have not met, or 1.

        The step in which they meet is a run of its own: at its start the load is limited to what is missing.
        """
        load = sequence.load
        assert load is not None
        gap = sequence.stored_tokens - sequence.position
        now = self.env._now
        low, high = 0, steps - 1  # steps after which they are known not to have met
        while low < high:
            middle = (low + high + 1) // 2
            time_s = now + middle * step_s + 0.5 * growth_s * middle * (middle - 1)
            missing = gap - take * middle
            if missing > 0 and load.surely_before(missing, time_s):
                low = middle
            else:
                high = middle - 1
        return max(1, low)

    def _run_s(self, steps: int) -> float:
        return steps * self._step_s + 0.5 * self._growth_s * steps * (steps - 1)

    def _schedule_end(self) -> None:
        """Arm the end of the run; an overlapped load that is still under way arms it when it has arrived."""
        end_s = self._start_s + self._run_s(self._steps)
        for sequence, _ in self._chunks:
            if sequence.overlaps and sequence.load is not None:
                done_s = sequence.load.done_s
                if done_s is None:
                    self._call = None
                    return
                end_s = max(end_s, done_s + self._step_s / self.cost.model.layers)
        self._call = self.env.call_at(end_s, self._end, STEP_END)

    def _step_under_way(self, elapsed_s: float) -> int:
        """Return the number, from 1 on, of the run's first step that ends `elapsed_s` after its start or later."""
        linear_s = self._step_s - 0.5 * self._growth_s
        if self._growth_s > 0.0:
            root = math.sqrt(linear_s * linear_s + 2.0 * self._growth_s * elapsed_s)
            steps = int((root - linear_s) / self._growth_s)
        else:
            steps = int(elapsed_s / self._step_s)
        steps = max(1, min(steps, self._steps))
        while steps > 1 and self._run_s(steps - 1) >= elapsed_s:
            steps -= 1
        while self._run_s(steps) < elapsed_s:
            steps += 1
        return steps

    def _cut(self) -> None:
        """End the run at the end of the step under way."""
        if self._steps <= 1 or self._call is None:
            return
        steps = self._step_under_way(self.env._now - self._start_s)
        if steps < self._steps:
            self._call.cancel()
            self._steps = steps
            self._schedule_end()

    def _end(self) -> None:
        """Apply a run of steps, then form the next."""
        now = self.env._now
        k = self._steps
        decoding = self._decoding
        n = len(decoding)
        self._account(now, k, n)
        if n:
            self._clock += k
            self._context += k * n
        for sequence, take in self._chunks:
            sequence.position += take * k
            sequence.computed_tokens += take * k
            if sequence.load is not None:
                if sequence.overlaps:
                    self._end_load(sequence)
                    sequence.overlaps = False
                    sequence.load_step_s = 0.0  # was part of this step
                else:
                    self._meet(sequence)
                    continue
            if sequence.position >= sequence.prefill_to:
                self._line(sequence).remove(sequence)
                self._prefilled(sequence, now)
        clock = self._clock
        while decoding and decoding[0][0] <= clock:
            sequence = heappop(decoding)[2]
            self._context -= sequence.join_context + clock - sequence.join_clock
            self._decode_shared -= len(sequence.shared) * self.kv.pool.chunk_blocks
            sequence.generated_tokens = sequence.output_tokens
            tokens = sequence.input_tokens + sequence.output_tokens - 1
            size = self.kv.block_tokens
            held = -(-tokens // size) - len(sequence.shared) * self.kv.pool.chunk_blocks
            self.kv.take_from_decodes(sequence, held)
            self._finish(sequence)
        self._start()

    def _account(self, now: float, k: int, n: int) -> None:
        """Book time and energy of the run that ends now."""
        duration_s = now - self._start_s
        tokens = n
        pairs = 0.0
        for sequence, take in self._chunks:
            tokens += take
            pairs += chunk_pairs(sequence.position, take * k)
        context = k * self._context + 0.5 * n * k * (k - 1)
        energy_j = self.cost.energy_j(duration_s, k, k * tokens, context, pairs)
        self.busy_s += duration_s
        self.busy_j += energy_j
        self.steps += k
        self.computed_tokens += k * tokens
        if self.intervals is not None:
            self.intervals.append(
                self.index,
                self._start_s,
                now,
                k,
                n,
                k * (tokens - n),
                len(self._waiting),
                len(self._admitted),
                self.kv.pool.used_blocks,
                energy_j,
            )

    def _prefilled(self, sequence: Sequence, now: float) -> None:
        """The last chunk is computed, and with it the next token of the answer."""
        if sequence.first_token_s < 0.0:
            sequence.first_token_s = now
        sequence.generated_tokens += 1
        self.kv.share(sequence, len(sequence.shared), sequence.prefill_to)
        if sequence.generated_tokens >= sequence.output_tokens:
            self._finish(sequence)
            return
        sequence.join_clock = self._clock
        sequence.join_context = sequence.prefill_to + 1
        sequence.end_clock = self._clock + sequence.output_tokens - sequence.generated_tokens
        self._context += sequence.join_context
        self._decode_shared += len(sequence.shared) * self.kv.pool.chunk_blocks
        self.kv.hand_to_decodes(sequence)
        self._joined += 1
        heappush(self._decoding, (sequence.end_clock, self._joined, sequence))

    def _finish(self, sequence: Sequence) -> None:
        """The answer is complete: share its blocks, give memory back, report."""
        kv = self.kv
        if kv.prefix_block_tokens:
            kv.share(
                sequence,
                sequence.input_tokens // kv.prefix_block_tokens,
                sequence.input_tokens + sequence.output_tokens - 1,
            )
        kv.release(sequence)
        del self._admitted[sequence]
        self._memory_full = False
        self.outstanding_tokens -= sequence.input_tokens + sequence.output_tokens
        self.on_finish(sequence)
