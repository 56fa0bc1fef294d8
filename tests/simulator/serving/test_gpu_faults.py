"""GPUs that fail, come back and slow down: what that costs, by hand; who serves whom meanwhile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.core import EventLog
from simulator.policies.recovery.fail import Fail
from simulator.policies.recovery.reroute import Reroute
from simulator.policies.recovery.retry import Retry
from simulator.policies.registry import PolicyError
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.load import load
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED
from simulator.workloads.arrival_spec import Closed, Poisson
from simulator.workloads.spec import Sessions
from simulator.world import simulate


def failure(**fields):
    return FaultSpec(**{"kind": "failure", "device": "gpu", **fields})


def slowdown(factor, **fields):
    return FaultSpec(kind="slowdown", device="gpu", factor=factor, **fields)


def run(lab, workload, faults, recovery=None, replicas=1, log=None, **fields):
    chosen = lab.llm(replicas=replicas, recovery=recovery or Reroute())
    return lab.run(lab.scenario(workload, chosen, faults=faults, **fields), log=log)


def one(lab, result):
    return {name: column[:1].tolist()[0] for name, column in lab.columns(result).items()}


@pytest.mark.parametrize("keep_generated", [False, True])
def test_a_failure_costs_exactly_what_is_computed_again(lab, keep_generated):
    """A lone request fails while it decodes; the GPU is back at once, so that only work is lost, and no time."""
    prompt, answer = 100, 40
    workload = lab.synthetic(requests=1, input_tokens=prompt, output_tokens=answer)
    calm = one(lab, lab.run(lab.scenario(workload)))
    cost = lab.services["chat"].replicas[0].cost

    def prefill_s(tokens):
        return cost.step_s(tokens, pairs=tokens * (tokens + 1) / 2)

    def decode_s(context):
        return cost.step_s(1, 1, context)

    start_s = calm["admitted_s"]
    done = 7  # tokens out when the GPU fails, in the middle of the next step
    at_s = start_s + prefill_s(prompt) + sum(decode_s(prompt + k) for k in range(1, done))
    at_s += 0.5 * decode_s(prompt + done)
    result = run(
        lab, workload, {"crash": failure(at=at_s, duration=0.0)}, Retry(keep_generated=keep_generated)
    )
    row = one(lab, result)
    if keep_generated:
        rest_s = prefill_s(prompt + done) + sum(decode_s(prompt + k) for k in range(done + 1, answer))
        assert row["first_token_s"] == calm["first_token_s"]
        assert row["computed_tokens"] == prompt + prompt + done
    else:
        rest_s = calm["finish_s"] - start_s
        assert row["first_token_s"] == pytest.approx(at_s + prefill_s(prompt), rel=1e-12)
        assert row["computed_tokens"] == 2 * prompt
    assert row["finish_s"] == pytest.approx(at_s + rest_s, rel=1e-12)
    assert row["retries"] == 1
    figures = result.summary()["services"]["chat"]["faults"]
    # the newest token has no KV yet
    assert figures == {
        "failures": 1,
        "slowdowns": 0,
        "downtime_s": 0.0,
        "availability": 1.0,
        "retries": 1,
        "lost_tokens": prompt + done - 1,
    }


def test_a_repair_takes_its_time_and_a_failed_gpu_draws_nothing(lab):
    workload = lab.synthetic(requests=1, output_tokens=50)
    calm = one(lab, lab.run(lab.scenario(workload)))
    at_s = (calm["admitted_s"] + calm["first_token_s"]) / 2  # in the first step, so that all is to do again
    result = run(lab, workload, {"crash": failure(at=at_s, duration=3.0)})
    row = one(lab, result)
    assert row["finish_s"] == pytest.approx(at_s + 3.0 + calm["finish_s"] - calm["admitted_s"])
    (replica,) = lab.services["chat"].replicas
    up_s = result.simulated_s - 3.0
    idle_j = replica.cost.gpu.idle_w * (up_s - replica.account.busy_s)
    assert result.devices["gpu"].energy_j == pytest.approx(replica.account.busy_j + idle_j)
    assert result.summary()["services"]["chat"]["faults"]["downtime_s"] == pytest.approx(3.0)


@pytest.mark.parametrize("factor", [0.5, 0.3])
def test_a_slowdown_makes_a_lone_request_take_as_much_longer(lab, factor):
    workload = lab.synthetic(requests=1, input_tokens=3000, output_tokens=30)
    calm = one(lab, lab.run(lab.scenario(workload)))
    slow = one(lab, run(lab, workload, {"straggler": slowdown(factor, at=0.0)}))
    for time in ("first_token_s", "finish_s"):
        assert (slow[time] - slow["admitted_s"]) * factor == pytest.approx(
            calm[time] - calm["admitted_s"], rel=1e-12
        )


def test_a_slowdown_begins_and_ends_with_a_step(lab):
    """Steps that have begun are as fast as they began, so that two slow-downs that cover no step's start do nothing."""
    workload = lab.synthetic(requests=1, output_tokens=50)
    calm = lab.run(lab.scenario(workload))
    row = one(lab, calm)
    step_s = row["first_token_s"] - row["admitted_s"]
    at_s = row["admitted_s"] + 0.2 * step_s
    within = one(lab, run(lab, workload, {"blip": slowdown(0.1, at=at_s, duration=0.5 * step_s)}))
    assert within["finish_s"] == pytest.approx(row["finish_s"], rel=1e-12)


