"""Unlike GPUs in one pool, and replicas that are switched on and off."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from devices.catalogue import load_profile
from devices.errors import InputError
from simulator.commands.scenarios import SHIPPED
from simulator.policies.autoscaling.target_load import TargetLoad
from simulator.policies.autoscaling.target_utilisation import TargetUtilisation
from simulator.policies.registry import PolicyError
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.load import load, load_text
from simulator.scenario.spec import ColdStart, DeviceSpec, LlmService, SpeculativeSpec
from simulator.serving.build import step_cost
from simulator.serving.forecast import Saturation
from simulator.serving.service import COMPLETED
from simulator.workloads.arrival_spec import Cyclic
from simulator.workloads.length_spec import Uniform
from simulator.world import simulate

PROFILES = {"a100": "a100-80g-sxm", "h100": "h100-80g-sxm", "l40s": "l40s"}
GPUS = {"fast": DeviceSpec("h100-80g-sxm"), "slow": DeviceSpec("l40s")}


def pool(lab: Any, counts: dict[str, int], **fields: Any) -> Any:
    return lab.llm(model="llama-3.1-8b", engine="vllm-0.12", gpus=counts, **fields)


def scenario(lab: Any, workload: Any, service: Any, **fields: Any) -> Any:
    return lab.scenario(workload, service, devices={it: GPUS[it] for it in service.pool}, **fields)


@pytest.mark.parametrize(("inputs", "outputs"), [(128, 128), (512, 64), (1024, 256), (2000, 8), (64, 400)])
@pytest.mark.parametrize("gpu", ["fast", "slow"])
def test_a_full_replica_completes_what_its_forecast_says(lab, gpu, inputs, outputs):
    service = pool(lab, {gpu: 1})
    answers = Uniform(outputs // 2, outputs + outputs // 2)  # else all would keep in step
    backlog = lab.synthetic(requests=1500, input_tokens=inputs, output_tokens=answers)
    columns = lab.columns(lab.run(scenario(lab, backlog, service, record_intervals=False)))
    finish_s = sorted(columns["finish_s"])
    measured_s = (finish_s[1199] - finish_s[299]) / 900  # full: neither the first ones nor the last
    cost = step_cost(service, GPUS[gpu])
    memory = load_profile(GPUS[gpu].profile).memory_bytes * 0.9 - 2 * 2**30 - cost.model.weight_bytes(16)
    full = Saturation(cost, 2048, 256, int(memory / cost.model.kv_bytes_per_token))
    # Preemption, and prompts that share steps otherwise than one by one, are not in the forecast.
    assert full.work_s(inputs, outputs) == pytest.approx(measured_s, rel=0.12)


def makespan_s(lab: Any, counts: dict[str, int], requests: int, **policies: Any) -> float:
    service = pool(lab, counts, **policies)
    backlog = lab.synthetic(requests=requests, input_tokens=512, output_tokens=128)
    return lab.run(scenario(lab, backlog, service, record_intervals=False)).simulated_s


def test_weighing_by_speed_reaches_the_sum_of_the_parts_and_taking_turns_does_not(lab):
    parts = sum(1200 / makespan_s(lab, {gpu: 1}, 1200) for gpu in GPUS)
    together = {
        routing: 2400 / makespan_s(lab, {"fast": 1, "slow": 1}, 2400, routing=routing) / parts
        for routing in ("round_robin", "speed_weighted", "least_work")
    }
    assert 0.95 <= together["speed_weighted"] <= 1.02
    assert 0.95 <= together["least_work"] <= 1.02
    assert together["round_robin"] < 0.8


def test_a_request_goes_only_where_it_fits_and_fails_only_where_it_fits_nowhere(lab):
    rows = [(float(i), tokens, 10) for i, tokens in enumerate([1000, 300_000, 1000, 300_000, 600_000])]
    service = pool(lab, {"slow": 1, "fast": 1})
    columns = lab.columns(lab.run(scenario(lab, lab.trace(rows), service)))
    assert columns["replica"].tolist() == [0, 1, 0, 1, -1]
    assert columns["status"].tolist() == [1, 1, 1, 1, 2]


def test_devices_of_a_pool_are_told_apart_in_totals(lab):
    service = pool(lab, {"fast": 2, "slow": 1})
    result = lab.run(scenario(lab, lab.synthetic(requests=300), service))
    assert result.devices["fast"].on_s == pytest.approx(2 * result.simulated_s)
    assert result.devices["slow"].on_s == pytest.approx(result.simulated_s)
    intervals = result.intervals["chat"]
    busy_s = intervals.column("end_s") - intervals.column("start_s")
    slow = intervals.column("replica") == 2
    assert result.devices["slow"].busy_s == pytest.approx(busy_s[slow].sum())
    assert result.devices["fast"].busy_s == pytest.approx(busy_s[~slow].sum() / 2)


POOL = """\
version: 1
name: pool
devices: {a: {profile: a100-80g-sxm, count: 2}, b: {profile: l40s}, disk: {profile: nvme-gen4}}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: {a: 2, b: 1}, kv_tiers: [disk]}
workloads: {chat: {trace: synthetic, service: chat, arrivals: at_once, requests: 1, input_tokens: 1, output_tokens: 1}}
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("{a: 2, b: 1}", "{a: 2, c: 1}", "services.chat.gpus.c: unknown device 'c'"),
        (
            "{a: 2, b: 1}",
            "{a: 2, b: 1, disk: 1}",
            "services.chat.gpus.disk: device 'disk' is of kind storage",
        ),
        ("{a: 2, b: 1}", "{a: 3, b: 1}", "services.chat.gpus.a: 3 replicas of 1 GPUs need 3; a has 2"),
        ("{a: 2, b: 1}", "{a: 2}", "devices.b: no service uses it"),
        ("{a: 2, b: 1}", "{}", "services.chat.gpus: is empty"),
        ("[disk]", "[disk], replicas: 2", "services.chat.replicas: says again what gpus says"),
        (
            "[disk]",
            "[disk], cold_start: {weights_from: a}, policies: {autoscaling: target_load}",
            "services.chat.cold_start.weights_from: device 'a' is of kind gpu",
        ),
        (
            "kv_tiers: [disk]}",
            "cold_start: {weights_from: disk}, policies: {autoscaling: target_load}}\n"
            "faults: {f: {device: disk, kind: failure, at: 1 s}}\nlinks: {}",
            "faults.f.kind: 'failure' does not befall 'disk', which replicas of 'chat' read their weights from",
        ),
        (
            "[disk]",
            "[disk], policies: {autoscaling: {name: target_load, minimum: 4}}",
            "services.chat.policies.autoscaling.minimum: is 4; there are 3 replicas",
        ),
    ],
)
def test_what_is_wrong_with_a_pool_is_named(old, new, fault):
    load_text(POOL)
    with pytest.raises(InputError) as error:
        load_text(POOL.replace(old, new))
    assert fault in str(error.value)


