"""What a KV-loading policy sees: times to compute or to load, from the step cost and the channels."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.policies.kv_loading.protocol import LoadPlan
from simulator.policies.registry import nonsense
from simulator.serving.kv_tiers import KvTiers, Segment, tail_pieces
from simulator.serving.step_cost import StepCost


class AdmissionView:
    """`simulator.policies.kv_loading.LoadView` of one request at its admission."""

    __slots__ = (
        "_cost",
        "_port",
        "_segments",
        "_tiers",
        "io_chunk_tokens",
        "prompt_tokens",
        "resident_tokens",
        "step_tokens",
        "stored_tokens",
    )

    def __init__(
        self,
        cost: StepCost,
        tiers: KvTiers,
        segments: Sequence[Segment],
        port: int,
        prompt_tokens: int,
        resident_tokens: int,
        stored_tokens: int,
        step_tokens: int,
        io_chunk_tokens: int,
    ) -> None:
        self._cost = cost
        self._tiers = tiers
        self._segments = segments
        self._port = port
        self.prompt_tokens = prompt_tokens
        self.resident_tokens = resident_tokens
        self.stored_tokens = stored_tokens
        self.step_tokens = step_tokens
        self.io_chunk_tokens = io_chunk_tokens

    @property
    def handover_s(self) -> float:
        """Time that the engine takes to take over a prefix of which something was loaded, in s."""
        return self._cost.engine.kv_load_overhead_s

    @property
    def rest_s(self) -> float:
        """Time to prefill what follows the stored prefix, in steps of its own, in s."""
        return self._cost.prefill_s(self.stored_tokens, self.prompt_tokens, self.step_tokens)

    def compute_s(self, end: int) -> float:
        """Time to prefill from the resident tokens up to `end` with every step to itself, in s."""
        return self._cost.prefill_s(self.resident_tokens, end, self.step_tokens)

    def load_s(self, start: int) -> float:
        """Time to load from the end of the stored prefix down to `start` over idle channels, in s."""
        return self._load_s(start, idle=True)

    def load_now_s(self, start: int) -> float:
        """The same from now on, with the transfers that share the channels now, in s."""
        return self._load_s(start, idle=False)

    def _load_s(self, start: int, idle: bool) -> float:
        tiers = self._tiers
        operation_bytes = self.io_chunk_tokens * tiers.token_bytes
        total_s = 0.0
        for index, tokens in reversed(
            tail_pieces(self._segments, self.stored_tokens - start, tiers.block_tokens)
        ):
            total_s += tiers.tiers[index].estimate_s(
                self._port, tokens * tiers.token_bytes, operation_bytes, idle=idle, after_s=total_s
            )
        return total_s


class RaceView:
    """`simulator.policies.kv_loading.StepView` of one race at a step's start."""

    __slots__ = ("load_remaining_s", "step_s")

    def __init__(self, step_s: float, load_remaining_s: float) -> None:
        self.step_s = step_s
        self.load_remaining_s = load_remaining_s


def check_plan(policy: object, plan: object, view: AdmissionView) -> LoadPlan:
    """Return `plan` if it makes sense.

    Raises
    ------
    PolicyError
        Naming the policy and the decision where it does not.
    """
    if not isinstance(plan, LoadPlan):
        raise nonsense("kv_loading", policy, f"returned {plan!r}, not a LoadPlan")
    low, high = view.resident_tokens, view.stored_tokens
    if not all(type(it) is int for it in (plan.compute_to, plan.load_from)):
        raise nonsense("kv_loading", policy, f"decided {plan}: tokens are whole numbers")
    if not all(type(it) is bool for it in (plan.yields, plan.overlap_layers)):
        raise nonsense("kv_loading", policy, f"decided {plan}: yields and overlap_layers are true or false")
    if not (low <= plan.compute_to <= high and low <= plan.load_from <= high):
        raise nonsense("kv_loading", policy, f"decided {plan}: both must lie in {low}..{high}")
    if plan.compute_to < plan.load_from:
        raise nonsense(
            "kv_loading",
            policy,
            f"decided {plan}: tokens {plan.compute_to}..{plan.load_from} of the prefix "
            "are neither computed nor loaded",
        )
    if plan.overlap_layers and plan.compute_to > low:
        raise nonsense(
            "kv_loading",
            policy,
            f"decided {plan}: overlap_layers is for prefixes of which nothing is computed, compute_to {low} here",
        )
    return plan