def test_two_slowdowns_multiply(lab):
    workload = lab.synthetic(requests=1, output_tokens=50)
    both = one(lab, run(lab, workload, {"a": slowdown(0.5, at=0.0), "b": slowdown(0.4, at=0.0)}))
    same = one(lab, run(lab, workload, {"a": slowdown(0.2, at=0.0)}))
    assert both["finish_s"] == pytest.approx(same["finish_s"], rel=1e-12)


def test_nothing_is_sent_to_a_replica_that_is_down(lab):
    """Only the second one works from 1 s to 6 s; both are admitted to before and after."""
    rows = [(0.05 * i, 200, 20) for i in range(200)]
    for routing in ("round_robin", "least_loaded", "prefix_aware"):
        chosen = lab.llm(replicas=2, routing=routing)
        faults = {"crash": failure(at=1.0, duration=5.0, unit=0)}
        result = lab.run(lab.scenario(lab.trace(rows), chosen, faults=faults))
        columns = lab.columns(result)
        during = (columns["admitted_s"] > 1.0) & (columns["admitted_s"] < 6.0)
        assert set(columns["replica"][during]) == {1}
        assert set(columns["replica"][~during]) == {0, 1}
        assert (columns["status"] == COMPLETED).all()
        steps = result.intervals["chat"]
        mine = steps.column("replica") == 0
        assert not ((steps.column("end_s") > 1.0) & (steps.column("start_s") < 6.0) & mine).any()


def test_retry_waits_for_the_same_replica(lab):
    rows = [(0.0, 100, 200), (0.0, 100, 200)]
    result = run(lab, lab.trace(rows), {"crash": failure(at=1.0, duration=5.0, unit=1)}, Retry(), replicas=2)
    columns = lab.columns(result)
    assert columns["replica"].tolist() == [0, 1]
    assert columns["finish_s"][0] < 6.0 < columns["finish_s"][1]
    assert columns["retries"].tolist() == [0, 1]


def test_fail_counts_what_was_lost_as_failed(lab):
    rows = [(0.0, 100, 200), (0.0, 100, 200), (2.0, 100, 200)]
    result = run(lab, lab.trace(rows), {"crash": failure(at=1.0, duration=5.0, unit=1)}, Fail(), replicas=2)
    columns = lab.columns(result)
    assert columns["status"].tolist() == [COMPLETED, FAILED, COMPLETED]
    assert columns["finish_s"][1] == -1.0
    assert result.summary()["services"]["chat"]["requests"]["failed"] == 1
    assert any("lost to faults" in note for note in result.notes)


def test_retries_come_to_an_end(lab):
    faults = {f"crash{i}": failure(at=0.1 + 0.1 * i, duration=0.01) for i in range(9)}
    rows = [(0.0, 100, 400)]
    for recovery, status in ((Retry(retries=2), FAILED), (Retry(retries=9), COMPLETED)):
        columns = lab.columns(run(lab, lab.trace(rows), faults, recovery))
        assert columns["status"].tolist() == [status]
        assert columns["retries"].tolist() == [min(9, recovery.retries)]


@pytest.mark.parametrize("recovery", [Reroute(), Retry(), Fail()])
def test_where_no_gpu_will_ever_be_up_again_requests_have_failed(lab, recovery):
    """What is under way, what waits, and what is still to come."""
    rows = [(0.1 * i, 100, 200) for i in range(30)]
    columns = lab.columns(run(lab, lab.trace(rows), {"end": failure(at=1.0)}, recovery, replicas=2))
    assert set(columns["status"]) == {FAILED}
    assert len(columns["status"]) == 30


@pytest.mark.parametrize("recovery", [Reroute(retries=1), Retry(keep_generated=False), Fail()])
def test_what_waits_for_a_lost_request_goes_on(lab, recovery):
    """The next ones of a closed loop, and the next turns of sessions, come when a request has ended or failed."""
    closed = lab.synthetic(arrivals=Closed(concurrency=4), requests=40, output_tokens=60)
    sessions = lab.synthetic(
        rate=2.0,
        arrivals=Poisson(),
        requests=40,
        sessions=Sessions(turns=4, think_time=0.3),
        output_tokens=60,
    )
    faults = {"crash": failure(mtbf=1.0, mttr=0.2), "slow": slowdown(0.5, mtbf=1.0, mttr=1.0)}
    for workload in (closed, sessions):
        columns = lab.columns(run(lab, workload, faults, recovery, replicas=2))
        assert columns["request"].tolist() == list(range(40))
        assert UNFINISHED not in columns["status"]
        assert FAILED in columns["status"] or recovery != Fail()


