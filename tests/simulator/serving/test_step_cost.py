"""What a step costs: one case by hand, and how it must grow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.catalogue import engine_fit, load_profile, profile_names
from devices.profiles import EngineFit, GpuProfile
from simulator.serving.engines import engine_names, load_engine
from simulator.serving.models import ModelSpec, load_model, model_names
from simulator.serving.step_cost import StepCost, chunk_pairs, kv_bytes_per_token_per_group

GPUS = [name for name in profile_names() if isinstance(load_profile(name), GpuProfile)]

TINY = ModelSpec(
    name="tiny",
    title="Tiny",
    source="made up",
    url="",
    layers=2,
    hidden=8,
    attention_heads=4,
    kv_heads=2,
    head_dim=2,
    ffn=16,
    vocabulary=100,
    context_tokens=1000,
)
"""Per layer: attention 2 * 8 * 2 * (4 + 2) = 192, feed-forward 3 * 8 * 16 = 384; 1,152 in both layers."""


@pytest.fixture
def gpu():
    return replace(
        load_profile("a100-80g-sxm"),
        memory_bandwidth_bytes_per_s=1000.0,
        bf16_flops=10_000.0,
        fp8_flops=0.0,
        weight_only_efficiency=0.5,
        allreduce_bandwidth_bytes_per_s=100.0,
        allreduce_latency_s=0.25,
        idle_w=10.0,
        tdp_w=100.0,
        joules_per_flop=0.001,
        joules_per_byte=0.01,
    )


@pytest.fixture
def engine():
    return replace(
        load_engine("vllm-0.6"),
        step_overhead_s=0.5,
        layer_overhead_s=0.125,
        tensor_parallel_overhead_s=0.25,
        allreduce_overhead_s=0.75,
    )


FIT = EngineFit(
    gemm_efficiency=0.5, fp8_gemm_efficiency=0.4, attention_efficiency=0.25, memory_efficiency=0.8
)


def tiny_cost(gpu, engine, **fields):
    return StepCost(TINY, gpu, FIT, engine, **fields)


def test_one_step_by_hand(gpu, engine):
    cost = tiny_cost(gpu, engine)
    # overheads; output layer 100 * 8 * 2 bytes at 800 B/s
    assert cost.fixed_s == pytest.approx(0.5 + 2 * 0.125 + 1600 / 800)
    assert cost.sampled_s == pytest.approx(engine.sequence_overhead_s + 2 * 800 / 5000)
    # KV of a token: 2 * 2 layers * 2 heads * 2 * 2 bytes = 32 bytes at 800 B/s
    assert cost.alpha_s == pytest.approx(32 / 800)
    # a pair: 4 * 2 layers * 4 heads * 2 = 64 FLOP at 2,500 FLOP/s
    assert cost.beta_s == pytest.approx(64 / 2500)
    memory_s, compute_s = 2304 / 800, 2 * 3 * 1152 / 5000
    dense_s = (memory_s**3 + compute_s**3) ** (1 / 3)
    assert cost.linear_s(3) == pytest.approx(dense_s)
    expected_s = cost.fixed_s + dense_s + 2 * cost.sampled_s + 50 * cost.alpha_s + 7 * cost.beta_s
    assert cost.step_s(3, 2, 50, 7) == pytest.approx(expected_s)
    assert cost.floor_s(3, 50) == pytest.approx(max((2304 + 50 * 32) / 1000, 2 * 3 * 1152 / 10_000))


def test_tensor_parallel_by_hand(gpu, engine):
    cost = tiny_cost(gpu, engine, tensor_parallel=2)
    memory_s, compute_s = 2304 / 1600, 2 * 3 * 1152 / 10_000
    # two all-reduces per layer of 3 * 8 * 2 bytes, a ring of two moves them once
    reduces_s = 2 * 2 * (0.25 + 48 / 100)
    assert cost.linear_s(3) == pytest.approx((memory_s**3 + compute_s**3) ** (1 / 3) + reduces_s)
    assert cost.fixed_s == pytest.approx(0.5 + 0.25 + 0.25 + 1600 / 1600)
    # with a prefill chunk each of the four all-reduces is launched by itself
    assert cost.step_s(3, pairs=6) == pytest.approx(cost.step_s(3) + 6 * cost.beta_s + 4 * 0.75)
    assert cost.alpha_s == pytest.approx(32 / 1600)
    # with more GPUs than KV heads each head is kept twice
    assert tiny_cost(gpu, engine, tensor_parallel=4).alpha_s == pytest.approx(64 / 3200)
    assert kv_bytes_per_token_per_group(TINY, 4) == 64


def test_energy_by_hand_and_its_limit(gpu, engine):
    cost = tiny_cost(gpu, engine)
    fixed_j = (2304 + 1600) * 0.01
    work_j = fixed_j + 3 * 2 * 1152 * 0.001 + 50 * 32 * 0.01 + 7 * 64 * 0.001
    assert cost.energy_j(1, 5.0, 0.0, 3, 50, 0, 7, 0) == pytest.approx(50.0 + work_j)
    assert cost.energy_j(1, 0.5, 0.0, 3, 50, 0, 7, 0) == 50.0  # half a second at the board's limit
    assert cost.energy_j(2, 5.0, 1.0, 3, 50, 4, 7, 0) == pytest.approx(110.0 + 2 * work_j + 4 * 32 * 0.01)


@pytest.mark.parametrize("step_s", [0.1, 0.6, 0.8, 1.0, 5.0])
@pytest.mark.parametrize("context_growth", [0, 5, 200])
@pytest.mark.parametrize("growth_s", [0.0, 0.05, 0.2])
def test_energy_of_a_run_is_that_of_its_steps(gpu, engine, step_s, growth_s, context_growth):
    cost = tiny_cost(gpu, engine)
    run_j = cost.energy_j(9, step_s, growth_s, 3, 50, context_growth, 7, 2)
    steps_j = [
        cost.energy_j(1, step_s + k * growth_s, 0.0, 3, 50 + k * context_growth, 0, 7 + 2 * k, 0)
        for k in range(9)
    ]
    assert run_j == pytest.approx(sum(steps_j), rel=1e-12)


def test_eight_bit_weights_halve_the_reading(gpu, engine):
    cost = tiny_cost(gpu, engine, weight_bits=8)
    compute_s = 2 * 3 * 1152 / (10_000 * 0.5 * 0.5)  # no fp8 units: expanded to bf16 at half the rate
    assert cost.linear_s(3) == pytest.approx(((1152 / 800) ** 3 + compute_s**3) ** (1 / 3))


def test_background_tokens_are_part_of_every_step(gpu, engine):
    plain = tiny_cost(gpu, engine)
    cost = tiny_cost(gpu, engine, background_tokens=5, background_context_tokens=10)
    assert cost.linear_s(3) == pytest.approx(plain.linear_s(8))
    assert cost.fixed_s == pytest.approx(plain.fixed_s + 50 * plain.beta_s)
    assert cost.floor_s(3) == pytest.approx(plain.floor_s(8))


def test_pairs_of_a_chunk_add_up():
    """A causal chunk: each token attends to all before it and itself."""
    assert chunk_pairs(10, 4) == 11 + 12 + 13 + 14
    assert chunk_pairs(0, 7) + chunk_pairs(7, 5) == chunk_pairs(0, 12)


@pytest.mark.parametrize(
    ("start", "end", "chunk"), [(0, 1, 512), (0, 512, 512), (37, 4000, 256), (100, 613, 512)]
)
def test_prefill_is_the_sum_of_its_steps(start, end, chunk):
    cost = catalogue_cost("llama-3.1-8b", "a100-80g-sxm", "vllm-0.6")
    position, total_s = start, 0.0
    while position < end:
        take = min(chunk, end - position)
        total_s += cost.step_s(take, pairs=chunk_pairs(position, take))
        position += take
    assert cost.prefill_s(start, end, chunk) == pytest.approx(total_s, rel=1e-12)
    assert cost.fluid_prefill_s(start, end, chunk) <= total_s * (1 + 1e-12)
    assert cost.prefill_s(end, end, chunk) == 0.0


def catalogue_cost(model: str, gpu: str, engine: str, **fields) -> StepCost:
    profile, spec = load_profile(gpu), load_model(model)
    fit, _ = engine_fit(profile, engine)
    fields = {"weight_bits": spec.weight_bits, **fields}
    return StepCost(spec, profile, fit, load_engine(engine), **fields)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("model", model_names())
def test_steps_grow_with_their_content_and_keep_to_the_floor(gpu, model):
    for engine in engine_names():
        for tensor_parallel in (1, 2, 8):
            for weight_bits in (16, 8):
                cost = catalogue_cost(
                    model, gpu, engine, tensor_parallel=tensor_parallel, weight_bits=weight_bits
                )
                sizes = (1, 2, 3, 8, 64, 511, 512, 513, 4096)
                times = [cost.step_s(new) for new in sizes]
                assert times == sorted(times)
                per_token = [cost.linear_s(new) / new for new in sizes]
                assert per_token == sorted(
                    per_token, reverse=True
                )  # what makes fluid_prefill_s a lower bound
                assert cost.step_s(8, 8, 1000) < cost.step_s(8, 8, 2000)
                assert cost.step_s(512, pairs=1e5) < cost.step_s(512, pairs=1e6)
                for new in sizes:
                    for context in (0, 100_000):
                        assert cost.step_s(new, min(new, 256), context) >= cost.floor_s(new, context)


def test_a_single_decode_of_a_7b_model_reads_its_weights():
    """No honest model is below 6.6 GB of layer weights in FP16 per 2.04 TB/s: 6.35 ms on an A100."""
    cost = catalogue_cost("llama-2-7b", "a100-80g-sxm", "vllm-0.6")
    assert 6.35e-3 < cost.step_s(1, 1, 576) < 20e-3


def test_experts_are_read_as_tokens_reach_them():
    """One token reads its experts; many tokens read all of them, and no more."""
    cost = catalogue_cost("mixtral-8x7b", "h100-80g-sxm", "vllm-0.6", tensor_parallel=2)
    model = load_model("mixtral-8x7b")
    one, few, many = (cost._weight_bytes(tokens) for tokens in (1, 4, 4096))
    assert one == pytest.approx(2 * model.active_layer_parameters)
    assert one < few < many
    assert many == pytest.approx(2 * model.layer_parameters)
    # uniform routing of 2 of 8 experts: one of them stays unread by 4 tokens with probability 0.75 ** 4
    experts = model.experts * model.layers * model.expert_parameters
    assert few == pytest.approx(2 * (model.layer_parameters - 0.75**4 * experts))
