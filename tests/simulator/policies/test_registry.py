"""The registry of policies, and what becomes of policies that decide nonsense."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from simulator.policies import registry
from simulator.policies.kv_loading import LoadPlan
from simulator.policies.kv_loading.cake import Cake
from simulator.policies.kv_loading.protocol import PlansOnce
from simulator.policies.registry import DECISIONS, PolicyError, find, name_of, policies, register
from simulator.scenario.spec import DeviceSpec
from simulator.workloads.spec import Stored


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Whatever a test registers is forgotten after it."""
    for decision in DECISIONS:
        monkeypatch.setitem(registry._registry, decision, policies(decision))


def test_built_in_policies_are_found_by_name():
    assert set(policies("kv_loading")) == {
        "cake",
        "cake_with_fallback",
        "compute_only",
        "io_only",
        "layerwise",
        "oracle",
        "static_split",
    }
    assert find("kv_loading", "cake") is Cake
    assert name_of("kv_loading", Cake(adaptive=False)) == "cake"
    for decision in DECISIONS:
        known = policies(decision)
        assert known
        assert list(known) == sorted(known)


def test_a_taken_name_names_both_classes():
    with pytest.raises(PolicyError) as caught:

        @register("kv_loading", "cake")
        @dataclass(frozen=True)
        class Pie:
            pass

    message = str(caught.value)
    assert "'cake'" in message
    assert "Pie" in message
    assert "simulator.policies.kv_loading.cake.Cake" in message
    assert find("kv_loading", "cake") is Cake


def test_an_unknown_name_lists_what_there_is_and_the_nearest():
    with pytest.raises(PolicyError, match="nearest: layerwise") as caught:
        find("kv_loading", "layer_wise")
    assert "compute_only" in str(caught.value)


def test_an_unknown_decision_and_a_plain_class_are_refused():
    with pytest.raises(PolicyError, match="unknown decision 'baking'"):
        register("baking", "cake")
    with pytest.raises(PolicyError, match="is not a dataclass"):
        register("routing", "plain")(type("Plain", (), {}))


def test_a_policy_of_ones_own_works_by_registration(lab):
    @register("kv_loading", "half")
    @dataclass(frozen=True)
    class Half(PlansOnce):
        def plan(self, view):
            middle = (view.resident_tokens + view.stored_tokens) // 2
            return LoadPlan(compute_to=middle, load_from=middle)

    columns = lab.columns(lab.run(stored(lab, "half")))
    assert columns["loaded_disk_tokens"].tolist() == [1016]
    assert columns["computed_tokens"].tolist() == [2048 - 1016]


def stored(lab, policy):
    return lab.scenario(
        lab.synthetic(requests=1, input_tokens=2048, stored=Stored("disk")),
        lab.llm(policy, kv_tiers=("disk",)),
        tiers={"disk": DeviceSpec("nvme-gen4")},
    )


@pytest.mark.parametrize(
    "plan",
    [
        None,
        42,
        LoadPlan(compute_to=0, load_from=1),  # a token that nobody brings
        LoadPlan(compute_to=-1, load_from=0),
        LoadPlan(compute_to=10**6, load_from=0),
        LoadPlan(compute_to=2032, load_from=10**6),
        LoadPlan(compute_to=2032, load_from=-5),
    ],
)
def test_a_plan_that_makes_no_sense_names_its_policy(lab, plan):
    @dataclass(frozen=True)
    class Muddle(PlansOnce):
        def plan(self, view):
            return plan

    with pytest.raises(PolicyError, match=r"kv_loading policy .*Muddle"):
        lab.run(stored(lab, Muddle()))


@pytest.mark.parametrize("budget", [0, -3, None, 2.5])
def test_a_step_budget_that_makes_no_sense_names_its_policy(lab, budget):
    @dataclass(frozen=True)
    class Stingy:
        token_budget = 64
        max_sequences = None
        varies = True

        def step_budget(self, rng):
            return budget

    with pytest.raises(PolicyError, match=r"batching policy .*Stingy"):
        lab.run(lab.scenario(lab.synthetic(requests=1), lab.llm(batching=Stingy())))