def test_services_that_share_a_device_share_its_faults(lab):
    """Replicas are numbered through: 0 and 1 are those of the first service, 2 that of the second."""
    two = {"chat": lab.llm(replicas=2), "other": lab.llm(replicas=1)}
    work = {name: lab.synthetic(service=name, requests=4, output_tokens=200) for name in two}
    scenario = lab.scenario(work, faults={"crash": failure(at=0.5, duration=1.0, unit=2)})
    summary = lab.run(replace(scenario, services=two)).summary()
    assert summary["services"]["chat"]["faults"]["failures"] == 0
    assert summary["services"]["other"]["faults"]["failures"] == 1
    assert summary["services"]["other"]["faults"]["retries"] == 4


def test_arrivals_wait_while_no_gpu_is_up(lab):
    result = run(lab, lab.trace([(1.5, 100, 10)]), {"crash": failure(at=1.0, duration=4.0)}, Fail())
    row = one(lab, result)
    assert row["admitted_s"] == 5.0
    assert (row["status"], row["retries"]) == (COMPLETED, 0)


def test_what_waits_at_the_horizon_is_unfinished(lab):
    faults = {"crash": failure(at=1.0, duration=4.0)}
    result = run(lab, lab.trace([(1.5, 100, 10)]), faults, horizon=3.0)
    assert one(lab, result)["status"] == UNFINISHED
    assert result.faults is not None
    assert result.faults.column("end_s").tolist() == [3.0]


def test_a_kv_cache_is_empty_after_a_failure(lab):
    ids = list(range(8))
    rows = [(0.0, 128, 1, ids), (5.0, 128, 1, ids)]
    workload = lab.trace(rows, hash_block_tokens=16)
    assert lab.columns(lab.run(lab.scenario(workload)))["resident_tokens"].tolist() == [0, 112]
    crash = {"crash": failure(at=2.0, duration=1.0)}
    assert lab.columns(run(lab, workload, crash))["resident_tokens"].tolist() == [0, 0]


def test_faults_do_not_prolong_a_run(lab):
    """They come only while something is to happen: the last answer ends the run, as it does without them."""
    workload = lab.synthetic(requests=3)
    calm = lab.run(lab.scenario(workload))
    faults = {"late": failure(at=1e6), "random": failure(mtbf=1e7, mttr=1.0)}
    assert run(lab, workload, faults).simulated_s == calm.simulated_s


def test_the_log_tells_of_faults(lab):
    log = EventLog()
    run(lab, lab.synthetic(requests=1, output_tokens=200), {"crash": failure(at=1.0, duration=2.0)}, log=log)
    assert log.times("fault") == [("gpu/0", 1.0)]
    assert log.times("repair") == [("gpu/0", 3.0)]
    assert log.times("lose") == [("work/0", 1.0)]


def test_a_policy_that_decides_nonsense_is_named(lab, monkeypatch):
    monkeypatch.setattr(Reroute, "rescue", lambda self, request: "anywhere")
    with pytest.raises(PolicyError, match="recovery policy 'reroute' decided 'anywhere'"):
        run(lab, lab.synthetic(requests=1, output_tokens=200), {"crash": failure(at=1.0, duration=2.0)})


RACK = """
version: 1
name: rack
devices: {gpu: {profile: a100-80g-sxm, count: 4}}
services:
  chat:
    kind: llm
    model: llama-2-7b
    gpus: gpu
    policies: {routing: round_robin, recovery: {name: reroute, retries: 1}}
workloads:
  chat: {trace: synthetic, service: chat, input_tokens: 512, output_tokens: 128, rate: 12/s, requests: 400}
faults:
  rack: {device: gpu, kind: failure, at: 20 s, duration: 5 s}
"""


def test_replicas_that_fail_together_cost_one_retry_and_share_what_waits(tmp_path):
    file = tmp_path / "rack.yaml"
    file.write_text(RACK)
    result = simulate(load(file))
    requests = result.requests["chat"]
    assert set(requests.column("retries")) == {0, 1}
    assert (requests.column("status") == COMPLETED).all()
    arrival = requests.column("arrival_s")
    waited = requests.column("replica")[(arrival >= 20.0) & (arrival < 25.0)]
    counts = np.bincount(waited, minlength=4)
    assert len(waited) > 40
    assert counts.min() >= 0.9 * len(waited) / 4
