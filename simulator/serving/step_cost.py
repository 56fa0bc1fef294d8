"""How long one engine step of an LLM takes on a tensor-parallel group of GPUs.

A step that computes ``new`` tokens, whose decodes read ``context`` cached tokens and whose prefill chunks form
``pairs`` query-key pairs, takes

    step_s = fixed_s + W(new) + R(decodes) + alpha * context [+ P(prefill) + beta(prefill) * pairs]

With a fixed set of decodes and prefill chunks of fixed size only ``context`` and ``pairs`` change from step to
step, both linearly, so the cost of k steps has a closed form (`simulator.serving.run`) and the engine needs no event
per token.

``W`` is the sum over the matrix products of the layers (`simulator.serving.kernels`), the element-wise operations
between them, and the all-reduces of tensor parallelism; ``R`` is the output layer and what each sequence costs;
``P`` and ``beta`` depend on how many tokens the step prefills. Each is computed once per argument and remembered.
"""

from __future__ import annotations

from functools import lru_cache

from devices.errors import Fault, InputError
from devices.profiles import NUMBER_FORMATS, EngineFit, GemmRate, GpuProfile
from simulator.serving.engines import EngineProfile
from simulator.serving.kernels import allreduce_s, gemm_s, tile_rows, tiled, waves
from simulator.serving.models import ModelSpec
from simulator.serving.step_energy import StepEnergy
from simulator.serving.work import (
    chunk_pairs,
    elementwise_values,
    flops_per_pair,
    kv_bytes_per_token_per_group,
    kv_streams,
    products,
)


def _missing_formats(gpu: GpuProfile, number_format: str) -> list[str]:
    """Return the formats that a step needs and a GPU lacks: 8 bits and fewer can be expanded to 16."""
    layers = number_format
    if layers not in gpu.gemm and NUMBER_FORMATS[layers] <= 8:
        layers = "bf16"
    head = "fp32" if number_format == "fp32" else "bf16"
    return [name for name in dict.fromkeys((layers, head)) if name not in gpu.gemm]


