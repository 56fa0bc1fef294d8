"""Answers decoded in several generations whose GPUs fail: what is out stays, the rest is placed again or has failed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from simulator.policies.decoding.plato import Plato
from simulator.policies.recovery import LostRequest
from simulator.policies.recovery.fail import Fail
from simulator.policies.recovery.reroute import Reroute
from simulator.policies.recovery.retry import Retry
from simulator.policies.registry import find
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.spec import DeviceSpec, Scenario
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.workloads.graphs import AnswerGraph

SIX = AnswerGraph(
    (53,) * 6, (12,) * 6, ((), (), (0,), (0, 1), (2,), (3,)), (0.5,) * 6, "generic", suitable=True
)
PARTS = ("sot", "apar_fork", "plato", "plato_no_pipeline", "plato_no_kv_reuse", "graph_oracle")


def failure(**fields: Any) -> FaultSpec:
    return FaultSpec(**{"kind": "failure", "device": "gpu", **fields})


def generations(result: Any) -> list[dict[str, Any]]:
    table = result.generations["chat"]
    columns = {name: table.column(name).tolist() for name in table.schema}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return sorted(rows, key=lambda row: (row["workload"], row["request"], row["generation"]))


def run(
    lab: Any, faults: dict[str, FaultSpec], recovery: object, decoding: object = "plato", **fields: Any
) -> Any:
    service = lab.llm(decoding=decoding, recovery=recovery, replicas=fields.pop("replicas", 1))
    return lab.run(lab.scenario(lab.questions([SIX], **fields), service, faults=faults))


@pytest.mark.parametrize("decoding", PARTS)
def test_what_was_decoded_stays_and_the_rest_is_prefilled_with_it(lab, decoding):
    calm = generations(run(lab, {"late": failure(at=1e6)}, Retry(), decoding))
    at_s = 0.6 * max(row["finish_s"] for row in calm)
    result = run(lab, {"crash": failure(at=at_s, duration=0.0)}, Retry(), decoding)
    rows = generations(result)
    assert {row["status"] for row in rows} == {COMPLETED}
    ended = open_ = 0
    for row, before in zip(rows, calm, strict=True):
        if before["finish_s"] < at_s:
            assert row == before
            ended += 1
        elif before["first_token_s"] < at_s:
            assert row["first_token_s"] == before["first_token_s"]
            assert (
                row["computed_tokens"] + row["resident_tokens"]
                > before["computed_tokens"] + before["resident_tokens"]
            )
            open_ += 1
        assert row["output_tokens"] == before["output_tokens"]
    assert open_
    assert ended or decoding in ("sot", "apar_fork")
    (retries,) = lab.columns(result)["retries"]
    assert retries == 1  # of the answer, however many parts of it were lost


def test_an_answer_may_begin_its_unfinished_parts_again(lab):
    kept = generations(run(lab, {"crash": failure(at=1.5, duration=0.0)}, Retry(keep_generated=True)))
    anew = generations(run(lab, {"crash": failure(at=1.5, duration=0.0)}, Retry(keep_generated=False)))
    again = [
        row for row, other in zip(anew, kept, strict=True) if row["first_token_s"] > other["first_token_s"]
    ]
    assert again
    assert max(row["finish_s"] for row in anew) > max(row["finish_s"] for row in kept)
    for row, other in zip(anew, kept, strict=True):
        assert (row["finish_s"] < 1.5) is (other["finish_s"] < 1.5)


def test_generations_go_on_together_elsewhere_or_wait_for_their_replica(lab):
    crash = {"crash": failure(at=1.0, duration=5.0, unit=0)}
    moved = generations(run(lab, crash, Reroute(), replicas=2))
    assert {row["replica"] for row in moved if row["finish_s"] < 1.0} <= {0}
    assert {row["replica"] for row in moved if row["finish_s"] > 1.0} == {1}
    waited = generations(run(lab, crash, Retry(), replicas=2))
    assert {row["replica"] for row in waited} == {0}
    assert not [row for row in waited if 1.0 < row["finish_s"] < 6.0]


def test_what_was_on_its_way_is_routed_to_what_is_up(lab):
    """Nothing of the answer was at the GPU when that failed: no retry."""
    decoding = Plato(call_overhead=3.0)
    calm = generations(run(lab, {"late": failure(at=1e6)}, Fail(), decoding, replicas=2))
    at_s = calm[0]["finish_s"] + 1.0  # the planner is done, the first node on its way
    result = run(lab, {"crash": failure(at=at_s, duration=500.0, unit=0)}, Fail(), decoding, replicas=2)
    assert lab.columns(result)["retries"].tolist() == [0]
    assert {row["replica"] for row in generations(result)[1:]} == {1}
    assert lab.columns(result)["status"].tolist() == [COMPLETED]


@pytest.mark.parametrize("recovery", [Fail(), Reroute(), Retry()])
def test_an_answer_that_is_given_up_has_failed_and_what_waits_goes_on(lab, recovery):
    """Where no GPU comes back nobody is answered, neither what has begun nor what is still to come."""
    columns = lab.columns(run(lab, {"end": failure(at=1.0)}, recovery, replicas=2, arrivals_s=[0.0]))
    assert columns["status"].tolist() == [FAILED]
    late = run(lab, {"end": failure(at=1.0)}, recovery, replicas=2, arrivals_s=[2.0])
    assert lab.columns(late)["status"].tolist() == [FAILED]
    assert not [row for row in generations(late) if row["status"] != FAILED]


def with_helper(lab: Any, recovery: object, **fields: Any) -> Any:
    decoding = Plato(easy_below=0.6, easy_service="small")
    services = {
        "chat": lab.llm(decoding=decoding, recovery=recovery),
        "small": lab.llm(gpus="helper", replicas=fields.pop("helpers", 1)),
    }
    scenario = lab.scenario(lab.questions([SIX]), **fields)
    devices = {**scenario.devices, "helper": DeviceSpec("a100-80g-sxm")}
    return replace(scenario, services=services, devices=devices)


def test_the_service_that_was_asked_decides_on_parts_that_another_one_decodes(lab):
    crash = {"crash": failure(device="helper", at=1.0, duration=1.0)}
    result = lab.run(with_helper(lab, Retry(), faults=crash))
    assert lab.columns(result)["retries"].tolist() == [1]
    assert {row["status"] for row in generations(result)} == {COMPLETED}
    rows = generations(lab.run(with_helper(lab, Fail(), faults=crash)))
    lost = [row for row in rows if row["status"] == FAILED]
    assert lost
    assert {row["decoded_by"] for row in lost} == {"small"}
    # the planner was elsewhere, and writes its plan to the end, in vain
    (planner,) = (row for row in rows if row["plans"])
    assert planner["status"] == COMPLETED
    assert not lab.services["chat"].replicas[0].kv._pinned


def test_gpus_of_two_services_that_fail_together_cost_an_answer_one_retry(lab, monkeypatch):
    seen: list[LostRequest] = []
    rescue = Retry.rescue
    monkeypatch.setattr(Retry, "rescue", lambda self, lost: seen.append(lost) or rescue(self, lost))
    at = {"at": 0.5, "duration": 1.0}
    faults = {"one": failure(**at), "other": failure(device="helper", **at)}
    result = lab.run(with_helper(lab, Retry(), faults=faults))
    assert lab.columns(result)["retries"].tolist() == [len(seen)] == [1]
    assert lab.columns(result)["status"].tolist() == [COMPLETED]


def anything(lab: Any, seed: int, tight: bool) -> Scenario:
    """Answers in parts among plain requests, any recovery, any faults of two kinds of GPUs and of a disk.

    `tight`: GPU memory for a few sequences in half of the scenarios.
    """
    rng = random.Random(seed)
    answers = [lab.random_graph(rng, longest=120) for _ in range(8)]
    tiers = {"disk": DeviceSpec("nvme-gen4", capacity=rng.choice([1e9, 50e9]))} if rng.random() < 0.5 else {}
    parts = rng.choice([*PARTS, "helped"])
    recovery = rng.choice(
        [Fail(), *(kind(rng.choice([0, 1, 3, 20]), rng.random() < 0.5) for kind in (Reroute, Retry))]
    )
    helped = Plato(easy_below=0.5, easy_service="small", call_overhead=rng.choice([0.0, 0.05]))
    service = lab.llm(
        decoding=helped if parts == "helped" else parts,
        recovery=recovery,
        node_order=find("node_order", rng.choice(["fifo", "critical_path_first"]))(
            ahead_of_requests=rng.random() < 0.5
        ),
        batching=find("batching", "chunked_prefill")(max_sequences=rng.choice([None, 3])),
        kv_tiers=tuple(tiers),
        prefix_cache=rng.random() < 0.7,
        replicas=rng.choice([1, 2, 3]),
    )
    faults = {}
    for number in range(rng.randint(1, 4)):
        device = rng.choice(["gpu", "gpu", "helper", *tiers])
        fields: dict[str, Any] = {"device": device}
        if rng.random() < 0.3:
            fields |= {"kind": "slowdown", "factor": rng.choice([0.2, 0.7])}
        if rng.random() < 0.5:
            fields |= {"mtbf": rng.choice([0.3, 1.0, 4.0]), "mttr": 0.2}
        else:
            fields |= {"at": 3.0 * rng.random(), "duration": rng.choice([0.0, 0.1, 2.0, None])}
        faults[f"fault{number}"] = failure(**fields)
    scenario = lab.scenario(
        {
            "asked": lab.questions(
                answers, sorted(rng.random() for _ in answers), rng.choice([5, 300]), hash_block_tokens=16
            ),
            "plain": lab.trace(
                [(0.1 * i, rng.randint(1, 700), rng.randint(1, 100)) for i in range(rng.choice([1, 10]))],
                hash_block_tokens=16,
            ),
        },
        memory=18.6e9 if tight and rng.random() < 0.5 else None,
        faults=faults,
        horizon=rng.choice([None, None, 2.0]),
    )
    return replace(
        scenario,
        devices={**scenario.devices, "helper": DeviceSpec("a100-80g-sxm"), **tiers},
        services={"chat": service, "small": lab.llm(gpus="helper", replicas=rng.choice([1, 2]))},
    )


def check_books(lab: Any, scenario: Scenario, result: Any) -> None:
    requests = result.requests["chat"]
    rows = {name: requests.column(name).tolist() for name in requests.schema}
    keys = list(zip(rows["workload"], rows["request"], strict=True))
    assert len(keys) == len(set(keys)) == lab.services["chat"].arrived
    status = dict(zip(keys, rows["status"], strict=True))
    parts = generations(result)
    places = [(row["workload"], row["request"], row["generation"]) for row in parts]
    assert len(places) == len(set(places))  # each part ends once
    ended = Counter((row["workload"], row["request"]) for row in parts if row["status"] == COMPLETED)
    for key, number, graph in zip(keys, rows["generations"], rows["answer_tokens"], strict=True):
        if status[key] == COMPLETED and graph and number > 1:
            assert ended[key] == number
    for row in parts:
        of = status[row["workload"], row["request"]]
        assert row["status"] in (COMPLETED, of)
        if row["status"] == COMPLETED:
            assert row["ready_s"] <= row["admitted_s"] < row["first_token_s"] <= row["finish_s"]
    # every token that was computed is somebody's; each row of a request sums over its parts
    prefilled = sum(int(result.intervals[name].column("prefill_tokens").sum()) for name in scenario.services)
    assert prefilled == sum(rows["computed_tokens"])
    limit = getattr(scenario.services["chat"].policies.recovery, "retries", 0)
    assert max(rows["retries"]) <= limit
    if scenario.horizon is None:
        assert UNFINISHED not in rows["status"]
        for runtime in lab.services.values():
            assert not (runtime._open or runtime.rescues.stranded or runtime.rescues._retries)
            for replica in runtime.replicas:
                pool = replica.kv.pool
                assert pool.private_blocks == 0
                assert not replica.kv._pinned
                assert len(pool._idle) == len(pool._references)
                assert replica.outstanding_tokens == 0


@pytest.mark.usefixtures("guarded")
def test_books_balance_whatever_fails(lab):
    retries = failed = moved = 0
    for seed in range(120):
        scenario = anything(lab, seed, tight=True)
        result = lab.run(scenario)
        check_books(lab, scenario, result)
        table = result.requests["chat"]
        in_parts = table.column("generations") > 1
        retries += int(table.column("retries")[in_parts].sum())
        failed += int((table.column("status")[in_parts] == FAILED).sum())
        parts = generations(result)
        homes = {(row["workload"], row["request"], row["decoded_by"], row["replica"]) for row in parts}
        moved += len(homes) - len({home[:3] for home in homes})
    assert retries > 50  # or the test would not test what it says
    assert failed > 50
    assert moved > 10


def test_runs_of_steps_equal_single_steps(lab):
    """With memory to spare: where it is short, a run of steps evicts blocks up to one run too early."""
    for seed in range(60):
        scenario = anything(lab, seed, tight=False)
        fast, slow = lab.run(scenario), lab.run(scenario, step_by_step=True)
        for name in ("finish_s", "first_token_s"):
            times = [[row[name] for row in generations(it)] for it in (fast, slow)]
            assert times[0] == pytest.approx(times[1], rel=1e-9), (seed, name)
        assert lab.columns(fast)["retries"].tolist() == lab.columns(slow)["retries"].tolist()
