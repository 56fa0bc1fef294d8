"""What one engine step of an LLM costs in time and energy on a tensor-parallel group of GPUs.

A step that computes ``new`` tokens, whose decodes read ``context`` cached tokens and whose prefill chunks form
``pairs`` query-key pairs, takes

    step_s = fixed_s + W(new) + sampled_s * decodes + alpha * context + beta * pairs [+ launch_s with prefill]

With a fixed set of decodes and prefill chunks of fixed size only ``context`` and ``pairs`` change from step to
step, both linearly, so the cost of k steps has a closed form (`StepCost.run_s`) and the engine needs no event per
token.

``W`` is a roofline over the dense layers: the time to read the weights that the step touches and the time to do
their floating-point work, joined by a smooth maximum, plus the all-reduces of tensor parallelism.
"""

from __future__ import annotations

import math
from functools import lru_cache

from devices.profiles import EngineFit, GpuProfile
from simulator.serving.engines import EngineProfile
from simulator.serving.models import ModelSpec

ROOFLINE_EXPONENT = 3.0
"""Sharpness of the smooth maximum of memory and compute time: between 2 (A100) and 4 (H100) in GEMM tables of
the aiconfigurator project at 64 to 512 rows (assumed in between until the tables are fitted)."""


class StepCost:
    """Time and energy of engine steps for one model on one tensor-parallel group.

    Parameters
    ----------
    model
        Architecture.
    gpu
        Device profile.
    fit
        What the engine version gets out of that device.
    engine
        Overheads of the engine version.
    tensor_parallel
        GPUs in the group.
    weight_bits
        16 or 8.
    background_tokens
        Tokens of every step that belong to work outside the scenario.
    background_context_tokens
        Context that each of those attends to.
    """

    __slots__ = (
        "alpha_s",
        "background_pairs",
        "background_tokens",
        "beta_s",
        "context_j",
        "engine",
        "fit",
        "fixed_j",
        "fixed_s",
        "gpu",
        "idle_w",
        "launch_s",
        "linear_s",
        "model",
        "pair_j",
        "sampled_s",
        "tensor_parallel",
        "token_j",
        "weight_bits",
    )

    def __init__(
        self,
        model: ModelSpec,
        gpu: GpuProfile,
        fit: EngineFit,
        engine: EngineProfile,
        tensor_parallel: int = 1,
        weight_bits: int = 16,
        background_tokens: int = 0,
        background_context_tokens: float = 0.0,
    ) -> None:
        self.model = model
        self.gpu = gpu
        self.fit = fit
        self.engine = engine
        self.tensor_parallel = tensor_parallel
        self.weight_bits = weight_bits
        self.background_tokens = background_tokens
        self.background_pairs = background_tokens * background_context_tokens

        tp = tensor_parallel
        bandwidth = gpu.memory_bandwidth_bytes_per_s * fit.memory_efficiency * tp
        attention_rate = gpu.bf16_flops * fit.attention_efficiency * tp
        flops_per_pair = 4.0 * model.layers * model.attention_heads * model.head_dim
        head_bytes = model.vocabulary * model.hidden * 2.0
        self.alpha_s = kv_bytes_per_token_per_group(model, tp) / bandwidth
        """Time per cached token that a decode reads, in s."""
        self.beta_s = flops_per_pair / attention_rate
        """Time per query-key pair of prefill attention, in s."""
        self.fixed_s = (
            engine.step_overhead_s
            + model.layers * engine.layer_overhead_s
            + (engine.tensor_parallel_overhead_s if tp > 1 else 0.0)
            + head_bytes / bandwidth
            + self.beta_s * self.background_pairs
        )
        """Time of a step before any token of the scenario, in s."""
        self.sampled_s = engine.sequence_overhead_s + 2.0 * model.vocabulary * model.hidden / (
            gpu.bf16_flops * fit.gemm_efficiency * tp
        )
        """Time per sampled token: output layer and the engine's overhead per sequence, in s."""
        self.launch_s = 2.0 * model.layers * engine.allreduce_overhead_s if tp > 1 else 0.0
        """Extra time of a step with prefill chunks: its all-reduces are launched one by one, in s."""
        self.linear_s = lru_cache(maxsize=1 << 16)(self._linear_s)
        """``linear_s(new)``: time of the dense layers over `new` tokens of the scenario, in s; remembered."""

        self.idle_w = gpu.idle_w * tp
        """Power of the group when nothing runs, in W."""
        self.token_j = 2.0 * model.active_layer_parameters * gpu.joules_per_flop
        """Energy per new token above idle, in J."""
        self.pair_j = flops_per_pair * gpu.joules_per_flop
        """Energy per query-key pair above idle, in J."""
        self.context_j = model.kv_bytes_per_token * gpu.joules_per_byte
        """Energy per cached token that a decode reads, above idle, in J."""
        self.fixed_j = (
            (self._weight_bytes(max(1, background_tokens)) + head_bytes) * gpu.joules_per_byte
            + background_tokens * self.token_j
            + self.background_pairs * self.pair_j
        )
        """Energy per step above idle before any token of the scenario, in J."""

    def _weight_bytes(self, tokens: int) -> float:
        """Bytes of layer weights that a step over `tokens` tokens reads, all GPUs of the group together.

        With experts, only those that at least one token is routed to (uniform routing assumed).
        """
        model = self.model
        weights = float(model.layer_parameters)
        if model.experts:
            missed = (1.0 - model.experts_per_token / model.experts) ** tokens
            weights -= missed * model.experts * model.layers * model.expert_parameters
        return weights * self.weight_bits / 8

    def _linear_s(self, new: int) -> float:
        tokens = new + self.background_tokens
        if tokens <= 0:
            return 0.0
        gpu, fit, tp = self.gpu, self.fit, self.tensor_parallel
        memory_s = self._weight_bytes(tokens) / (
            gpu.memory_bandwidth_bytes_per_s * fit.memory_efficiency * tp
        )
        if self.weight_bits == 16:
            rate = gpu.bf16_flops * fit.gemm_efficiency
        elif gpu.fp8_flops:
            rate = gpu.fp8_flops * fit.fp8_gemm_efficiency
        else:
            rate = gpu.bf16_flops * fit.gemm_efficiency * gpu.weight_only_efficiency
        compute_s = 2.0 * tokens * self.model.active_layer_parameters / (rate * tp)
        power = ROOFLINE_EXPONENT
        roofline_s: float = (memory_s**power + compute_s**power) ** (1 / power)
        return roofline_s + self._allreduce_s(tokens)

    def _allreduce_s(self, tokens: int) -> float:
        """Time of the two all-reduces per layer; a ring's traffic grows with 2 (n - 1) / n."""
        tp = self.tensor_parallel
        if tp == 1:
            return 0.0
        gpu = self.gpu
        message_bytes = tokens * self.model.hidden * 2.0 * (2.0 * (tp - 1) / tp)
        once_s = gpu.allreduce_latency_s + message_bytes / gpu.allreduce_bandwidth_bytes_per_s
        return 2.0 * self.model.layers * once_s

    def step_s(self, new: int, decodes: int = 0, context_tokens: float = 0.0, pairs: float = 0.0) -> float:
        """Return the duration of one step in s.

        Parameters
        ----------
        new
            New tokens: one per decode plus the prefill chunks.
        decodes
            Decoding sequences.
        context_tokens
            Sum over decodes of the tokens each attends to.
        pairs
            Query-key pairs of the prefill chunks.
        """
        return (
            self.fixed_s
            + self.linear_s(new)
            + self.sampled_s * decodes
            + self.alpha_s * context_tokens
            + self.beta_s * pairs
            + (self.launch_s if pairs else 0.0)
        )

    def prefill_s(self, start: int, end: int, chunk: int) -> float:
        """Return the time to prefill tokens ``[start, end)`` alone, in chunks of `chunk` tokens, in s."""
        whole, rest = divmod(end - start, chunk)
        time_s = self.beta_s * chunk_pairs(start, end - start)
        if whole:
            time_s += whole * (self.fixed_s + self.launch_s + self.linear_s(chunk))
        if rest:
            time_s += self.fixed_s + self.launch_s + self.linear_s(rest)
        return time_s

    def fluid_prefill_s(self, start: int, end: int, chunk: int) -> float:
        """Return the time to prefill ``[start, end)`` if steps could be cut anywhere at no loss, in s.

        A lower bound of `prefill_s` with the same or smaller chunks: every token costs its share of a whole step.
        """
        per_token_s = (self.fixed_s + self.launch_s + self.linear_s(chunk)) / chunk
        return (end - start) * per_token_s + self.beta_s * chunk_pairs(start, end - start)

    def floor_s(self, new: int, context_tokens: float = 0.0) -> float:
        """Return what no step can go below: bytes over peak bandwidth and FLOPs over peak rate, in s."""
        gpu, tp = self.gpu, self.tensor_parallel
        tokens = new + self.background_tokens
        read = self._weight_bytes(tokens) + context_tokens * self.model.kv_bytes_per_token
        rate = gpu.bf16_flops if self.weight_bits == 16 else max(gpu.fp8_flops, gpu.bf16_flops)
        compute_s = 2.0 * tokens * self.model.active_layer_parameters / (rate * tp)
        return max(read / (gpu.memory_bandwidth_bytes_per_s * tp), compute_s)

    def energy_j(
        self,
        steps: int,
        step_s: float,
        growth_s: float,
        new: int,
        context_tokens: float,
        context_growth: float,
        pairs: float,
        pairs_growth: float,
    ) -> float:
        """Return the energy of the group over equal steps, idle power included, in J.

        Parameters
        ----------
        steps
            Number of steps.
        step_s, growth_s
            Duration of the first step, and by how much each further one is longer.
        new
            Tokens that each step computes.
        context_tokens, context_growth
            Tokens that decodes read in the first step, and how many more in each further one.
        pairs, pairs_growth
            Query-key pairs of prefill chunks in the first step, and how many more in each further one.

        Notes
        -----
        Each step's power is held at the board limit. Work and limit are both linear in the number of the step, so
        that one of them is the smaller up to where they cross and the other one from there.
        """
        spare_w = self.gpu.tdp_w * self.tensor_parallel - self.idle_w
        work_j = self.fixed_j + new * self.token_j + context_tokens * self.context_j + pairs * self.pair_j
        work_growth_j = context_growth * self.context_j + pairs_growth * self.pair_j
        limit_j, limit_growth_j = spare_w * step_s, spare_w * growth_s
        triangle = 0.5 * steps * (steps - 1)
        idle_j = self.idle_w * (steps * step_s + growth_s * triangle)
        over_j, over_growth_j = work_j - limit_j, work_growth_j - limit_growth_j
        if over_j <= 0.0 and over_j + over_growth_j * (steps - 1) <= 0.0:
            return idle_j + steps * work_j + work_growth_j * triangle
        if over_j >= 0.0 and over_j + over_growth_j * (steps - 1) >= 0.0:
            return idle_j + steps * limit_j + limit_growth_j * triangle
        first = min(steps, math.ceil(-over_j / over_growth_j))  # steps on this side of the crossing
        rest, early = steps - first, 0.5 * first * (first - 1)
        here, here_growth, there, there_growth = (
            (work_j, work_growth_j, limit_j, limit_growth_j)
            if over_j < 0.0
            else (limit_j, limit_growth_j, work_j, work_growth_j)
        )
        return idle_j + first * here + here_growth * early + rest * there + there_growth * (triangle - early)


def chunk_pairs(position: int, tokens: int) -> float:
    """Return the query-key pairs of a causal chunk of `tokens` tokens that starts at `position`."""
    return tokens * (position + 0.5 * (tokens + 1))


def kv_bytes_per_token_per_group(model: ModelSpec, tensor_parallel: int) -> float:
    """Return the KV bytes that a tensor-parallel group keeps per token: heads are copied where GPUs outnumber them."""
    copies = max(1.0, tensor_parallel / model.kv_heads)
    return model.kv_bytes_per_token * copies
