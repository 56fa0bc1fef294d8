"""Replicas that prefill for others that decode: KV crosses a link, memory holds, faults lose what they strike."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from devices.catalogue import load_profile
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.recovery.fail import Fail
from simulator.policies.recovery.reroute import Reroute
from simulator.policies.recovery.retry import Retry
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.spec import DeviceSpec, LinkSpec, PrefillSpec
from simulator.serving.build import step_cost
from simulator.serving.models import load_model
from simulator.serving.work import chunk_pairs
from simulator.workloads.spec import Stored

TOKEN_BYTES = load_model("llama-2-7b").kv_bytes_per_token
INSTANT = LinkSpec("ethernet-100g", bandwidth=1e17, latency=0.0)


def apart(lab, workload, link=INSTANT, memory=None, prefill=(), **fields):
    """One replica on ``early`` that prefills, one on ``gpu`` that decodes, unless told otherwise."""
    more = {key: fields.pop(key) for key in ("faults", "horizon", "seed", "tiers") if key in fields}
    tiers = {"early": DeviceSpec("a100-80g-sxm", memory=memory), **more.pop("tiers", {})}
    stage = PrefillSpec(**{"gpus": "early", "link": "net", **dict(prefill)})
    service = lab.llm(**{"kv_loading": "compute_only", "prefill": stage, **fields})
    return lab.scenario(workload, service, memory=memory, tiers=tiers, links={"net": link}, **more)


def rows(seed, requests=60, longest=1500, answer=200):
    rng = random.Random(seed)
    time_s, made = 0.0, []
    for _ in range(requests):
        time_s += rng.expovariate(rng.choice([3, 20]))
        made.append((time_s, rng.randint(1, longest), rng.randint(1, answer)))
    return made


def test_first_tokens_are_those_of_a_service_that_only_prefills(lab):
    """With memory to spare nothing that happens to decodes is felt where prompts are prefilled."""
    made = rows(1)
    both = lab.columns(lab.run(apart(lab, lab.trace(made), LinkSpec("ethernet-10g"))))
    alone = lab.columns(lab.run(lab.scenario(lab.trace([(at, prompt, 1) for at, prompt, _ in made]))))
    np.testing.assert_allclose(both["first_token_s"], alone["first_token_s"], rtol=1e-9)
    assert (both["finish_s"] >= both["first_token_s"]).all()


def test_a_request_alone_takes_prefill_transfer_and_decode_steps(lab):
    prompt, answer, bandwidth, latency = 700, 40, 2e9, 3e-3
    scenario = apart(lab, lab.trace([(0.0, prompt, answer)]), LinkSpec("ethernet-100g", bandwidth, latency))
    columns = lab.columns(lab.run(scenario))
    cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
    chunk = ChunkedPrefill().token_budget or int(cost.engine.default_token_budget)
    ttft_s = cost.engine.request_overhead_s + cost.prefill_s(0, prompt, chunk)
    assert columns["first_token_s"] == pytest.approx([ttft_s])
    assert columns["transfer_start_s"] == pytest.approx([ttft_s])  # there is room at once
    assert columns["transfer_bytes"] == [prompt * TOKEN_BYTES]
    took_s = columns["transfer_end_s"] - columns["transfer_start_s"]
    latency += load_profile("ethernet-100g").per_operation_s
    assert took_s == pytest.approx([latency + prompt * TOKEN_BYTES / bandwidth])
    decode_s = sum(cost.step_s(1, 1, prompt + 1 + i) for i in range(answer - 1))
    assert columns["finish_s"] - columns["transfer_end_s"] == pytest.approx([decode_s])
    assert (columns["prefill_replica"], columns["replica"]) == ([1], [0])


def test_transfers_share_the_link_with_one_another_and_with_loads(lab):
    """Two prompts prefilled in one step take twice as long over the link, and longer beside a tier behind it."""
    link = LinkSpec("ethernet-100g", bandwidth=1e9, latency=0.0)
    bare = {"batching": ChunkedPrefill(token_budget=2048)}
    one = lab.columns(lab.run(apart(lab, lab.trace([(0.0, 512, 2)]), link, **bare)))
    two = lab.columns(lab.run(apart(lab, lab.trace([(0.0, 512, 2)] * 2), link, **bare)))
    alone_s, shared_s = (it["transfer_end_s"] - it["transfer_start_s"] for it in (one, two))
    np.testing.assert_allclose(shared_s, 2.0 * alone_s[0], rtol=1e-6)
    store = {"remote": DeviceSpec("remote-rdma-100g", link="net")}
    stored = lab.trace([(0.0, 1600, 2, list(range(101)))], hash_block_tokens=16, stored=Stored("remote"))
    both = {"plain": lab.trace([(0.0, 512, 2)]), "stored": stored}
    loads = apart(lab, both, link, tiers=store, kv_tiers=("remote",), **{**bare, "kv_loading": "io_only"})
    table = lab.run(loads).requests["chat"]
    plain = table.column("workload") == "plain"
    assert table.column("loaded_remote_tokens")[~plain] == [99 * 16]
    took_s = (table.column("transfer_end_s") - table.column("transfer_start_s"))[plain]
    np.testing.assert_allclose(took_s, 2.0 * alone_s, rtol=1e-6)


def test_what_finds_no_room_waits_where_it_was_prefilled(lab, guarded):
    """Memory for a few answers on either side: all is answered, and blocks are never given twice."""
    made = [(0.01 * i, 100, 300) for i in range(40)]
    result = lab.run(apart(lab, lab.trace(made), memory=18.5e9))
    columns = lab.columns(result)
    assert (columns["status"] == 1).all()
    waited_s = columns["transfer_start_s"] - columns["first_token_s"]
    assert (waited_s > 1.0).sum() > 10
    assert columns["preemptions"].sum() > 0
    for replica in lab.services["chat"].replicas:
        assert not replica.batch.leaving
        assert replica.kv.pool.private_blocks == 0
        assert replica.outstanding_tokens == 0


def test_answers_of_one_token_never_leave_and_long_ones_fail_at_once(lab):
    columns = lab.columns(lab.run(apart(lab, lab.trace([(0.0, 50, 1), (0.0, 60_000, 2)]), memory=20e9)))
    assert columns["status"].tolist() == [1, 2]
    assert columns["replica"].tolist() == [1, -1]
    assert columns["transfer_bytes"].tolist() == [-1.0, -1.0]


def test_time_and_energy_are_booked_on_the_device_that_spends_them(lab):
    scenario = apart(lab, lab.trace(rows(5)), prefill={"tensor_parallel": 2, "replicas": 2})
    result = lab.run(scenario)
    runtime = lab.services["chat"]
    intervals = result.intervals["chat"]
    replica, span_s = intervals.column("replica"), intervals.column("end_s") - intervals.column("start_s")
    assert set(replica.tolist()) == {0, 1, 2}
    decodes, prefills = intervals.column("decodes"), intervals.column("prefill_tokens")
    assert (prefills[replica == 0] == 0).all()
    assert (decodes[replica > 0] == 0).all()
    assert result.devices["early"].busy_s == pytest.approx(span_s[replica > 0].sum() / 2)
    assert result.devices["gpu"].busy_s == pytest.approx(span_s[replica == 0].sum())
    for name, own in (("early", runtime.replicas[1:]), ("gpu", runtime.replicas[:1])):
        gpus = 4 if name == "early" else 1
        idle_s = gpus * result.simulated_s - gpus * result.devices[name].busy_s
        energy_j = sum(it.account.busy_j for it in own) + own[0].cost.gpu.idle_w * idle_s
        assert result.devices[name].energy_j == pytest.approx(energy_j)


def test_prefixes_are_cached_where_prompts_are_computed(lab):
    ids = list(range(20))
    trace = lab.trace([(0.0, 320, 20, ids), (5.0, 320, 20, ids)], hash_block_tokens=16)
    columns = lab.columns(lab.run(apart(lab, trace)))
    assert columns["resident_tokens"].tolist() == [0, 19 * 16]
    assert columns["transfer_bytes"].tolist() == [320 * TOKEN_BYTES] * 2


def any_scenario(lab, seed):
    """Any numbers of replicas, links, budgets, prefixes."""
    rng = random.Random(seed)
    block = rng.choice([0, 32])
    return apart(
        lab,
        lab.trace(lab.random_rows(rng, block, 1200, 300), hash_block_tokens=block or 512),
        LinkSpec("ethernet-100g", rng.choice([None, 1e8, 1e9]), rng.choice([None, 0.0, 0.01])),
        prefill={"replicas": rng.choice([1, 2]), "tensor_parallel": rng.choice([1, 2])},
        replicas=rng.choice([1, 2, 3]),
        routing=rng.choice(["round_robin", "least_loaded"]),
        queueing=rng.choice(["fcfs", "priority"]),
        batching=ChunkedPrefill(rng.choice([64, 512, 2048]), rng.choice([None, 3])),
        horizon=rng.choice([None, 2.0]),
        seed=seed,
    )


@pytest.mark.parametrize("seeds", [range(60)])
def test_runs_of_steps_equal_single_steps(lab, seeds):
    for seed in seeds:
        scenario = any_scenario(lab, seed)
        one, other = (lab.run(scenario, step_by_step=flag) for flag in (False, True))
        first, second = lab.columns(one), lab.columns(other)
        for name in set(first) - {"workload"}:
            np.testing.assert_allclose(
                first[name], second[name], rtol=1e-9, atol=1e-12, err_msg=f"{seed}: {name}"
            )
        for name, totals in one.devices.items():
            assert totals.busy_s == pytest.approx(other.devices[name].busy_s)
            assert totals.energy_j == pytest.approx(other.devices[name].energy_j)


POLICIES = [Reroute(keep_generated=True), Reroute(keep_generated=False), Retry(), Fail()]


def faulty(lab, seed, recovery):
    """GPUs of both sides, and the link, break down while requests come, some for good."""
    rng = random.Random(seed)
    end_s = 6.0
    faults = {}
    for number in range(rng.choice([1, 2, 4])):
        start_s = rng.uniform(0.0, end_s)
        target = {"device": rng.choice(["gpu", "early"])} if rng.random() < 0.8 else {"link": "net"}
        faults[f"f{number}"] = FaultSpec(
            kind="failure" if "device" in target else "outage",
            at=start_s,
            duration=rng.choice([0.2, 2.0, None if "device" in target else 3.0]),
            unit=rng.choice([0, 1]) if "device" in target else None,
            **target,
        )
    return apart(
        lab,
        lab.trace(rows(seed, 80, 800, 300)),
        LinkSpec("ethernet-100g", rng.choice([None, 2e8]), 0.0),
        prefill={"replicas": 2},
        replicas=2,
        recovery=recovery,
        memory=rng.choice([None, 19e9]),
        faults=faults,
        seed=seed,
    )


@pytest.mark.parametrize(
    "recovery", POLICIES, ids=lambda it: f"{type(it).__name__}-{getattr(it, 'keep_generated', '')}"
)
def test_faults_on_either_side_lose_nobody(lab, guarded, recovery):
    ends = Counter()
    for seed in range(25):
        result = lab.run(faulty(lab, seed, recovery))
        columns = lab.columns(result)
        assert len(columns["status"]) == 80
        assert set(columns["status"].tolist()) <= {1, 2}
        ends.update(columns["status"].tolist())
        done = columns["status"] == 1
        assert (columns["finish_s"][done] >= columns["first_token_s"][done]).all()
        assert (columns["computed_tokens"][done] >= columns["input_tokens"][done]).all()
        for replica in lab.services["chat"].replicas:
            assert not replica.batch.leaving
            assert not replica.batch.admitted
            assert replica.kv.pool.private_blocks == 0
            assert replica.outstanding_tokens == 0
    assert ends[1] > 1500


def test_kv_that_has_not_come_over_survives_where_it_was_prefilled(lab):
    """The replica that decodes fails while KV is on its way to it: another one pulls it, nothing is computed again."""
    slow = LinkSpec("ethernet-100g", bandwidth=5e8, latency=0.0)
    fault = {"crash": FaultSpec(device="gpu", kind="failure", unit=0, at=0.3, duration=100.0)}
    scenario = apart(lab, lab.trace([(0.0, 1000, 20)]), slow, replicas=2, faults=fault)
    columns = lab.columns(lab.run(scenario))
    assert columns["computed_tokens"] == [1000]
    assert columns["retries"] == [0]
    assert columns["transfer_start_s"] == [0.3]
    assert columns["replica"] == [1]


def test_chunk_pairs_of_a_prompt_do_not_depend_on_where_it_is_decoded(lab):
    """The work booked on both sides together is that of one replica that does it all, but for what steps share."""
    prompt = 512
    result = lab.run(apart(lab, lab.trace([(0.0, prompt, 1)])))
    cost = lab.services["chat"].replicas[1].cost
    assert result.devices["early"].busy_s == pytest.approx(cost.step_s(prompt, pairs=chunk_pairs(0, prompt)))
    assert result.devices["gpu"].busy_s == 0.0
