"""Batching: token budgets, order, and who gives way to whom."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.batching.fluctuating_budget import FluctuatingBudget
from simulator.policies.kv_loading.cake import Cake
from simulator.scenario.spec import DeviceSpec
from simulator.workloads.spec import Stored


def intervals(result):
    table = result.intervals["chat"]
    return {name: table.column(name) for name in table.schema}


def test_no_step_holds_more_than_the_budget_and_decodes_come_first(lab):
    rows = [(0.0, 300, 40) for _ in range(30)]  # at once: `waiting` is booked at the end of a step
    service = lab.llm(batching=ChunkedPrefill(token_budget=64))
    seen = intervals(lab.run(lab.scenario(lab.trace(rows), service)))
    tokens = seen["decodes"] + seen["prefill_tokens"] / seen["steps"]
    assert tokens.max() == 64
    # With prompts waiting, a step is full, however many decodes it holds.
    assert (tokens[seen["waiting"] > 0] == 64).all()
    assert seen["decodes"].max() > 5


def test_no_more_sequences_than_allowed(lab):
    service = lab.llm(batching=ChunkedPrefill(max_sequences=4))
    result = lab.run(lab.scenario(lab.synthetic(requests=30), service))
    assert intervals(result)["admitted"].max() == 4


def test_requests_are_served_in_order_of_arrival(lab):
    service = lab.llm(batching=ChunkedPrefill(token_budget=32))
    columns = lab.columns(lab.run(lab.scenario(lab.synthetic(requests=30), service)))
    assert (np.diff(columns["first_token_s"]) >= 0).all()
    assert (np.diff(columns["admitted_s"]) >= 0).all()


def test_background_takes_its_share_of_the_budget_and_of_the_time(lab):
    workload = lab.synthetic(requests=1, input_tokens=4096, output_tokens=1)
    whole = lab.run(lab.scenario(workload, lab.llm()))
    half = lab.run(lab.scenario(workload, lab.llm(background_share=0.5)))
    assert intervals(whole)["steps"].sum() == 8
    assert intervals(half)["steps"].sum() == 16
    # Each step costs the same dense work; only attention within the chunk and the context differ.
    assert half.simulated_s == pytest.approx(2 * whole.simulated_s, rel=0.15)


def test_a_drawn_budget_keeps_to_its_range_and_depends_on_the_seed(lab):
    service = lab.llm(batching=FluctuatingBudget(low=100, high=200))
    workload = lab.synthetic(requests=1, input_tokens=20_000, output_tokens=1)
    tokens = intervals(lab.run(lab.scenario(workload, service)))["prefill_tokens"]
    assert tokens[:-1].min() >= 100
    assert tokens.max() <= 200
    assert tokens[:-1].mean() == pytest.approx(150, abs=10)
    again = intervals(lab.run(lab.scenario(workload, service)))["prefill_tokens"]
    other = intervals(lab.run(lab.scenario(workload, service, seed=1)))["prefill_tokens"]
    assert (tokens == again).all()
    assert tokens[:20].tolist() != other[:20].tolist()


def test_a_drawn_budget_does_not_hang_on_how_runs_are_cut(lab):
    """Decodes alone draw no budget, so that an arrival far off leaves the draws of others as they were."""
    service = lab.llm(batching=FluctuatingBudget(low=1, high=256))
    rows = [(0.4 * i, 700, 50) for i in range(20)]
    scenario = lab.scenario(lab.trace(rows), service)
    fast = lab.columns(lab.run(scenario))
    slow = lab.columns(lab.run(scenario, step_by_step=True))
    np.testing.assert_allclose(fast["finish_s"], slow["finish_s"], rtol=1e-9)


@pytest.mark.parametrize("adaptive", [True, False])
def test_adaptive_cake_gives_way_to_other_prompts(lab, adaptive):
    """A long prompt races on; a newcomer without a stored prefix overtakes its chunks, or waits for them."""
    newcomer = lab.trace([(0.1, 500, 1)])
    both = lab.scenario(
        {"long": lab.trace([(0.0, 8192, 1)], stored=Stored("disk")), "new": newcomer},
        lab.llm(Cake(adaptive=adaptive), kv_tiers=("disk",)),
        tiers={"disk": DeviceSpec("ideal-store", bandwidth=0.5e9)},
    )
    table = lab.run(both).requests["chat"]
    new = list(table.column("workload")).index("new")
    waited_s = table.column("first_token_s")[new] - table.column("arrival_s")[new]
    alone_s = lab.ttft_s(lab.scenario(newcomer))
    if adaptive:
        assert waited_s < 3 * alone_s
    else:
        assert waited_s > 10 * alone_s
