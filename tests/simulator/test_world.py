"""Whole scenarios: every way for requests to arrive, odd sizes, the horizon, several services."""

from __future__ import annotations

import numpy as np
import pytest

from devices.catalogue import load_profile
from devices.errors import InputError, SimulatorError
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.scenario.spec import DeviceSpec, LinkSpec
from simulator.serving.build import step_cost
from simulator.serving.replica import Replica
from simulator.serving.work import chunk_pairs
from simulator.workloads.arrival_spec import Closed, Poisson
from simulator.workloads.length_spec import Uniform
from simulator.workloads.spec import Sessions, Stored


def test_all_at_once(lab):
    columns = lab.columns(lab.run(lab.scenario(lab.synthetic(requests=50))))
    assert (columns["status"] == 1).all()
    assert (columns["arrival_s"] == 0.0).all()


def test_one_token_in_and_out_at_time_zero_is_one_step(lab):
    scenario = lab.scenario(lab.trace([(0.0, 1, 1)]))
    cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
    columns = lab.columns(lab.run(scenario))
    assert columns["first_token_s"] == columns["finish_s"] == pytest.approx(cost.step_s(1, pairs=1.0))


def test_a_single_request_takes_its_prefill_and_then_its_decodes(lab):
    scenario = lab.scenario(lab.trace([(3.0, 1300, 50)]))
    cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
    (row,) = zip(*lab.columns(lab.run(scenario)).values(), strict=True)
    row = dict(zip(lab.columns(lab.run(scenario)), row, strict=True))
    assert row["admitted_s"] == row["arrival_s"] == 3.0
    assert row["first_token_s"] - 3.0 == pytest.approx(cost.prefill_s(0, 1300, 512))
    decode_s = sum(cost.step_s(1, 1, 1300 + token) for token in range(1, 50))
    assert row["finish_s"] - row["first_token_s"] == pytest.approx(decode_s)


def test_a_newcomer_joins_at_the_end_of_the_step_under_way(lab):
    scenario = lab.scenario(lab.trace([(0.0, 100, 400), (1.0, 100, 1)]))
    cost = step_cost(scenario.services["chat"], scenario.devices["gpu"])
    end_s = cost.step_s(100, pairs=chunk_pairs(0, 100))
    decoded = 0
    while end_s < 1.0:
        decoded += 1
        end_s += cost.step_s(1, 1, 100 + decoded)
    columns = lab.columns(lab.run(scenario))
    assert columns["admitted_s"][1] == pytest.approx(end_s)
    mixed_s = cost.step_s(101, 1, 100 + decoded + 1, chunk_pairs(0, 100))
    assert columns["first_token_s"][1] == pytest.approx(end_s + mixed_s)


@pytest.mark.parametrize("concurrency", [1, 4, 100])
def test_a_closed_loop_keeps_its_number_in_flight(lab, concurrency):
    workload = lab.synthetic(
        arrivals=Closed(concurrency), requests=60, input_tokens=Uniform(1, 800), output_tokens=Uniform(1, 40)
    )
    columns = lab.columns(lab.run(lab.scenario(workload, lab.llm(replicas=2, routing="least_loaded"))))
    assert (columns["status"] == 1).all()
    times = np.concatenate((columns["arrival_s"], columns["finish_s"]))
    change = np.repeat([1, -1], len(columns["arrival_s"]))
    order = np.lexsort((change, times))  # an end before the arrival that it lets in
    in_flight = np.cumsum(change[order])
    assert in_flight.max() == min(concurrency, 60)
    assert (columns["arrival_s"] == 0.0).sum() == min(concurrency, 60)
    # Whoever comes later comes at the very end of another.
    later = columns["arrival_s"][columns["arrival_s"] > 0.0]
    assert set(later.tolist()) <= set(columns["finish_s"].tolist())


def test_turns_of_a_session_wait_for_the_answer_and_for_the_user(lab):
    workload = lab.synthetic(
        rate=0.5,
        arrivals=Poisson(),
        requests=40,
        input_tokens=200,
        output_tokens=30,
        sessions=Sessions(turns=4, think_time=2.0),
    )
    columns = lab.columns(lab.run(lab.scenario(workload)))
    assert (columns["status"] == 1).all()
    pauses = []
    for first in range(0, 40, 4):
        for turn in range(first, first + 3):
            assert columns["input_tokens"][turn + 1] == columns["input_tokens"][turn] + 30 + 200
            pauses.append(columns["arrival_s"][turn + 1] - columns["finish_s"][turn])
            # All full blocks of prompt and answer so far are found, but for those that are not full.
            said = columns["input_tokens"][turn] + 30 - 1
            assert columns["resident_tokens"][turn + 1] == said // 16 * 16
    assert min(pauses) > 0.0
    assert np.mean(pauses) == pytest.approx(2.0, rel=0.6)


