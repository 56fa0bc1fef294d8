"""Random scenarios with random faults: nothing is lost from the books, nothing hangs, both ways to run agree."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from simulator.policies.recovery.fail import Fail
from simulator.policies.recovery.reroute import Reroute
from simulator.policies.recovery.retry import Retry
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.spec import LinkSpec, Scenario
from simulator.serving.replica import Replica
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED

EVENTS = ("failures", "outages", "slowdowns")


def random_faults(rng: random.Random, scenario: Scenario) -> dict[str, FaultSpec]:
    """Up to four faults of GPUs, tiers and links of a scenario, in the seconds in which it is busy."""
    faults = {}
    for number in range(rng.randint(1, 4)):
        device = rng.choice([*scenario.devices, *scenario.links])
        where: dict[str, Any] = {"device": device}
        kinds = ["failure", "outage", "slowdown"]
        if device in scenario.links:
            where = {"link": device}
            kinds.remove("failure")
        elif device.startswith("gpu"):
            where["unit"] = rng.choice([None, 0])
            kinds.remove("outage")
        kind: Any = rng.choice(kinds)
        where["factor"] = rng.choice([0.1, 0.5, 0.9]) if kind == "slowdown" else None
        if rng.random() < 0.5:
            fault = FaultSpec(kind, mtbf=rng.choice([0.2, 1, 5]), mttr=0.3, **where)
        else:
            lasts = rng.choice([0.0, 0.1, 2.0] + ([] if kind == "outage" else [None]))
            fault = FaultSpec(kind, at=3 * rng.random(), duration=lasts, **where)
        faults[f"fault{number}"] = fault
    return faults


def random_scenario(lab: Any, seed: int, tight: bool = False) -> Scenario:
    rng = random.Random(-1 - seed)
    scenario = lab.random_scenario(seed, tight)
    scenario = with_recovery(rng, scenario)
    return replace(scenario, faults=random_faults(rng, scenario))


def with_recovery(rng: random.Random, scenario: Scenario) -> Scenario:
    """Give each service a recovery policy."""
    services = {}
    for name, service in scenario.llm_services.items():
        recovery = rng.choice(
            [
                Fail(),
                *(kind(rng.choice([0, 1, 3, 20]), rng.random() < 0.5) for kind in (Reroute, Retry)),
            ]
        )
        services[name] = replace(service, policies=replace(service.policies, recovery=recovery))
    return replace(scenario, services=services)


def several_services(lab: Any, seed: int) -> Scenario:
    """Two services that share GPUs or tiers or both, some tiers behind one link, and faults of all of them."""
    rng = random.Random(-1 - seed)
    scenario = lab.random_scenario(seed)
    chat = scenario.services["chat"]
    gpu = rng.choice(["gpu", "gpu2"])
    tiers = chat.kv_tiers if rng.random() < 0.7 else ()
    other = replace(lab.llm(gpus=gpu, replicas=rng.choice([1, 2]), kv_tiers=tiers), kv_write=chat.kv_write)
    rows = lab.random_rows(rng, 16, 600, 60)
    devices = {**scenario.devices, **({"gpu2": scenario.devices["gpu"]} if gpu == "gpu2" else {})}
    links = {"lan": LinkSpec("ethernet-25g")} if "remote" in devices else {}
    for name in ("disk", "remote") if links else ():
        devices[name] = replace(devices[name], link=rng.choice(["lan", "lan" if name == "remote" else None]))
    scenario = with_recovery(
        rng,
        replace(
            scenario,
            devices=devices,
            links=links,
            services={"chat": chat, "other": other},
            workloads={**scenario.workloads, "more": lab.trace(rows, "other", hash_block_tokens=16)},
        ),
    )
    return replace(scenario, faults=random_faults(rng, scenario))


def check_books(lab: Any, scenario: Scenario, result: Any, name: str = "chat") -> int:
    """Check a finished run of a service and return the number of retries."""
    runtime = lab.services[name]
    columns = lab.columns(result, name)
    status = columns["status"]
    assert len(status) == len(set(columns["request"])) == runtime.arrived
    if scenario.horizon is None:
        assert UNFINISHED not in status
        for replica in runtime.replicas:
            pool = replica.kv.pool
            assert pool.private_blocks == 0
            assert len(pool._idle) == len(pool._references)
            assert pool.shared_blocks + pool.free_blocks == pool.total_blocks
            batch = replica.batch
            assert not (replica.queue.waiting or batch.admitted or batch.prefilling or batch.yielding)
            assert replica.outstanding_tokens == 0
        assert not (runtime._open or runtime.rescues.stranded)
        for tier in runtime.tiers.tiers:
            loaded = columns[f"loaded_{tier.name}_tokens"].sum()
            if len(scenario.services) == 1:  # else others read it as well
                assert tier.read_bytes == pytest.approx(loaded * runtime.tiers.token_bytes, rel=1e-12)
    assert not runtime.rescues._retries
    done = status == COMPLETED
    had = columns["resident_tokens"] + columns["computed_tokens"]
    for tier in runtime.tiers.tiers:
        had = had + columns[f"loaded_{tier.name}_tokens"]
    assert (had >= columns["input_tokens"])[done].all()
    assert (columns["arrival_s"] <= columns["admitted_s"])[done].all()
    assert (columns["admitted_s"] < columns["first_token_s"])[done].all()
    assert (columns["first_token_s"] <= columns["finish_s"])[done].all()
    limit = getattr(scenario.services[name].policies.recovery, "retries", 0)
    assert (columns["retries"] <= limit).all()
    table = result.intervals[name]
    prefilled = int(table.column("prefill_tokens").sum())
    assert prefilled == columns["computed_tokens"].sum()  # every token that was computed is somebody's
    check_downtime(lab, result, name)
    return int(columns["retries"].sum())


def check_downtime(lab: Any, result: Any, service: str) -> None:
    """No replica takes a step while it is down, and downtime is the same in all books."""
    faults = result.faults
    steps = result.intervals[service]
    replicas = lab.services[service].replicas
    ours = faults.column("service") == service
    first = first_unit(lab, result, service)
    for replica in replicas:
        down = ours & (faults.column("unit") == first + replica.index)
        down &= faults.column("kind") == "failure"
        mine = steps.column("replica") == replica.index
        for start_s, end_s in zip(faults.column("start_s")[down], faults.column("end_s")[down], strict=True):
            inside = (steps.column("start_s") < end_s) & (steps.column("end_s") > start_s * (1 + 1e-12))
            assert not (inside & mine).any()
    down_s = sum(replica.uptime.down_s for replica in replicas)
    figures = result.summary()["services"][service]["faults"]
    assert figures["downtime_s"] == pytest.approx(down_s, rel=1e-9, abs=1e-9)


def first_unit(lab: Any, result: Any, service: str) -> int:
    """Number of a service's first replica among all of the GPUs that it is on."""
    before = 0
    for name, spec in result.scenario.llm_services.items():
        if name == service:
            break
        if spec.gpus == result.scenario.services[service].gpus:
            before += len(lab.services[name].replicas)
    return before


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("tight", [False, True])
def test_books_balance_whatever_fails(lab, monkeypatch, tight):
    submit = Replica.submit

    def checked(self: Replica, sequence: Any) -> None:
        assert self in lab.services["chat"].pool.up
        submit(self, sequence)

    monkeypatch.setattr(Replica, "submit", checked)
    retries = failed = 0
    for seed in range(200):
        scenario = random_scenario(lab, seed, tight)
        result = lab.run(scenario)
        retries += check_books(lab, scenario, result)
        failed += int((result.requests["chat"].column("status") == FAILED).sum())
    assert retries > 100  # or the test would not test what it says
    assert failed > 100


