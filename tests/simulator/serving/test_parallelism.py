"""Pipeline stages and experts dealt out among GPUs: limits that the step cost must keep, and whole runs."""

from __future__ import annotations

import itertools

import pytest

from devices.catalogue import engine_fit, load_profile
from simulator.serving.engines import load_engine
from simulator.serving.kernels import allreduce_s
from simulator.serving.models import load_model
from simulator.serving.pipeline_cost import PipelineCost
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs, micro_batches, products

STEPS = [(1, 1, 500.0, 0.0), (64, 64, 64_000.0, 0.0), (2048, 0, 0.0, chunk_pairs(4096, 2048))]
"""New tokens, decodes, context, pairs: one decode, a batch of them, a chunk of a prompt."""


def parts(model: str = "llama-3.1-70b", gpu: str = "h100-80g-sxm"):
    profile = load_profile(gpu)
    return load_model(model), profile, engine_fit(profile, "vllm-0.12")[0], load_engine("vllm-0.12")


def pipeline(stages: int, tensor_parallel: int = 2, **kwargs) -> PipelineCost:
    return PipelineCost(*parts(), tensor_parallel=tensor_parallel, stages=stages, **kwargs)


@pytest.mark.parametrize("step", STEPS)
def test_one_stage_costs_what_no_pipeline_costs_but_its_one_hand_over(step):
    plain, one = StepCost(*parts(), tensor_parallel=2), pipeline(1)
    handover_s = allreduce_s(one.gpu, step[0] * one.model.hidden * 2.0, 2)
    assert one.step_s(*step) == pytest.approx(plain.step_s(*step) + handover_s, rel=1e-12)
    assert one.energy.step_j(step[0]) == plain.energy.step_j(step[0])


@pytest.mark.parametrize("step", STEPS)
def test_a_pipeline_is_never_faster_than_its_stages_evenly_shared_and_never_slower_than_one_after_the_other(
    step,
):
    plain = StepCost(*parts(), tensor_parallel=2)
    for stages in (2, 4, 8):
        it = pipeline(stages)
        batches, size = micro_batches(step[0], stages)
        handovers_s = stages * allreduce_s(it.gpu, size * it.model.hidden * 2.0, 2)
        assert it.step_s(*step) >= plain.step_s(*step) / stages
        # Cut into more micro-batches, each reads the weights anew: at most that much is lost.
        assert it.step_s(*step) <= batches * plain.step_s(*step) + handovers_s


def test_one_decode_gains_nothing_from_stages_and_a_long_prompt_nearly_all_of_them():
    plain, four = StepCost(*parts(), tensor_parallel=2), pipeline(4)
    assert four.step_s(1, 1, 500.0) > plain.step_s(1, 1, 500.0)
    speedup = plain.prefill_s(0, 32_768, 8192) / four.prefill_s(0, 32_768, 8192)
    assert 3.0 < speedup <= 4.0


def test_the_closed_form_of_a_pipelined_prefill_is_the_sum_of_its_steps():
    it = pipeline(4)
    steps_s = sum(it.step_s(2048, pairs=chunk_pairs(start, 2048)) for start in range(0, 16_384, 2048))
    rest_s = it.step_s(100, pairs=chunk_pairs(16_384, 100))
    assert it.prefill_s(0, 16_484, 2048) == pytest.approx(steps_s + rest_s, rel=1e-12)


@pytest.mark.parametrize("stages", [1, 2, 5])
def test_growth_is_the_difference_of_two_steps_in_a_row(stages):
    it = pipeline(stages)
    first, second = (it.step_s(7, 7, context) for context in (700.0, 707.0))
    assert it.growth_s(7, 7) == pytest.approx(second - first, rel=1e-6)
    first, second = (it.step_s(512, pairs=chunk_pairs(start, 512)) for start in (0, 512))
    assert it.chunk_growth_s(512, 512) == pytest.approx(second - first, rel=1e-6)


def test_groups_of_experts_do_the_same_arithmetic_in_fewer_and_wider_products():
    model = load_model("mixtral-8x7b")
    sliced, whole = ([it for it in products(model, 256, 4, 64, groups) if it.experts] for groups in (1, 4))
    assert sum(it.rows * it.inputs * it.outputs for it in whole) == pytest.approx(
        sum(it.rows * it.inputs * it.outputs for it in sliced)
    )
    assert all(few.experts == many.experts / 4 for few, many in zip(whole, sliced, strict=True))
    assert whole[0].outputs == 4 * sliced[0].outputs


def test_imbalance_of_experts_costs_time_where_arithmetic_counts():
    costs = [
        StepCost(
            *parts("mixtral-8x7b"), tensor_parallel=4, expert_parallel=4, expert_imbalance=imbalance
        ).step_s(8192, pairs=chunk_pairs(0, 8192))
        for imbalance in (1.0, 1.5, 2.0)
    ]
    assert all(a < b for a, b in itertools.pairwise(costs))


def test_a_pipeline_draws_the_idle_power_of_all_its_gpus_and_reads_the_weights_once_per_micro_batch():
    two, plain = pipeline(2), StepCost(*parts(), tensor_parallel=2)
    assert two.energy.idle_w == 2 * plain.energy.idle_w
    assert two.energy.step_j(64) > 1.5 * plain.energy.step_j(64)