def test_a_failed_turn_does_not_hold_up_its_session(lab):
    """Prompts that grow beyond the KV cache fail, and whatever waits for them is released."""
    workload = lab.synthetic(
        arrivals=Poisson(),
        rate=1.0,
        requests=8,
        input_tokens=1000,
        output_tokens=10,
        sessions=Sessions(turns=8, think_time=0.1),
    )
    columns = lab.columns(lab.run(lab.scenario(workload, memory=19e9)))
    assert columns["status"].tolist() == sorted(columns["status"].tolist())
    assert set(columns["status"].tolist()) == {1, 2}
    closed = lab.synthetic(arrivals=Closed(2), requests=9, input_tokens=100_000)
    assert (lab.columns(lab.run(lab.scenario(closed, memory=19e9)))["status"] == 2).all()


def test_two_workloads_with_the_same_numbers_on_one_service(lab):
    """Equal requests of two workloads end at the same step."""
    result = lab.run(lab.scenario({"a": lab.synthetic(requests=3), "b": lab.synthetic(requests=3)}))
    table = result.requests["chat"]
    assert sorted(table.column("workload").tolist()) == ["a"] * 3 + ["b"] * 3
    assert (table.column("status") == 1).all()


@pytest.mark.parametrize("step_by_step", [False, True])
def test_the_horizon_cuts_but_loses_no_work_done(lab, step_by_step):
    """A long answer under way: the steps that have ended count, the request does not."""
    workload = lab.synthetic(requests=1, output_tokens=1000)
    whole = lab.run(lab.scenario(workload))
    result = lab.run(lab.scenario(workload, horizon=5.0), step_by_step=step_by_step)
    assert result.simulated_s == 5.0 < whole.simulated_s
    columns = lab.columns(result)
    assert columns["status"].tolist() == [0]
    assert columns["finish_s"].tolist() == [-1.0]
    assert columns["first_token_s"][0] > 0.0
    assert columns["computed_tokens"].tolist() == [100]
    busy_s = result.devices["gpu"].busy_s
    assert 4.9 < busy_s <= 5.0
    assert result.intervals["chat"].column("end_s").max() <= 5.0
    profile = load_profile("a100-80g-sxm")
    assert 5.0 * profile.idle_w < result.devices["gpu"].energy_j <= 5.0 * profile.tdp_w
    assert result.summary()["services"]["chat"]["requests"]["unfinished"] == 1


def test_the_horizon_in_a_long_prefill(lab):
    result = lab.run(lab.scenario(lab.synthetic(requests=1, input_tokens=30_000), horizon=1.0))
    columns = lab.columns(result)
    assert columns["first_token_s"].tolist() == [-1.0]
    assert columns["computed_tokens"][0] % 512 == 0
    assert 512 * 5 < columns["computed_tokens"][0] < 30_000


def test_a_horizon_after_the_end_adds_idle_time_only(lab):
    workload = lab.synthetic(requests=2)
    short, long = lab.run(lab.scenario(workload)), lab.run(lab.scenario(workload, horizon=100.0))
    assert long.simulated_s == 100.0
    assert long.devices["gpu"].busy_s == short.devices["gpu"].busy_s
    idle_j = load_profile("a100-80g-sxm").idle_w * (100.0 - short.simulated_s)
    assert long.devices["gpu"].energy_j == pytest.approx(short.devices["gpu"].energy_j + idle_j)


def test_arrivals_beyond_the_horizon_are_not_counted(lab):
    result = lab.run(lab.scenario(lab.trace([(0.0, 10, 1), (9.0, 10, 1), (11.0, 10, 1)]), horizon=10.0))
    assert len(result.requests["chat"]) == 2


@pytest.mark.interpreted
def test_requests_that_are_never_answered_are_an_error(lab, monkeypatch):
    """An engine that forgets a request must not look like one that has finished."""
    monkeypatch.setattr(Replica, "submit", lambda self, sequence: None)
    with pytest.raises(SimulatorError, match="3 requests that it never answered"):
        lab.run(lab.scenario(lab.synthetic(requests=3)))


