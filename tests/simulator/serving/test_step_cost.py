"""What a step costs: one case by hand, and how it must grow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devices.catalogue import engine_fit, load_profile, profile_names
from devices.errors import InputError
from devices.profiles import KERNELS_ALONE, EngineFit, GemmRate
from simulator.serving.engines import engine_names, load_engine
from simulator.serving.models import ModelSpec, load_model, model_names
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs, kv_bytes_per_token_per_group, read_parameters

GPUS = [name for name in profile_names("gpu") if not name.startswith("cpu")]

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


RATE = GemmRate(
    peak_flops=10_000.0,
    efficiency=0.5,
    memory_efficiency=0.8,
    launch_s=0.125,
    root_depth_s=0.5,
    cast_bytes=4.0,
    sharpness=3.0,
)


@pytest.fixture
def gpu():
    return replace(
        load_profile("a100-80g-sxm"),
        memory_bandwidth_bytes_per_s=1000.0,
        gemm={"bf16": RATE},
        weight_only_efficiency=0.5,
        attention_efficiency=0.25,
        attention_launch_s=0.0625,
        attention_token_pairs=5.0,
        kv_read_efficiency=0.8,
        kv_read_launch_s=0.03125,
        kv_read_stream_s=0.015625,
        multiprocessors=3,
        expert_share=0.5,
        expert_launch_s=0.0,
        allreduce_latency_s=0.25,
        allreduce_hop_s=0.125,
        allreduce_direct_bandwidth_bytes_per_s=100.0,
        allreduce_stage_s=1.0,
        allreduce_bandwidth_bytes_per_s=400.0,
        allreduce_growth=0.5,
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


def tiny_cost(gpu, engine, fit=KERNELS_ALONE, **fields):
    return StepCost(TINY, gpu, fit, engine, **fields)


def product_s(tokens, inputs, outputs, *, width=2, entering=2, reading=800.0, arithmetic=5000.0):
    """A matrix product by hand: tokens in tiles of 64, activations of two bytes."""
    memory_s = (width * inputs * outputs + tokens * (entering * inputs + 2 * outputs)) / reading
    compute_s = 2 * -(-tokens // 64) * 64 * inputs * outputs / arithmetic
    depth_s = 0.5 * inputs**0.5
    return 0.125 + 4 * tokens * inputs / reading + (memory_s**3 + compute_s**3 + depth_s**3) ** (1 / 3)


def layer_s(tokens, tp=1, **rates):
    """All products of a layer of `TINY`, and its element-wise operations at 800 B/s."""
    products = [(8, 16 // tp), (8 // tp, 8), (8, 32 // tp), (16 // tp, 8)]
    values = 8 * 8 + 2 * (2 * 6 / tp + 4 * 2 / tp) + 3 * 16 / tp
    return sum(product_s(tokens, *sizes, **rates) for sizes in products) + tokens * 2 * values / 800


def test_one_step_by_hand(gpu, engine, lab):
    cost = tiny_cost(gpu, engine)
    assert cost.fixed_s == pytest.approx(0.5 + 2 * 0.125)
    # KV of a token: 2 * 2 layers * 2 heads * 2 * 2 bytes = 32 bytes at 800 B/s
    assert cost.alpha_s == pytest.approx(32 / 800)
    # a pair: 4 * 2 layers * 4 heads * 2 = 64 FLOP at 2,500 FLOP/s
    assert cost.beta_s == pytest.approx(64 / 2500)
    assert cost.linear_s(3) == pytest.approx(2 * layer_s(3))
    assert cost.linear_s(65) == pytest.approx(2 * layer_s(65))
    # attention kernels of two layers, two KV heads of each sequence
    reading_s = 2 * 0.03125 + 2 * (engine.sequence_overhead_s + 2 * 2 * 0.015625)
    assert cost.rows_s(2) == pytest.approx(reading_s + product_s(2, 8, 100))
    assert cost.rows_s(0) == pytest.approx(product_s(1, 8, 100))
    # one token in a tile of 64, four heads: four tiles on three multiprocessors take two rounds
    assert cost.pair_s(1) == pytest.approx(cost.beta_s * 64 * 6 / 4)
    expected_s = cost.fixed_s + cost.linear_s(3) + cost.rows_s(2) + 50 * cost.alpha_s
    prefill_s = 2 * 0.0625 + (5 + 7 * 64 * 6 / 4) * cost.beta_s
    assert cost.step_s(3, 2, 50, 7) == pytest.approx(expected_s + prefill_s)
    assert lab.floor_s(cost, 3, 50) == pytest.approx(max((2304 + 50 * 32) / 1000, 2 * 3 * 1152 / 10_000))


def test_tensor_parallel_by_hand(gpu, engine):
    cost = tiny_cost(gpu, engine, tensor_parallel=2)
    # two all-reduces per layer of 3 * 8 * 2 bytes, read from the one other GPU
    reduces_s = 2 * 2 * (0.25 + 48 / 100)
    assert cost.linear_s(3) == pytest.approx(2 * layer_s(3, tp=2) + reduces_s)
    # large messages, four GPUs: in two stages
    four = tiny_cost(gpu, engine, tensor_parallel=4)
    assert four._allreduce_s(30) == pytest.approx(4 * (0.25 + 2 * 0.125 + 1.0 + 480 * 3**0.5 / 400))
    assert cost.fixed_s == pytest.approx(0.5 + 2 * 0.125 + 0.25)
    # with a prefill chunk each of the four all-reduces is launched by itself
    prefill_s = 6 * cost.pair_s(3) + 3 * 5 * cost.beta_s + 2 * 0.0625 + 4 * 0.75
    assert cost.step_s(3, pairs=6) == pytest.approx(cost.step_s(3) + prefill_s)
    assert cost.alpha_s == pytest.approx(32 / 1600)
    # with more GPUs than KV heads each head is kept twice
    assert tiny_cost(gpu, engine, tensor_parallel=4).alpha_s == pytest.approx(64 / 3200)
    assert kv_bytes_per_token_per_group(TINY, 4) == 64


def test_an_engine_gets_its_share_of_the_kernels(gpu, engine):
    plain = tiny_cost(gpu, engine)
    cost = tiny_cost(gpu, engine, EngineFit(gemm_share=0.5, attention_share=0.25, memory_share=0.8))
    assert cost.pair_s(64) == pytest.approx(4 * plain.pair_s(64))
    assert cost.alpha_s == pytest.approx(plain.alpha_s / 0.8)
    assert product_s(100, 8, 100, reading=640, arithmetic=2500) == pytest.approx(
        cost.rows_s(100) - 100 * cost.sequence_s - 2 * 0.03125
    )


def test_small_batches_cost_the_same_and_larger_ones_rise_by_tiles():
    """The plateau below 64 tokens, where weights are read; steps of 64 where arithmetic decides."""
    cost = catalogue_cost("llama-2-7b", "a100-80g-sxm", "vllm-0.12")
    assert cost.linear_s(64) < 1.1 * cost.linear_s(1)
    assert cost.linear_s(1024) - cost.linear_s(961) < 0.01 * cost.linear_s(1024)
    assert cost.linear_s(1025) - cost.linear_s(1024) > 0.02 * cost.linear_s(1024)


def test_energy_by_hand_and_its_limit(gpu, engine):
    cost = tiny_cost(gpu, engine)
    fixed_j = (2304 + 1600) * 0.01
    work_j = fixed_j + 3 * 2 * 1152 * 0.001 + 50 * 32 * 0.01 + 7 * 64 * 0.001
    assert cost.energy.run_j(1, 5.0, 0.0, 3, 50, 0, 7, 0) == pytest.approx(50.0 + work_j)
    assert cost.energy.run_j(1, 0.5, 0.0, 3, 50, 0, 7, 0) == 50.0  # half a second at the board's limit
    assert cost.energy.run_j(2, 5.0, 1.0, 3, 50, 4, 7, 0) == pytest.approx(110.0 + 2 * work_j + 4 * 32 * 0.01)


@pytest.mark.parametrize("step_s", [0.1, 0.6, 0.8, 1.0, 5.0])
@pytest.mark.parametrize("context_growth", [0, 5, 200])
@pytest.mark.parametrize("growth_s", [0.0, 0.05, 0.2])
def test_energy_of_a_run_is_that_of_its_steps(gpu, engine, step_s, growth_s, context_growth):
    cost = tiny_cost(gpu, engine)
    run_j = cost.energy.run_j(9, step_s, growth_s, 3, 50, context_growth, 7, 2)
    steps_j = [
        cost.energy.run_j(1, step_s + k * growth_s, 0.0, 3, 50 + k * context_growth, 0, 7 + 2 * k, 0)
        for k in range(9)
    ]
    assert run_j == pytest.approx(sum(steps_j), rel=1e-12)


def test_eight_bit_weights_halve_the_reading(gpu, engine):
    # no fp8 units: expanded to bf16 at half the rate
    cost = tiny_cost(gpu, engine, number_format="fp8")
    assert cost.linear_s(3) == pytest.approx(2 * layer_s(3, width=1, arithmetic=2500))
    # units at twice the rate
    faster = replace(gpu, gemm={"bf16": RATE, "fp8": replace(RATE, peak_flops=2e4)})
    cost = tiny_cost(faster, engine, number_format="fp8")
    assert cost.linear_s(3) == pytest.approx(2 * layer_s(3, width=1, entering=1, arithmetic=10_000))
    assert cost.rows_s(0) == pytest.approx(product_s(1, 8, 100))  # the output layer keeps 16 bits


def test_background_tokens_are_part_of_every_step(gpu, engine, lab):
    plain = tiny_cost(gpu, engine)
    cost = tiny_cost(gpu, engine, background_tokens=5, background_context_tokens=10)
    assert cost.linear_s(3) == pytest.approx(plain.linear_s(8))
    assert cost.fixed_s == pytest.approx(plain.fixed_s + 50 * plain.beta_s)
    assert lab.floor_s(cost, 3) == pytest.approx(lab.floor_s(plain, 8))


def test_pairs_of_a_chunk_add_up():
    """A causal chunk: each token attends to all before it and itself."""
    assert chunk_pairs(10, 4) == 11 + 12 + 13 + 14
    assert chunk_pairs(0, 7) + chunk_pairs(7, 5) == chunk_pairs(0, 12)


@pytest.mark.parametrize(
    ("start", "end", "chunk"), [(0, 1, 512), (0, 512, 512), (37, 4000, 256), (100, 613, 512)]
)
def test_prefill_is_the_sum_of_its_steps(start, end, chunk, lab):
    cost = catalogue_cost("llama-3.1-8b", "a100-80g-sxm", "vllm-0.6")
    position, total_s = start, 0.0
    while position < end:
        take = min(chunk, end - position)
        total_s += cost.step_s(take, pairs=chunk_pairs(position, take))
        position += take
    assert cost.prefill_s(start, end, chunk) == pytest.approx(total_s, rel=1e-12)
    assert lab.fluid_prefill_s(cost, start, end, chunk) <= total_s * (1 + 1e-12)
    assert cost.prefill_s(end, end, chunk) == 0.0


def catalogue_cost(model: str, gpu: str, engine: str, **fields) -> StepCost:
    profile, spec = load_profile(gpu), load_model(model)
    fit, _ = engine_fit(profile, engine)
    return StepCost(spec, profile, fit, load_engine(engine), **fields)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("model", model_names())
def test_steps_grow_with_their_content_and_keep_to_the_floor(gpu, model, lab):
    for engine in engine_names():
        for tensor_parallel in (1, 2, 8):
            for number_format in ("bf16", "fp8"):
                cost = catalogue_cost(
                    model, gpu, engine, tensor_parallel=tensor_parallel, number_format=number_format
                )
                sizes = (1, 2, 3, 8, 64, 511, 512, 513, 4096)
                times = [cost.step_s(new) for new in sizes]
                assert times == sorted(times)
                whole = [cost.linear_s(new) / new for new in (1, 8, 64, 512, 4096)]
                assert whole == sorted(whole, reverse=True)
                assert cost.step_s(8, 8, 1000) < cost.step_s(8, 8, 2000)
                assert cost.step_s(512, pairs=1e5) < cost.step_s(512, pairs=1e6)
                for new in sizes:
                    for context in (0, 100_000):
                        assert cost.step_s(new, min(new, 256), context) >= lab.floor_s(cost, new, context)


def test_a_single_decode_of_a_7b_model_reads_its_weights():
    """No honest model is below 6.6 GB of layer weights in FP16 per 2.04 TB/s: 6.35 ms on an A100."""
    cost = catalogue_cost("llama-2-7b", "a100-80g-sxm", "vllm-0.6")
    assert 6.35e-3 < cost.step_s(1, 1, 576) < 20e-3


def test_experts_are_read_as_tokens_reach_them():
    """One token reads its experts; many tokens read all of them, and no more."""
    model = load_model("mixtral-8x7b")
    one, few, many = (read_parameters(model, tokens) for tokens in (1, 4, 4096))
    assert one == pytest.approx(model.active_layer_parameters)
    assert one < few < many
    assert many == pytest.approx(model.layer_parameters)
    # uniform routing of 2 of 8 experts: one of them stays unread by 4 tokens with probability 0.75 ** 4
    experts = model.experts * model.layers * model.expert_parameters
    assert few == pytest.approx(model.layer_parameters - 0.75**4 * experts)


@pytest.mark.parametrize(
    ("number_format", "message"), [("bf16", "in bf16; the device has: fp32"), ("fp8", "in bf16; the device")]
)
def test_a_format_that_the_device_has_no_rate_for_is_bad_input(number_format, message):
    with pytest.raises(InputError, match=message):
        catalogue_cost(
            "llama-2-7b", "cpu-xeon-2-cores", "torch-cpu-xeon-2-cores-2.13", number_format=number_format
        )