@pytest.mark.usefixtures("guarded")
def test_books_of_services_that_share_devices_balance(lab):
    struck: set[tuple[str, str]] = set()
    retries = dict.fromkeys(("chat", "other"), 0)
    for seed in range(150):
        scenario = several_services(lab, seed)
        result = lab.run(scenario)
        for name in scenario.services:
            retries[name] += check_books(lab, scenario, result, name)
        for device in (it.name for it in lab.services["chat"].tiers.tiers):
            loaded = sum(
                float(result.requests[name].column(f"loaded_{device}_tokens").sum())
                * runtime.tiers.token_bytes
                for name, runtime in lab.services.items()
                if device in scenario.services[name].kv_tiers
            )
            if scenario.horizon is None:
                assert result.devices[device].read_bytes == pytest.approx(loaded, rel=1e-12)
        faults = result.faults
        struck |= set(zip(faults.column("target_kind"), faults.column("kind"), strict=True))
        counted = result.summary()["faults"]
        for target_kind in ("gpu", "storage", "link"):
            mine = faults.column("target_kind") == target_kind
            assert sum(counted.get(target_kind, {}).get(it, 0) for it in EVENTS) == mine.sum()
    assert min(retries.values()) > 30
    assert len(struck) == 7  # all that can happen has


def differs(one: Any, other: Any) -> bool:
    if one.dtype == object or one.dtype.kind in "iu":
        return not (one == other).all()
    return not np.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_runs_of_steps_equal_single_steps(lab):
    wrong = {}
    for seed in range(200):
        scenario = random_scenario(lab, seed)
        fast, slow = lab.run(scenario), lab.run(scenario, step_by_step=True)
        columns = lab.columns(slow)
        found = [name for name, values in lab.columns(fast).items() if differs(values, columns[name])]
        for name in ("start_s", "end_s", "lost_tokens"):
            if differs(fast.faults.column(name), slow.faults.column(name)):
                found.append(f"faults.{name}")
        for name, totals in fast.devices.items():
            other = slow.devices[name]
            if totals.energy_j != pytest.approx(other.energy_j, rel=1e-9):
                found.append(f"{name}.energy_j")
        if found:
            wrong[seed] = found
    assert not wrong


def test_faults_are_the_same_whatever_the_policy(lab):
    """Random ones come when they come: as long as both runs last, they last alike."""
    rows = [(0.1 * i, 300, 60) for i in range(100)]
    faults = {"crash": FaultSpec("failure", "gpu", mtbf=4.0, mttr=1.0)}
    seen = []
    for recovery in (Fail(), Retry(), Reroute(keep_generated=False)):
        service = lab.llm(replicas=3, recovery=recovery)
        result = lab.run(lab.scenario(lab.trace(rows), service, faults=faults, horizon=9.0))
        assert result.faults is not None
        names = ("unit", "start_s", "end_s")
        seen.append([result.faults.column(name).tolist() for name in names])
        again = lab.run(lab.scenario(lab.trace(rows), service, faults=faults, horizon=9.0))
        assert again.summary() == result.summary()
    assert len(seen[0][0]) > 3
    assert seen[0] == seen[1] == seen[2]
    other = lab.run(
        lab.scenario(lab.trace(rows), lab.llm(replicas=3), faults=faults, horizon=9.0), replication=1
    )
    assert other.faults.column("start_s").tolist() != seen[0][1]