def test_the_same_seed_gives_the_same_rows_and_another_replication_others(lab):
    workload = lab.synthetic(rate=5.0, requests=50, input_tokens=Uniform(10, 900))
    scenario = lab.scenario(workload)
    one, two, other = (lab.columns(lab.run(scenario, replication=replication)) for replication in (0, 0, 1))
    for name in one:
        assert (one[name] == two[name]).all()
    assert (one["arrival_s"] != other["arrival_s"]).any()


def test_recording_no_intervals_changes_nothing_else(lab):
    workload = lab.synthetic(rate=5.0, requests=50)
    kept, dropped = (lab.run(lab.scenario(workload, record_intervals=keep)) for keep in (True, False))
    assert kept.summary() == dropped.summary()
    assert not dropped.intervals


def test_gpus_that_no_replica_uses_draw_idle_power(lab):
    base = lab.scenario(lab.synthetic(requests=2), lab.llm(replicas=1))
    more = lab.scenario(
        lab.synthetic(requests=2), lab.llm(replicas=1), devices={"gpu": DeviceSpec("a100-80g-sxm", count=4)}
    )
    one, four = lab.run(base), lab.run(more)
    idle_j = 3 * load_profile("a100-80g-sxm").idle_w * one.simulated_s
    assert four.devices["gpu"].energy_j == pytest.approx(one.devices["gpu"].energy_j + idle_j)
    assert four.devices["gpu"].busy_s == pytest.approx(one.devices["gpu"].busy_s / 4)


def test_as_many_replicas_as_the_gpus_allow(lab):
    scenario = lab.scenario(
        lab.synthetic(requests=8),
        lab.llm(tensor_parallel=2),
        devices={"gpu": DeviceSpec("a100-80g-sxm", count=8)},
    )
    assert set(lab.columns(lab.run(scenario))["replica"].tolist()) == {0, 1, 2, 3}


def test_prefix_blocks_that_are_no_whole_kv_blocks_are_refused(lab):
    workload = lab.trace([(0.0, 100, 1, [1, 2, 3, 4, 5])], hash_block_tokens=24)
    with pytest.raises(InputError, match="no whole number of KV blocks"):
        lab.run(lab.scenario(workload))


def test_workloads_with_prefix_blocks_of_two_sizes_are_refused(lab):
    a = lab.trace([(0.0, 32, 1, [1, 2])], hash_block_tokens=16)
    b = lab.trace([(0.0, 32, 1, [1])], hash_block_tokens=32)
    with pytest.raises(InputError, match="different sizes"):
        lab.run(lab.scenario({"a": a, "b": b}))


def test_a_link_is_shared_by_the_devices_behind_it(lab):
    """Two services load from two disks over one link: each gets half of it."""
    link = {"net": LinkSpec("ethernet-100g", bandwidth=2e9, latency=0.0)}
    disks = {name: DeviceSpec("ideal-store", bandwidth=20e9, link="net") for name in ("d1", "d2")}

    def service(disk: str):
        return lab.llm("io_only", kv_tiers=(disk,), replicas=1)

    def workload(name: str, disk: str):
        return lab.synthetic(name, requests=1, input_tokens=8192, output_tokens=1, stored=Stored(disk))

    both = lab.scenario(
        {"w1": workload("a", "d1"), "w2": workload("b", "d2")},
        services={"a": service("d1"), "b": service("d2")},
        tiers=disks,
        links=link,
    )
    alone = lab.scenario(
        {"w1": workload("a", "d1")}, services={"a": service("d1")}, tiers={"d1": disks["d1"]}, links=link
    )
    shared_s, alone_s = (
        lab.columns(lab.run(scenario), "a")["first_token_s"][0] for scenario in (both, alone)
    )
    load_s = 8176 * 512 * 1024 / 2e9
    assert alone_s > load_s
    assert shared_s - alone_s == pytest.approx(load_s, rel=1e-3)


def test_bytes_of_storage_agree_with_the_requests(lab):
    workload = lab.synthetic(rate=2.0, requests=20, input_tokens=4096, output_tokens=5, stored=Stored("disk"))
    for policy in ("io_only", "cake", "static_split", "layerwise", "oracle", "cake_with_fallback"):
        scenario = lab.scenario(
            workload,
            lab.llm(policy, kv_tiers=("disk",), kv_bits=8, batching=ChunkedPrefill(token_budget=256)),
            tiers={"disk": DeviceSpec("nvme-gen4")},
        )
        result = lab.run(scenario)
        loaded = lab.columns(result)["loaded_disk_tokens"].sum()
        assert result.devices["disk"].read_bytes == loaded * 512 * 1024 / 2
        assert result.summary()["services"]["chat"]["cache"]["loaded_tokens"] == {"disk": loaded}