# ---------------------------------------------------------------- autoscaling


def wave(lab: Any, requests: int = 600, **fields: Any) -> Any:
    return lab.synthetic(
        requests=requests, rate=10.0, arrivals=Cyclic((0.0, 4.0, 1.0, 0.0, 0.0, 0.0), 120.0), **fields
    )


def test_replicas_come_with_the_load_go_with_it_and_draw_nothing_while_they_are_off(lab):
    policy = TargetLoad(requests=2, period=1.0, settle=5.0)
    service = lab.llm(replicas=4, autoscaling=policy, routing="least_loaded")
    result = lab.run(lab.scenario(wave(lab, 1400), service))
    always = lab.run(lab.scenario(wave(lab, 1400), lab.llm(replicas=4, routing="least_loaded")))
    columns = lab.columns(result)
    assert (columns["status"] == COMPLETED).all()
    assert len(set(columns["replica"])) > 2
    on_s = result.devices["gpu"].on_s
    assert result.simulated_s < on_s < 0.6 * always.devices["gpu"].on_s
    idle_w = load_profile("a100-80g-sxm").idle_w
    intervals = result.intervals["chat"]
    busy_s = (intervals.column("end_s") - intervals.column("start_s")).sum()
    drawn_j = intervals.column("energy_j").sum() + idle_w * (on_s - busy_s)
    assert result.devices["gpu"].energy_j == pytest.approx(drawn_j)


