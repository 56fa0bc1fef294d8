"""Speculative decoding against its theory (Leviathan et al. 2023, arXiv:2211.17192), and as a part of the engine."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from devices.errors import InputError
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.recovery.reroute import Reroute
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import DeviceSpec, SpeculativeSpec
from simulator.serving.build import step_cost
from simulator.serving.memory import kv_capacity_blocks
from simulator.serving.models import load_model
from simulator.serving.speculative_cost import SpeculativeCost, expected_tokens
from simulator.serving.speculative_decodes import draw_steps
from simulator.world import simulate


def drafted(lab, acceptance=0.8, draft_tokens=4, draft="llama-3.1-8b", **fields):
    """A large model with drafts of a small one."""
    base = {"model": "llama-3.1-70b", "tensor_parallel": 4}
    return lab.llm(speculative=SpeculativeSpec(draft, acceptance, draft_tokens), **{**base, **fields})


@pytest.mark.parametrize("acceptance", [0.0, 0.3, 0.6, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("draft_tokens", [1, 4, 7])
def test_tokens_per_step_are_those_of_the_theory(acceptance, draft_tokens):
    """The mean of one step, and that of a long answer, which cuts the last step off."""
    rng, tokens = np.random.default_rng(7), 100_000
    steps = draw_steps(rng, tokens, draft_tokens, acceptance)
    expected = expected_tokens(draft_tokens, acceptance)
    terms = [acceptance**i for i in range(draft_tokens + 1)]
    assert expected == pytest.approx(sum(terms))
    spread = (draft_tokens + 1) / math.sqrt(steps)
    assert abs(tokens / steps - expected) <= 4.0 * spread * (0.0 < acceptance < 1.0) + 1e-3


@pytest.mark.parametrize("tokens", [1, 2, 5, 6, 23])
def test_limits(tokens):
    rng = np.random.default_rng(1)
    assert draw_steps(rng, tokens, 4, 0.0) == tokens
    assert draw_steps(rng, tokens, 4, 1.0) == math.ceil(tokens / 5)
    assert all(1 <= draw_steps(rng, tokens, 4, 0.7) <= tokens for _ in range(100))


def test_mean_speedup_is_that_of_the_theory(lab):
    """Requests one after the other: time per token is that of a step over the tokens that it brings."""
    acceptance, k, answer = 0.7, 3, 400
    trace = lab.trace([(60.0 * i, 64, answer) for i in range(60)])
    runs = {}
    plain = lab.llm(model="llama-3.1-70b", tensor_parallel=4)
    for name, service in (("plain", plain), ("drafts", drafted(lab, acceptance, k))):
        columns = lab.columns(lab.run(lab.scenario(trace, service)))
        cost = lab.services["chat"].replicas[0].cost
        runs[name] = (columns["finish_s"] - columns["first_token_s"]) / (answer - 1), cost
    (plain_s, cost), (drafts_s, speculative) = runs["plain"], runs["drafts"]
    assert isinstance(speculative, SpeculativeCost)
    context = 64 + 1 + (answer - 1) / 2
    step_ratio = speculative.step_s(1, 1, context) / cost.step_s(1, 1, context)
    expected = (
        expected_tokens(k, acceptance) / step_ratio
    )  # Leviathan's theorem 3.8, with verification not for free
    assert expected > 1.2
    ratios = plain_s.mean() / drafts_s
    assert ratios.mean() == pytest.approx(expected, rel=0.02)
    # what Leviathan et al. assume: verifying costs as much as decoding one token, and drafts cost c each
    c = (speculative.draft.step_s(1, 1, context) - speculative.engine.step_overhead_s) / cost.step_s(
        1, 1, context
    )
    assert ratios.mean() == pytest.approx(expected_tokens(k, acceptance) / (k * c + 1.0), rel=0.05)


def test_drafts_that_are_never_accepted_cost_their_time(lab):
    trace = lab.trace([(0.0, 64, 50)])
    columns = lab.columns(lab.run(lab.scenario(trace, drafted(lab, 0.0))))
    cost = lab.services["chat"].replicas[0].cost
    expected_s = sum(cost.step_s(1, 1, 65 + i) for i in range(49))
    assert columns["finish_s"] - columns["first_token_s"] == pytest.approx([expected_s])


def test_drafts_that_always_are_take_a_fifth_of_the_steps(lab):
    trace = lab.trace([(0.0, 64, 51)])
    result = lab.run(lab.scenario(trace, drafted(lab, 1.0)))
    intervals = result.intervals["chat"]
    decodes = intervals.column("decodes") > 0
    assert intervals.column("steps")[decodes].sum() == 10


def test_a_step_is_its_drafts_and_its_verification(lab):
    service = drafted(lab)
    cost = step_cost(service, DeviceSpec("a100-80g-sxm"))
    plain = step_cost(lab.llm(model="llama-3.1-70b", tensor_parallel=4), DeviceSpec("a100-80g-sxm"))
    draft_s = cost.draft.step_s(8, 8, 8000.0) - cost.engine.step_overhead_s
    more_s = plain.linear_s(40) - plain.linear_s(8) + plain.head_s(40) - plain.head_s(8)
    reads_s = 0.5 * 4 * 3 * 8 * cost.draft.alpha_s
    assert cost.step_s(8, 8, 8000.0) == pytest.approx(
        plain.step_s(8, 8, 8000.0) + more_s + 4 * draft_s + reads_s
    )
    assert cost.step_s(9, 8, 8001.0) > cost.step_s(8, 8, 8000.0)
    grown = cost.step_s(8, 8, 8000.0 + 26.4) - cost.step_s(8, 8, 8000.0)
    assert grown == pytest.approx(cost.growth_s(8, 26.4), rel=1e-6)


def test_draft_weights_and_kv_are_in_the_same_memory(lab):
    plain, service = lab.llm(model="llama-3.1-70b", tensor_parallel=4), drafted(lab)
    device = DeviceSpec("a100-80g-sxm")
    target, draft = load_model("llama-3.1-70b"), load_model("llama-3.1-8b")
    free = kv_capacity_blocks(plain, device) * 16 * target.kv_bytes_per_token
    both = target.kv_bytes_per_token + draft.kv_bytes_per_token
    expected = (free - draft.weight_bytes(draft.weight_bits)) / both / 16
    assert kv_capacity_blocks(service, device) == pytest.approx(expected, abs=2)


def any_scenario(lab, seed, memory=None, **fields):
    """Requests of all lengths, any budget."""
    rng = random.Random(seed)
    block = rng.choice([0, 32])
    rows = lab.random_rows(rng, block, 900, 300)
    service = drafted(
        lab,
        rng.choice([0.0, 0.3, 0.8, 1.0]),
        rng.choice([1, 3, 6]),
        batching=ChunkedPrefill(rng.choice([64, 512]), rng.choice([None, 3])),
        replicas=rng.choice([1, 2]),
        model="llama-2-13b",
        tensor_parallel=1,
        draft="llama-2-7b",
        recovery=Reroute(keep_generated=rng.random() < 0.5),
    )
    trace = lab.trace(rows, hash_block_tokens=block or 512)
    return lab.scenario(trace, service, memory=memory, seed=seed, **fields)


def test_runs_of_steps_equal_single_steps(lab):
    for seed in range(60):
        one, other = (lab.run(any_scenario(lab, seed), step_by_step=flag) for flag in (False, True))
        first, second = lab.columns(one), lab.columns(other)
        for name in set(first) - {"workload"}:
            np.testing.assert_allclose(
                first[name], second[name], rtol=1e-9, atol=1e-9, err_msg=f"{seed}: {name}"
            )
        assert one.devices["gpu"].energy_j == pytest.approx(other.devices["gpu"].energy_j)


@pytest.mark.parametrize("seeds", [range(30)])
def test_everything_is_answered_within_memory_and_in_spite_of_faults(lab, seeds, guarded_tokens):
    preemptions = retries = 0
    for seed in seeds:
        fault = {"crash": FaultSpec(device="gpu", kind="failure", at=1.5, duration=1.0)}
        columns = lab.columns(lab.run(any_scenario(lab, seed, memory=49e9, faults=fault)))
        assert set(columns["status"].tolist()) <= {1, 2}
        fits = columns["input_tokens"] + columns["output_tokens"] + 6 <= 16 * guarded_tokens()
        assert (columns["status"][fits] == 1).all()
        preemptions += columns["preemptions"].sum()
        retries += columns["retries"].sum()
        for replica in lab.services["chat"].replicas:
            assert replica.kv.pool.private_blocks == 0
            assert replica.batch.decodes.context_tokens == 0
    assert preemptions > 0
    assert retries > 0


@pytest.fixture
def guarded_tokens(lab, monkeypatch):
    """Check at every reservation that decodes have blocks for what they hold; returns blocks of a replica."""
    from simulator.serving.kv_manager import KvManager  # noqa: PLC0415

    reserve = KvManager.reserve_longest

    def checked(self, decodes, steps):
        found = reserve(self, decodes, steps)
        assert decodes.blocks(found or 1) <= decodes.blocks_bound(found or 1)
        if found:
            assert decodes.blocks(found) <= self._decode_blocks
        assert self.pool.free_blocks >= 0
        return found

    monkeypatch.setattr(KvManager, "reserve_longest", checked)
    return lambda: lab.services["chat"].replicas[0].kv.pool.total_blocks


def test_luck_is_a_request_s_own(lab):
    """However many there are beside it, a request takes as many steps."""

    def steps(rows):
        intervals = lab.run(lab.scenario(lab.trace(rows), drafted(lab, 0.6))).intervals["chat"]
        return int(intervals.column("steps")[intervals.column("decodes") > 0].sum())

    assert steps([(0.0, 50, 100)]) == steps([(0.0, 50, 100), (0.0, 50, 7)])


@pytest.mark.parametrize(
    "change",
    [
        "services.chat.pipeline_parallel=2",
        "services.chat.policies.batching={name: chunked_prefill, token_budget: 4}",
        "services.chat.policies.decoding=plato",
    ],
)
def test_what_does_not_go_together_is_refused(shipped, change):
    path = shipped.folder / "cluster/speculative.yaml"
    with pytest.raises(InputError, match="speculative"):
        load(path, [change, "devices.gpu.count=8"])


def test_drafts_pay_at_low_load_and_cost_throughput_at_high_load(shipped):
    path = shipped.folder / "cluster/speculative.yaml"
    found = {}
    for rate, requests in (("1/s", 40), ("200/s", 400)):
        for drafts in ("on", "off"):
            more = [f"workloads.chat.rate={rate}", f"workloads.chat.requests={requests}"]
            more += ["services.chat.speculative=null"] if drafts == "off" else []
            result = simulate(load(path, more), resolve=resolver(path))
            found[rate, drafts] = result.summary()["services"]["chat"]
    assert found["1/s", "on"]["tpot_s"]["mean"] < 0.75 * found["1/s", "off"]["tpot_s"]["mean"]
    most = {drafts: found["200/s", drafts]["throughput"]["output_tokens_per_s"] for drafts in ("on", "off")}
    assert most["on"] < 0.9 * most["off"]
