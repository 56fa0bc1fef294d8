"""The back pointers of a replica: from the start of a load to the moment when the prefix is complete."""

from __future__ import annotations

from collections.abc import Callable

from simulator.core import Environment
from simulator.serving.kv_manager import KvManager
from simulator.serving.kv_tiers import Load, Segment
from simulator.serving.pointers import Pointers
from simulator.serving.sequence import Sequence
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs


class Loader:
    """Starts loads, tests whether front and back pointer have met, and hands complete prefixes over.

    Parameters
    ----------
    env
        The simulation's environment.
    cost
        Step cost.
    kv
        KV cache of the replica.
    token_budget
        Tokens per step.
    dequantisation_s_per_token
        GPU time to expand one loaded token's KV.
    on_loaded
        Told a sequence whose back pointer has brought all that it was to bring.
    on_ready
        Told a sequence whose prefix is complete and taken over by the engine.
    pointers
        Told each load that has ended; None: nothing is recorded.
    """

    __slots__ = (
        "_cost",
        "_dequantisation_s",
        "_env",
        "_kv",
        "_on_loaded",
        "_on_ready",
        "_pointers",
        "_token_budget",
    )

    def __init__(
        self,
        env: Environment,
        cost: StepCost,
        kv: KvManager,
        token_budget: int,
        dequantisation_s_per_token: float,
        on_loaded: Callable[[Sequence], None],
        on_ready: Callable[[Sequence], None],
        pointers: Pointers | None,
    ) -> None:
        self._env = env
        self._cost = cost
        self._kv = kv
        self._token_budget = token_budget
        self._dequantisation_s = dequantisation_s_per_token
        self._on_loaded = on_loaded
        self._on_ready = on_ready
        self._pointers = pointers

    def start(self, sequence: Sequence, segments: list[Segment], tokens: int) -> Load:
        """Start loading the last `tokens` tokens of a sequence's stored prefix."""
        load = self._kv.load(segments, tokens, lambda: self._on_loaded(sequence))
        if sequence.overlaps:
            self._env.call_at(self._env._now, lambda: self._gate(sequence, load))
        return load

    def met(self, sequence: Sequence) -> bool:
        """Test whether the pointers have met; if so end the load and hand the prefix over.

        If not, the back pointer is told how far the front one has come.
        """
        load = sequence.load
        assert load is not None
        if sequence.position < sequence.stored_tokens - load.loaded_tokens():
            if load.lost:  # the front computes what the back will not bring
                sequence.compute_to = sequence.stored_tokens - load.tokens
                sequence.racing = False
            load.limit(sequence.stored_tokens - sequence.position)
            return False
        delay_s = self._cost.engine.kv_load_overhead_s if load.loaded_tokens() else 0.0
        self.end(sequence)
        self._hand_over(sequence, delay_s)
        return True

    def end(self, sequence: Sequence) -> None:
        """Take the back pointer away and book what it has brought."""
        load = sequence.load
        assert load is not None
        load.cancel()
        for tier, tokens in enumerate(load.tokens_by_tier):
            sequence.loaded_tokens[tier] += tokens
        if self._pointers is not None:
            self._pointers.loaded(sequence, load.pieces())
        sequence.load_step_s = self._dequantisation_s * sum(load.tokens_by_tier)
        sequence.load = None

    def steps_before_meeting(
        self, sequence: Sequence, take: int, steps: int, step_s: float, growth_s: float
    ) -> int:
        """Return after how many of `steps` steps from now on the pointers certainly have not met; at least 1.

        The step in which they meet is a run of its own: at its start the load is limited to what is missing.
        """
        load = sequence.load
        assert load is not None
        gap = sequence.stored_tokens - sequence.position
        now = self._env._now
        low, high = 0, steps - 1
        while low < high:
            middle = (low + high + 1) // 2
            time_s = now + middle * step_s + 0.5 * growth_s * middle * (middle - 1)
            missing = gap - take * middle
            if missing > 0 and load.surely_before(missing, time_s):
                low = middle
            else:
                high = middle - 1
        return max(1, low)

    def expansion_s(self, sequence: Sequence) -> float:
        """Return the GPU time to expand loaded KV that the coming step of a sequence must pay, in s."""
        if sequence.overlaps and sequence.load is not None:
            return self._dequantisation_s * sequence.load.tokens
        return sequence.load_step_s

    def _gate(self, sequence: Sequence, load: Load) -> None:
        """Let a layer-wise load's new tokens into the batch so early that they end with the load."""
        if sequence.load is not load or not sequence.overlaps or sequence.position == sequence.stored_tokens:
            return
        cost = self._cost
        chunk = min(sequence.prefill_to - sequence.stored_tokens, self._token_budget)
        step_s = cost.step_s(chunk, pairs=chunk_pairs(sequence.stored_tokens, chunk))
        layers = cost.model.layers
        lead_s = step_s * (layers - 1) / layers + cost.engine.kv_load_overhead_s
        rest_s = load.remaining_s(load.tokens) - lead_s
        if rest_s > 1e-9:
            self._env.call_at(self._env._now + rest_s, lambda: self._gate(sequence, load))
        else:
            self._hand_over(sequence, cost.engine.kv_load_overhead_s)

    def _hand_over(self, sequence: Sequence, delay_s: float) -> None:
        """The prefix is complete: what follows it may be computed once the engine has taken it over."""
        sequence.position = sequence.stored_tokens
        sequence.compute_to = sequence.prefill_to
        sequence.racing = False
        sequence.yields = False

        def ready() -> None:
            sequence.join_call = None
            self._on_ready(sequence)

        sequence.join_call = self._env.call_at(self._env._now + delay_s, ready)