def test_a_cold_start_lasts_as_long_as_startup_and_the_read_of_the_weights(lab):
    disk = DeviceSpec("nvme-gen4", bandwidth=1e9)
    policy = TargetLoad(requests=1, minimum=0, period=1.0, settle=1.0)
    service = lab.llm(replicas=1, autoscaling=policy, cold_start=ColdStart(startup=3.0, weights_from="disk"))
    result = lab.run(lab.scenario(lab.trace([(5.0, 100, 10)]), service, tiers={"disk": disk}))
    (admitted_s,) = lab.columns(result)["admitted_s"]
    weights_bytes = step_cost(service, DeviceSpec("a100-80g-sxm")).model.weight_bytes(16)
    assert admitted_s - 5.0 == pytest.approx(3.0 + weights_bytes / 1e9, rel=0.02)
    assert result.devices["disk"].busy_s == pytest.approx(weights_bytes / 1e9, rel=0.02)


def test_drafts_are_read_with_the_weights_and_reads_are_counted(lab):
    disk = DeviceSpec("nvme-gen4", bandwidth=1e9)
    policy = TargetLoad(requests=1, minimum=0, period=1.0, settle=1.0)
    read = {}
    for draft in (None, SpeculativeSpec("llama-3.1-8b", 0.5, 2)):
        service = lab.llm(
            replicas=1,
            model="llama-3.1-8b",
            autoscaling=policy,
            speculative=draft,
            cold_start=ColdStart(weights_from="disk"),
        )
        result = lab.run(lab.scenario(lab.trace([(5.0, 100, 10)]), service, tiers={"disk": disk}))
        read[draft is None] = result.devices["disk"].read_bytes
        assert result.summary()["storage"]["disk"]["read_bytes"] == read[draft is None]
    assert read[False] == 2 * read[True] > 16e9