class StepCost:
    """Time of engine steps for one model on one tensor-parallel group; its `energy` tells what they draw.

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
    number_format
        That of the layers' weights, of `devices.profiles.NUMBER_FORMATS`. Without hardware for a format of 8
        bits or fewer the weights are expanded to 16 bits on the fly.
    background_tokens
        Tokens of every step that belong to work outside the scenario.
    background_context_tokens
        Context that each of those attends to.
    expert_parallel, expert_imbalance
        How experts are dealt out among the GPUs (`simulator.serving.work.products`).
    stages
        Tensor-parallel groups that the layers are dealt out to; more than one are for `PipelineCost`.

    Raises
    ------
    InputError
        Where the GPU has no rate of matrix products in a number format that a step needs.
    """

    __slots__ = (
        "alpha_s",
        "background_pairs",
        "background_tokens",
        "beta_s",
        "energy",
        "engine",
        "expert_imbalance",
        "expert_parallel",
        "fit",
        "fixed_s",
        "gpu",
        "head_s",
        "launch_s",
        "linear_s",
        "model",
        "most_tokens_per_step",
        "number_format",
        "pair_s",
        "rows_s",
        "sequence_s",
        "stages",
        "tensor_parallel",
        "tokens_per_step",
    )

    def __init__(
        self,
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
        stages: int = 1,
    ) -> None:
        missing = _missing_formats(gpu, number_format)
        if missing:
            raise InputError(
                Fault(
                    f"{model.name} in {number_format} on {gpu.name}: no rate of matrix products in "
                    f"{' and '.join(missing)}; the device has: {', '.join(gpu.gemm)}",
                    "precision",
                )
            )
        self.model = model
        self.gpu = gpu
        self.fit = fit
        self.engine = engine
        self.tensor_parallel = tensor_parallel
        self.number_format = number_format
        self.stages = stages
        self.expert_parallel = expert_parallel
        self.expert_imbalance = expert_imbalance
        self.background_tokens = background_tokens
        self.tokens_per_step = 1.0
        """Mean tokens that a step brings each decode."""
        self.most_tokens_per_step = 1
        """Most tokens that a step brings each decode."""
        self.background_pairs = background_tokens * background_context_tokens

        tp = tensor_parallel
        self.alpha_s = kv_bytes_per_token_per_group(model, tp) / (
            gpu.memory_bandwidth_bytes_per_s * gpu.kv_read_efficiency * fit.memory_share * tp
        )
        """Time per cached token that a decode reads, in s."""
        self.beta_s = flops_per_pair(model) / (
            gpu.peak_flops * gpu.attention_efficiency * fit.attention_share * tp
        )
        """Time per query-key pair of prefill attention that fills the GPU, in s (see `pair_s`)."""
        self.pair_s = lru_cache(maxsize=1 << 12)(self._pair_s)
        """``pair_s(tokens)``: time per query-key pair where a step prefills `tokens` tokens, in s."""
        self.fixed_s = (
            engine.step_overhead_s
            + model.layers * engine.layer_overhead_s
            + (engine.tensor_parallel_overhead_s if tp > 1 else 0.0)
            + self.beta_s * self.background_pairs
        )
        """Time of a step before any token of the scenario, in s."""
        self.launch_s = model.layers * (
            gpu.attention_launch_s + (2.0 * engine.allreduce_overhead_s if tp > 1 else 0.0)
        )
        """Extra time of a step with prefill chunks: their attention, and all-reduces launched one by one, in s."""
        self.sequence_s = engine.sequence_overhead_s + kv_streams(model, tp) * gpu.kv_read_stream_s
        """Time per decoding sequence: the engine's work and the streams of KV that it reads, in s."""
        self.linear_s = lru_cache(maxsize=1 << 16)(self._linear_s)
        """``linear_s(new)``: time of the layers but for attention over `new` tokens of the scenario, in s."""
        self.rows_s = lru_cache(maxsize=1 << 12)(self._rows_s)
        """``rows_s(decodes)``: time of the output layer and of what does not depend on the context of decodes, in s."""

        self.head_s = lru_cache(maxsize=1 << 12)(self._head_s)
        """``head_s(rows)``: time of the output layer over `rows` tokens, in s."""

        self.energy = StepEnergy(
            model, gpu, tp, number_format, background_tokens, self.background_pairs, stages
        )
        """What steps cost in energy."""

    @property
    def _activation_bytes(self) -> float:
        """Bytes of an activation: 4 where weights have 32 bits, else 2."""
        return 4.0 if self.number_format == "fp32" else 2.0

    def _rate(self, number_format: str) -> tuple[GemmRate, float, float]:
        """Return the GEMM rate of a format, and the bandwidth and arithmetic rate that the engine makes of it."""
        gpu, share = self.gpu, 1.0
        if number_format not in gpu.gemm and NUMBER_FORMATS[number_format] <= 8:
            number_format, share = "bf16", gpu.weight_only_efficiency
        rate = gpu.gemm[number_format]
        bandwidth = gpu.memory_bandwidth_bytes_per_s * rate.memory_efficiency * self.fit.memory_share
        return rate, bandwidth, rate.peak_flops * rate.efficiency * self.fit.gemm_share * share

    @property
    def gpus(self) -> int:
        """GPUs that a replica takes."""
        return self.tensor_parallel * self.stages

    def growth_s(self, new: int, context_growth: float) -> float:
        """Return by how much a step is longer than the one before it, as decodes have more to read.

        Parameters
        ----------
        new
            Tokens of the step.
        context_growth
            Tokens more that they read, all together.
        """
        return self.alpha_s * context_growth

    def chunk_growth_s(self, new: int, chunk: int) -> float:
        """Return by how much a step is longer than the one before it, as a prompt's next chunk has more to attend to.

        Parameters
        ----------
        new
            Tokens of the step.
        chunk
            Tokens of the chunk.
        """
        return self.pair_s(chunk) * chunk * chunk

    def _linear_s(self, new: int) -> float:
        return self._layers_s(new + self.background_tokens)

    def _layers_s(self, tokens: int) -> float:
        """Time of the layers but for attention over `tokens` tokens, in s."""
        if tokens <= 0:
            return 0.0
        model, tp = self.model, self.tensor_parallel
        rate, bandwidth, flops = self._rate(self.number_format)
        width, moved = NUMBER_FORMATS[self.number_format] / 8, self._activation_bytes
        entering = width if self.number_format in self.gpu.gemm else moved
        layers_s = tokens * moved * elementwise_values(model, tp) / bandwidth
        layers_s += model.expert_layers * self.gpu.expert_launch_s
        for layers, inputs, outputs, rows, padded_rows, experts in products(
            model,
            tokens,
            tp,
            tile_rows(self.number_format),
            self.expert_parallel,
            self.expert_imbalance,
        ):
            layers_s += layers * gemm_s(
                rate,
                inputs * (width * (experts or 1.0) * outputs + entering * rows) + moved * rows * outputs,
                2.0 * padded_rows * inputs * outputs,
                inputs,
                rows * inputs,
                bandwidth,
                flops * (self.gpu.expert_share if experts else 1.0),
            )
        return layers_s + self._allreduce_s(tokens)

    def _rows_s(self, decodes: int) -> float:
        launch_s = self.model.layers * self.gpu.kv_read_launch_s if decodes else 0.0
        return launch_s + self.sequence_s * decodes + self.head_s(max(1, decodes))

    def _head_s(self, rows: int) -> float:
        """Time of the output layer over `rows` tokens, in s."""
        model = self.model
        rate, bandwidth, flops = self._rate("fp32" if self.number_format == "fp32" else "bf16")
        outputs, moved = model.vocabulary / self.tensor_parallel, self._activation_bytes
        head_s: float = gemm_s(
            rate,
            moved * (model.hidden * (outputs + rows) + rows * outputs),
            2.0 * tiled(rows, tile_rows(self.number_format)) * model.hidden * outputs,
            model.hidden,
            rows * model.hidden,
            bandwidth,
            flops,
        )
        return head_s

    def _allreduce_s(self, tokens: int) -> float:
        """Time of the two all-reduces per layer."""
        if self.tensor_parallel == 1:
            return 0.0
        message_bytes = tokens * self.model.hidden * self._activation_bytes
        return 2.0 * self.model.layers * allreduce_s(self.gpu, message_bytes, self.tensor_parallel)

    def _pair_s(self, tokens: int) -> float:
        heads = self.model.attention_heads / self.tensor_parallel
        share: float = waves(tokens, heads, self.gpu.multiprocessors, tile_rows(self.number_format))
        return self.beta_s * share

    def _prefill_s(self, tokens: int, pairs: float) -> float:
        """Attention of prefill chunks of `tokens` tokens in all, and what a step with chunks costs beyond it."""
        per_token_s = self.beta_s * self.gpu.attention_token_pairs
        return self.launch_s + per_token_s * tokens + self.pair_s(tokens) * pairs

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
            + self.rows_s(decodes)
            + self.alpha_s * context_tokens
            + (self._prefill_s(new - decodes, pairs) if pairs else 0.0)
        )

    def prefill_s(self, start: int, end: int, chunk: int) -> float:
        """Return the time to prefill tokens ``[start, end)`` alone, in chunks of `chunk` tokens, in s."""
        whole, rest = divmod(end - start, chunk)
        time_s = 0.0
        if whole:
            time_s += whole * (self.step_s(chunk) + self._prefill_s(chunk, 0.0))
            time_s += self.pair_s(chunk) * chunk_pairs(start, whole * chunk)
        if rest:
            time_s += self.step_s(rest, pairs=chunk_pairs(end - rest, rest))
        return time_s


def summed_prefill_s(cost: StepCost, start: int, end: int, chunk: int) -> float:
    """Return `StepCost.prefill_s` from what any cost says of its first step and of how much longer each next one is."""
    whole, rest = divmod(end - start, chunk)
    time_s = 0.0
    if whole:
        time_s += whole * cost.step_s(chunk, pairs=chunk_pairs(start, chunk))
        time_s += 0.5 * whole * (whole - 1) * cost.chunk_growth_s(chunk, chunk)
    if rest:
        time_s += cost.step_s(rest, pairs=chunk_pairs(end - rest, rest))
    return time_s
