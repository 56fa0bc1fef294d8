"""What must hold in any scenario: nothing is lost, nothing happens before its cause, books balance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from devices.catalogue import load_profile
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.serving.step_cost import StepCost


def check_requests(columns: dict[str, Any], tiers: tuple[str, ...]) -> None:
    """Causality and conservation of tokens."""
    done = columns["status"] == COMPLETED
    assert (columns["arrival_s"] <= columns["admitted_s"])[done].all()
    assert (columns["admitted_s"] < columns["first_token_s"])[done].all()
    one = columns["output_tokens"] == 1
    assert (columns["first_token_s"] == columns["finish_s"])[done & one].all()
    assert (columns["first_token_s"] < columns["finish_s"])[done & ~one].all()
    had = columns["resident_tokens"] + columns["computed_tokens"]
    for tier in tiers:
        had = had + columns[f"loaded_{tier}_tokens"]
        assert (columns[f"loaded_{tier}_tokens"] <= columns[f"found_{tier}_tokens"]).all()
    assert (had >= columns["input_tokens"])[done].all()
    # The last token of a prompt is always computed.
    assert (columns["computed_tokens"] >= 1)[done].all()
    calm = done & (columns["preemptions"] == 0)
    assert (columns["computed_tokens"] <= columns["input_tokens"])[calm].all()
    assert (columns["resident_tokens"] < columns["input_tokens"])[calm].all()


def check_books(lab: Any, result: Any, replicas: list[Any], tensor_parallel: int, profile: Any) -> None:
    """Time, steps and energy of the replicas against their intervals."""
    intervals = {name: result.intervals["chat"].column(name) for name in result.intervals["chat"].schema}
    assert (intervals["energy_j"] >= 0.0).all()
    for replica in replicas:
        mine = intervals["replica"] == replica.index
        start_s, end_s = intervals["start_s"][mine], intervals["end_s"][mine]
        assert (start_s < end_s).all()
        assert (end_s[:-1] <= start_s[1:]).all()
        assert replica.account.busy_s == pytest.approx((end_s - start_s).sum(), rel=1e-9)
        assert replica.account.busy_j == pytest.approx(intervals["energy_j"][mine].sum(), rel=1e-9)
        assert replica.account.steps == intervals["steps"][mine].sum()
        tokens = intervals["steps"][mine] * intervals["decodes"][mine] + intervals["prefill_tokens"][mine]
        assert replica.account.computed_tokens == tokens.sum()
        duration_s = (end_s - start_s) / intervals["steps"][mine]
        for new, mean_s in zip(tokens / intervals["steps"][mine], duration_s, strict=True):
            assert mean_s >= lab.floor_s(replica.cost, int(new)) * (1 - 1e-9)
        peak_j = profile.tdp_w * tensor_parallel * (end_s - start_s)
        assert (intervals["energy_j"][mine] <= peak_j * (1 + 1e-9)).all()
        idle_j = profile.idle_w * tensor_parallel * (end_s - start_s)
        assert (intervals["energy_j"][mine] >= idle_j * (1 - 1e-9)).all()
    gpus = tensor_parallel * len(replicas)
    busy_s = sum(replica.account.busy_s for replica in replicas)
    assert result.devices["gpu"].busy_s == pytest.approx(busy_s * tensor_parallel / gpus)
    idle_s = result.simulated_s * gpus - busy_s * tensor_parallel
    assert idle_s >= -1e-9
    total_j = sum(replica.account.busy_j for replica in replicas) + profile.idle_w * idle_s
    assert result.devices["gpu"].energy_j == pytest.approx(total_j, rel=1e-9)


def check_scenario(lab: Any, seed: int, tight: bool) -> int:
    """Run a random scenario, check everything, return the number of preemptions."""
    scenario = lab.random_scenario(seed, tight)
    result = lab.run(scenario)
    service = scenario.services["chat"]
    replicas = lab.services["chat"].replicas
    columns = lab.columns(result)
    assert len(columns["status"]) == lab.services["chat"].arrived
    if scenario.horizon is None:
        assert UNFINISHED not in columns["status"]
        for replica in replicas:
            pool = replica.kv.pool
            assert pool.private_blocks == 0
            assert pool.shared_blocks + pool.free_blocks == pool.total_blocks
            assert len(pool._idle) == len(pool._references)
            assert service.prefix_cache or not pool._references
            batch = replica.batch
            assert not (replica.queue.waiting or batch.admitted or batch.prefilling or batch.yielding)
            assert replica.outstanding_tokens == 0
    check_requests(columns, service.kv_tiers)
    check_books(lab, result, replicas, service.tensor_parallel, load_profile("a100-80g-sxm"))
    bytes_per_token = lab.services["chat"].tiers.token_bytes
    for tier in lab.services["chat"].tiers.tiers:
        assert tier.held_bytes <= tier.capacity_bytes
        assert tier.held_bytes == pytest.approx(len(tier.held) * lab.services["chat"].tiers.block_bytes)
        if scenario.horizon is None:
            loaded = columns[f"loaded_{tier.name}_tokens"].sum()
            assert tier.read_bytes == pytest.approx(loaded * bytes_per_token, rel=1e-12)
    return int(columns["preemptions"].sum())


@pytest.mark.usefixtures("guarded")
def test_books_balance_with_ample_memory(lab):
    for seed in range(200):
        check_scenario(lab, seed, tight=False)


@pytest.mark.usefixtures("guarded")
def test_books_balance_under_memory_pressure(lab):
    preemptions = sum(check_scenario(lab, seed, tight=True) for seed in range(300))
    assert preemptions > 100  # or the test would not test what it says


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("tight", [False, True])
def test_books_balance_in_many_scenarios(lab, tight):
    for seed in range(1000, 4000):
        check_scenario(lab, seed, tight)


@pytest.mark.interpreted
def test_no_step_is_faster_than_its_floor(lab, monkeypatch):
    """Every step that is costed, with its context, against bytes over bandwidth and FLOPs over rate."""
    seen = []
    step_s = StepCost.step_s

    def spy(self: Any, new: int, decodes: int = 0, context_tokens: float = 0.0, pairs: float = 0.0) -> float:
        time_s = step_s(self, new, decodes, context_tokens, pairs)
        seen.append(time_s >= lab.floor_s(self, new, context_tokens))
        return time_s

    monkeypatch.setattr(StepCost, "step_s", spy)
    for seed in range(20):
        scenario = lab.random_scenario(seed)
        lab.run(scenario, step_by_step=True)
    assert len(seen) > 1000
    assert np.all(seen)


def test_impossible_requests_fail_and_others_are_served(lab):
    """A prompt larger than the whole KV cache fails on arrival; what waits for it goes on."""
    rows = [(0.0, 50_000, 10), (0.0, 100, 10), (1.0, 100, 50_000), (1.0, 100, 1)]
    columns = lab.columns(lab.run(lab.scenario(lab.trace(rows), memory=20e9)))
    assert columns["status"].tolist() == [FAILED, COMPLETED, FAILED, COMPLETED]
    assert columns["admitted_s"][[0, 2]].tolist() == [-1.0, -1.0]