def test_two_cold_starts_share_the_store(lab):
    disk = DeviceSpec("nvme-gen4", bandwidth=1e9)

    def started_s(replicas: int) -> float:
        policy = TargetLoad(requests=1, minimum=0, period=1.0, settle=1.0)
        service = lab.llm(replicas=replicas, autoscaling=policy, cold_start=ColdStart(weights_from="disk"))
        rows = [(0.0, 100, 10)] * replicas
        return float(
            lab.columns(lab.run(lab.scenario(lab.trace(rows), service, tiers={"disk": disk})))["admitted_s"][
                0
            ]
        )

    alone_s = started_s(1)  # the second one starts a period later
    assert started_s(2) == pytest.approx(1.0 + 2 * (alone_s - 1.0), rel=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_and_it_ends_whatever_the_scaling(lab, seed):
    rng = random.Random(seed)
    policy: Any = TargetLoad(
        requests=rng.choice([1, 4, 30]),
        minimum=rng.choice([0, 1, 3]),
        period=rng.choice([0.1, 1.0, 30.0]),
        settle=rng.choice([0.0, 2.0, 60.0]),
    )
    if seed % 3 == 0:
        policy = TargetUtilisation(rng.choice([0.1, 0.7, 1.0]), 1, policy.period, policy.settle)
    service = lab.llm(
        replicas=3,
        autoscaling=policy,
        routing=rng.choice(["round_robin", "least_work", "speed_weighted", "slo_aware"]),
        cold_start=ColdStart(startup=rng.choice([0.0, 5.0])),
    )
    workload = wave(lab, requests=200, start=0.0)
    one, other = (
        lab.run(lab.scenario(workload, service, seed=seed), step_by_step=step) for step in (False, True)
    )
    assert (one.requests["chat"].column("status") == COMPLETED).all()
    for name, values in lab.columns(one).items():
        expected = (
            values.tolist() if name == "workload" else pytest.approx(values.tolist(), rel=1e-9, abs=1e-9)
        )
        assert lab.columns(other)[name].tolist() == expected, name
    assert 0.0 < one.devices["gpu"].on_s <= 3 * one.simulated_s


@pytest.mark.parametrize("wanted", [0, 4, -1, 1.0, None, True])
def test_an_autoscaler_that_wants_nonsense_is_named(lab, wanted):
    @dataclass(frozen=True)
    class Astray:
        minimum: ClassVar[int] = 1
        period: ClassVar[float] = 0.05
        settle: ClassVar[float] = 0.0

        def replicas(self, view: Any) -> Any:
            return wanted

    with pytest.raises(PolicyError, match=r"autoscaling policy .*Astray wants"):
        lab.run(lab.scenario(lab.synthetic(requests=3), lab.llm(replicas=3, autoscaling=Astray())))


def test_an_autoscaler_that_wants_all_for_ever_ends_with_the_requests(lab):
    policy = replace(TargetLoad(requests=1, settle=1.0, period=1.0), minimum=3)
    result = lab.run(lab.scenario(lab.synthetic(requests=3), lab.llm(replicas=3, autoscaling=policy)))
    assert result.devices["gpu"].on_s == pytest.approx(3 * result.simulated_s)


def test_decisions_keep_no_run_alive_and_what_was_put_off_is_booked(lab):
    rows = [(0.1 * i, 200, 20) for i in range(40)] + [(100.0, 200, 20)]
    on_s = []
    for settle_s in (0.0, 5.0, 50.0, 1000.0):
        policy = TargetLoad(requests=1, period=1.0, settle=settle_s)
        service = lab.llm(replicas=4, autoscaling=policy, routing="least_loaded")
        result = lab.run(lab.scenario(lab.trace(rows), service))
        assert result.simulated_s == lab.columns(result)["finish_s"].max()
        on_s.append(result.devices["gpu"].on_s)
    # The last answer of the burst is out at about 5 s; then one replica is on but for those that settle.
    assert result.simulated_s < on_s[0] < on_s[1] < on_s[2] < on_s[3]
    others = (on_s[2] - result.simulated_s) / (on_s[3] - result.simulated_s)
    assert others == pytest.approx(55 / 100, abs=0.1)


@pytest.mark.parametrize("seed", range(15))
def test_energy_is_that_of_what_is_on_and_whole_whatever_fails(lab, seed):
    rng = random.Random(seed)
    policy = TargetLoad(requests=rng.choice([1, 4]), minimum=rng.choice([0, 1]), period=1.0, settle=5.0)
    faults = {
        "random": FaultSpec(
            kind="failure", device="gpu", mtbf=rng.choice([5.0, 30.0]), mttr=rng.choice([1.0, 20.0])
        ),
        "early": FaultSpec(kind="failure", device="gpu", unit=2, at=1.0, duration=40.0),
    }
    service = lab.llm(replicas=3, autoscaling=policy, routing="least_loaded")
    result = lab.run(lab.scenario(wave(lab, 150), service, seed=seed, faults=faults))
    replicas = lab.services["chat"].replicas
    on_s = 3 * result.simulated_s - sum(it.uptime.off_s for it in replicas)
    whole_s = on_s - sum(it.uptime.down_s for it in replicas)
    steps_s = sum(it.account.busy_s for it in replicas)
    assert 0.0 <= steps_s <= whole_s * (1 + 1e-12)
    steps_j = sum(it.account.busy_j for it in replicas)
    idle_w = load_profile("a100-80g-sxm").idle_w
    assert result.devices["gpu"].on_s == pytest.approx(on_s)
    assert result.devices["gpu"].energy_j == pytest.approx(steps_j + idle_w * (whole_s - steps_s))


def test_the_shipped_pool_does_what_its_parts_do_together_where_the_router_knows_their_speeds():
    def rate(pool: dict[str, int], requests: int, routing: str = "speed_weighted") -> float:
        scenario = load(
            SHIPPED / "cluster/mixed_pool.yaml",
            overrides=[
                f"workloads.chat.requests={requests}",
                "workloads.chat.rate=2000/s",
                f"services.chat.policies.routing={routing}",
                f"services.chat.gpus={{{', '.join(f'{name}: {count}' for name, count in pool.items())}}}",
                f"devices={{{', '.join(f'{name}: {{profile: {PROFILES[name]}}}' for name in pool)}}}",
            ],
        )
        return requests / simulate(scenario).simulated_s

    pool = {"a100": 2, "h100": 2, "l40s": 4}
    parts = sum(rate({name: count}, 1500) for name, count in pool.items())
    reached = {it: rate(pool, 4500, it) / parts for it in ("speed_weighted", "least_work", "round_robin")}
    assert 0.95 <= reached["speed_weighted"] <= 1.02
    assert 0.95 <= reached["least_work"] <= 1.02
    assert reached["round_robin"] < 0.75


def test_a_replica_that_only_decodes_is_not_charged_for_prompts():
    cost = step_cost(LlmService("llm", "llama-3.1-8b", "fast"), GPUS["fast"])
    both, decodes = (Saturation(cost, 2048, 256, 400_000, prefills=it) for it in (True, False))
    assert decodes.work_s(2000, 100) < 0.3 * both.work_s(2000, 100)
    assert decodes.work_s(1, 400) == pytest.approx(both.work_s(1, 400), rel=0.05)
