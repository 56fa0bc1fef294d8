"""How long an engine step takes, and what it draws, where a small model drafts and the large one verifies.

In a step a draft model decodes `draft_tokens` tokens of every sequence, one after the other on the same GPUs; then the
target model computes those and one more in one go (Leviathan et al. 2023, arXiv:2211.17192). Prompts are prefilled by
both. A step of the draft model costs what one of its own would, but for the engine's overhead per step, which is paid
once.
"""

from __future__ import annotations

from devices.profiles import EngineFit, GpuProfile
from simulator.serving.engines import EngineProfile
from simulator.serving.models import ModelSpec
from simulator.serving.step_cost import StepCost, summed_prefill_s
from simulator.serving.step_energy import StepEnergy


def expected_tokens(draft_tokens: int, acceptance: float) -> float:
    """Return the mean tokens per step: ``(1 - a^(k + 1)) / (1 - a)`` (Leviathan et al. 2023, equation 1)."""
    if acceptance == 1.0:
        return draft_tokens + 1.0
    return float((1.0 - acceptance ** (draft_tokens + 1)) / (1.0 - acceptance))


class SpeculativeCost(StepCost):
    """Time of engine steps with speculative decoding (other parameters: `StepCost`, of the target model).

    As everywhere, a decode counts as one new token of a step; that it is drafted and verified is added here.

    Parameters
    ----------
    draft
        Step cost of the draft model on the same GPUs.
    draft_tokens
        Tokens that are drafted per step and sequence.
    acceptance
        Chance that a drafted token is accepted, after those before it were.
    """

    __slots__ = ("draft", "draft_tokens")

    def __init__(
        self,
        draft: StepCost,
        draft_tokens: int,
        acceptance: float,
        model: ModelSpec,
        gpu: GpuProfile,
        fit: EngineFit,
        engine: EngineProfile,
        tensor_parallel: int = 1,
        number_format: str = "bf16",
        background_tokens: int = 0,
        background_context_tokens: float = 0.0,
        expert_parallel: int = 1,
        expert_imbalance: float = 1.0,
    ) -> None:
        super().__init__(
            model,
            gpu,
            fit,
            engine,
            tensor_parallel,
            number_format,
            background_tokens,
            background_context_tokens,
            expert_parallel,
            expert_imbalance,
        )
        self.draft = draft
        self.draft_tokens = draft_tokens
        self.tokens_per_step = expected_tokens(draft_tokens, acceptance)
        self.most_tokens_per_step = draft_tokens + 1
        self.energy = SpeculativeEnergy(self, draft.energy, draft_tokens)

    def _draft_step_s(self, new: int, decodes: int, context_tokens: float, pairs: float) -> float:
        draft_s: float = self.draft.step_s(new, decodes, context_tokens, pairs)
        return draft_s - self.engine.step_overhead_s

    def growth_s(self, new: int, context_growth: float) -> float:
        """Return by how much a step is longer than the one before it, as decodes have more to read."""
        return (self.alpha_s + self.draft_tokens * self.draft.alpha_s) * context_growth

    def chunk_growth_s(self, new: int, chunk: int) -> float:
        """Return by how much a step is longer than the one before it, as a prompt's next chunk has more to read."""
        return (self.pair_s(chunk) + self.draft.pair_s(chunk)) * chunk * chunk

    def step_s(self, new: int, decodes: int = 0, context_tokens: float = 0.0, pairs: float = 0.0) -> float:
        """Return the duration of one step in s (parameters: `StepCost.step_s`)."""
        k = self.draft_tokens
        launch_s = self.model.layers * self.gpu.kv_read_launch_s if decodes else 0.0
        time_s: float = self.fixed_s + self.linear_s(new + k * decodes) + self.alpha_s * context_tokens
        time_s += launch_s + self.sequence_s * decodes + self.head_s(max(1, decodes * (k + 1)))
        if pairs:
            prefilled = new - decodes
            time_s += self._prefill_s(prefilled, pairs) + self._draft_step_s(prefilled, 0, 0.0, pairs)
        if decodes:
            # Each of them reads one token more than the one before.
            time_s += k * self._draft_step_s(decodes, decodes, context_tokens, 0.0)
            time_s += 0.5 * k * (k - 1) * decodes * self.draft.alpha_s
        return time_s

    def prefill_s(self, start: int, end: int, chunk: int) -> float:
        """Return the time to prefill tokens ``[start, end)`` alone, in chunks of `chunk` tokens, in s."""
        return summed_prefill_s(self, start, end, chunk)


class SpeculativeEnergy(StepEnergy):
    """Energy of engine steps with speculative decoding.

    Parameters
    ----------
    cost
        Their step cost.
    draft
        Energy of the draft model's steps.
    draft_tokens
        Tokens that are drafted per step and sequence.
    """

    __slots__ = ("_draft", "_draft_tokens")

    def __init__(self, cost: StepCost, draft: StepEnergy, draft_tokens: int) -> None:
        super().__init__(
            cost.model,
            cost.gpu,
            cost.tensor_parallel,
            cost.number_format,
            cost.background_tokens,
            cost.background_pairs,
        )
        self.pair_j += draft.pair_j
        self.context_j += draft_tokens * draft.context_j
        self._draft = draft
        self._draft_tokens = draft_tokens

    def constant_j(self, new: int, decodes: int) -> float:
        """Return the energy of a step above idle but for attention, in J."""
        k, draft = self._draft_tokens, self._draft
        joules: float = self.step_j(new + k * decodes)
        if decodes:
            joules += k * draft.step_j(decodes) + 0.5 * k * (k - 1) * decodes * draft.context_j
        if new > decodes:
            joules += draft.step_j(new - decodes)
        return joules
