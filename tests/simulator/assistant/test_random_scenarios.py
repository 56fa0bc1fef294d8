"""Random scenarios with an assistant, with and without faults: the books close, and nothing beats the bound."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator.policies.placement.latency_threshold import LatencyThreshold
from simulator.policies.placement.one_place import CloudOnly
from simulator.policies.recovery.fail import Fail
from simulator.scenario.assistant_spec import Places
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.spec import Scenario
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.world import RunResult, simulate

SEEDS = range(8)
ROUNDING = 1e-9


def columns(result: RunResult) -> dict[str, Any]:
    table = result.asks["ask"]
    return {name: table.column(name) for name in table.schema}


def with_faults(scenario: Scenario, seed: int) -> Scenario:
    """GPUs that fail for good or for a while without rescue, and links that drop."""
    rng = random.Random(seed)
    chat = scenario.services["chat"]
    chat = replace(chat, policies=replace(chat.policies, recovery=Fail()))
    faults = {
        "crash": FaultSpec("failure", "gpu", unit=rng.choice([None, 0]), at=rng.choice([0.0, 0.5, 2.0])),
        "hiccup": FaultSpec("failure", "gpu", mtbf=rng.choice([0.3, 2.0]), mttr=0.5),
        "drop": FaultSpec("outage", link=rng.choice(["wifi", "cell", "wan"]), mtbf=1.0, mttr=0.4),
    }
    kept = dict(list(faults.items())[rng.randrange(3) :])
    return replace(scenario, services={**scenario.services, "chat": chat}, faults=kept)


def check_books(scenario: Scenario, result: RunResult) -> None:
    """Every question is recorded once, and what was sent to the services is what they have recorded."""
    asks = columns(result)
    status, place = asks["status"], asks["place"].astype(str)
    summary = result.summary()["services"]["ask"]
    counts = summary["requests"]
    assert counts["arrived"] == len(status) == len(set(asks["request"].tolist()))
    assert counts["completed"] + counts["failed"] + counts["unfinished"] == counts["arrived"]
    done = status == COMPLETED
    if scenario.horizon is None:
        assert UNFINISHED not in status
    assert (asks["first_token_s"] > asks["arrival_s"])[done].all()
    assert (asks["first_token_s"] <= asks["finish_s"])[done].all()
    assert (asks["finish_s"][~done] == -1.0).all()
    assert (asks["placements"] <= 3).all()
    assert set(place[done]) <= {"device", "edge", "cloud"}
    shares = [it["share"] or 0.0 for it in summary["places"].values()]
    assert sum(shares) == pytest.approx(1.0 if done.any() else 0.0)
    for service, name in (("chat", "edge"), ("far", "cloud")):
        served = result.requests[service]
        answered = int((served.column("status") == COMPLETED).sum())
        here = int((place[done] == name).sum())
        # what a service has finished may still be on its way back when the run stops
        assert here <= answered if scenario.horizon is not None else here == answered
    spent_j = asks["chip_j"].sum() + asks["radio_j"].sum()
    assert result.devices["phones"].energy_j == pytest.approx(spent_j, rel=1e-12, abs=1e-12)
    assert ((asks["chip_j"] > 0.0) >= (done & (place == "device"))).all()
    assert (asks["radio_j"] >= 0.0).all()
    if scenario.assistants["ask"].prompt_token_bytes:  # else it may live on the tail of the one before
        assert ((asks["radio_j"] > 0.0) >= (done & (place != "device"))).all()


def check_bound(result: RunResult) -> None:
    """No question was answered sooner than the least latency of all places."""
    asks = columns(result)
    done = asks["status"] == COMPLETED
    for first, least in (("first_token_s", "least_ttft_s"), ("finish_s", "least_e2e_s")):
        took_s = (asks[first] - asks["arrival_s"])[done]
        assert (took_s >= asks[least][done] * (1.0 - ROUNDING) - ROUNDING).all()
        assert (asks[least][done] > 0.0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_close_and_no_policy_beats_the_bound(town: Any, seed: int) -> None:
    for make in town.policies:
        scenario = town.random(seed, make())
        result = simulate(scenario)
        check_books(scenario, result)
        check_bound(result)
        assert result.devices["phones"].busy_s <= result.simulated_s * (1.0 + ROUNDING)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_close_with_faults(town: Any, seed: int) -> None:
    for make in town.policies:
        scenario = with_faults(town.random(seed, make()), seed)
        result = simulate(scenario)
        check_books(scenario, result)
        check_bound(result)


@pytest.mark.parametrize(
    "far_as", ["speculative", "all accepted", "pipeline", "long pipeline", "prefill apart"]
)
def test_no_answer_beats_the_bound_however_the_service_computes(town: Any, far_as: str) -> None:
    for seed in SEEDS:
        scenario = town.random(seed, CloudOnly(), far_as)
        result = simulate(scenario)
        check_books(scenario, result)
        check_bound(result)


@pytest.mark.parametrize(("far_as", "slack"), [("plain", 1e-3), ("all accepted", 1e-3), ("pipeline", 1e-2)])
def test_answers_alone_are_decoded_as_fast_as_the_bound(town: Any, far_as: str, slack: float) -> None:
    """Questions far apart and nowhere else to go; the stages of a pipeline share reading only where all are busy."""
    rows = [(100.0 * i, 64, tokens) for i, tokens in enumerate((1, 9, 17, 801))]
    scenario = town.scenario(CloudOnly(), rows, places=Places(cloud=town.places.cloud))
    far = replace(scenario.services["far"], **town.far[far_as])
    asks = columns(simulate(replace(scenario, services={**scenario.services, "far": far})))
    least_s = asks["least_e2e_s"] - asks["least_ttft_s"]
    took_s = asks["finish_s"] - asks["first_token_s"]
    np.testing.assert_allclose(took_s, least_s, rtol=slack, atol=1e-9)
    assert (took_s >= least_s * (1.0 - ROUNDING) - ROUNDING).all()


@pytest.mark.parametrize("seed", [1, 5, 6])
def test_a_run_again_and_step_by_step_gives_the_same(town: Any, seed: int) -> None:
    scenario = town.random(seed, town.policies[5]())
    once, again, slow = simulate(scenario), simulate(scenario), simulate(scenario, step_by_step=True)
    assert json.dumps(once.summary()) == json.dumps(again.summary())
    for name, values in columns(once).items():
        if values.dtype == object:
            assert values.tolist() == columns(slow)[name].tolist()
        else:
            np.testing.assert_allclose(values, columns(slow)[name], rtol=1e-9, atol=1e-9)


def test_what_fails_at_one_place_is_answered_at_another(town: Any) -> None:
    """The edge is lost in the middle of the answers; each question goes on to the phone or the cloud."""
    rows = [(0.01 * i, 100, 100) for i in range(20)]
    scenario = town.scenario(LatencyThreshold(ttft=0.05), rows, phones=2)
    chat = scenario.services["chat"]
    chat = replace(chat, policies=replace(chat.policies, recovery=Fail()))
    fault = FaultSpec("failure", "gpu", unit=0, at=0.5)
    scenario = replace(scenario, services={**scenario.services, "chat": chat}, faults={"f": fault})
    asks = columns(simulate(scenario))
    again = asks["placements"] == 2
    assert (asks["status"] == COMPLETED).all()
    assert again.sum() >= 10
    assert not (asks["place"][again] == "edge").any()
    assert (asks["finish_s"][again] > 0.5).all()
    assert (asks["radio_j"][again] > 0.0).all()


def test_a_question_that_failed_everywhere_has_failed(town: Any) -> None:
    scenario = town.scenario(town.policies[1](), [(0.0, 100, 10), (0.1, 100, 10)])
    chat = scenario.services["chat"]
    chat = replace(chat, policies=replace(chat.policies, recovery=Fail()))
    fault = FaultSpec("failure", "gpu", at=0.0)
    result = simulate(replace(scenario, services={**scenario.services, "chat": chat}, faults={"f": fault}))
    assert (columns(result)["status"] == FAILED).all()
    assert (columns(result)["placements"] == 1).all()
