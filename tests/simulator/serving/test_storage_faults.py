"""Storage that fails, links that drop and come back: what loads lose by it, and that they never wait for nothing."""

from __future__ import annotations

import numpy as np
import pytest

from devices.catalogue import load_profile
from devices.profiles import StorageProfile
from simulator.core import Channel, ConstantBandwidth, Environment
from simulator.policies.registry import policies
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.spec import DeviceSpec, LinkSpec
from simulator.serving.kv_tiers import KvTiers, Load
from simulator.serving.sequence import COMPLETED
from simulator.serving.storage import StorageDevice
from simulator.workloads.spec import Stored

BLOCK = 16
TOKENS = 4096


def stored_prompt(lab, kv_loading, faults=None, requests=1, disk=None, tiers=("disk",), **fields):
    """Prompts of 4096 tokens, each twice, whose KV lies on a disk; the second one comes when the first is done."""
    rows = [(20.0 * i, TOKENS, 5, list(range(TOKENS // BLOCK))) for i in range(requests)]
    devices = {
        "disk": disk or DeviceSpec("nvme-gen4", bandwidth=2e9, latency=0.0),
        "remote": DeviceSpec("remote-rdma-100g", bandwidth=4e9),
    }
    service = lab.llm(kv_loading, kv_tiers=tiers, prefix_cache=False, **fields)
    workload = lab.trace(rows, hash_block_tokens=BLOCK, stored=Stored("disk", share=1.0))
    links = {"lan": LinkSpec("ethernet-25g")} if disk is not None and disk.link else {}
    used = {name: it for name, it in devices.items() if name in tiers}
    return lab.scenario(workload, service, tiers=used, links=links, faults=faults or {})


def ttft_s(lab, scenario):
    columns = lab.columns(lab.run(scenario))
    return float(columns["first_token_s"][0] - columns["arrival_s"][0])


def test_an_outage_delays_a_load_by_just_as_long(lab):
    calm_s = ttft_s(lab, stored_prompt(lab, "io_only"))
    for at_s, lasts_s in ((0.3, 2.5), (0.5, 0.125)):
        outage = {"hang": FaultSpec("outage", "disk", at=at_s, duration=lasts_s)}
        assert ttft_s(lab, stored_prompt(lab, "io_only", outage)) == pytest.approx(
            calm_s + lasts_s, rel=1e-12
        )
    late = {"hang": FaultSpec("outage", "disk", at=calm_s + 1.0, duration=5.0)}
    assert ttft_s(lab, stored_prompt(lab, "io_only", late)) == pytest.approx(calm_s, rel=1e-12)


def test_a_slow_disk_takes_as_much_longer(lab):
    result = lab.run(stored_prompt(lab, "io_only"))
    calm = result.pointers["chat"]
    loads = calm.column("tier") == "disk"
    calm_s = float((calm.column("end_s") - calm.column("start_s"))[loads][0])
    slow = lab.run(
        stored_prompt(lab, "io_only", {"worn": FaultSpec("slowdown", "disk", at=0.0, factor=0.25)})
    ).pointers["chat"]
    loads = slow.column("tier") == "disk"
    slow_s = float((slow.column("end_s") - slow.column("start_s"))[loads][0])
    assert slow_s == pytest.approx(4 * calm_s, rel=1e-12)


def test_a_link_that_drops_stops_what_is_behind_it(lab):
    disk = DeviceSpec("nvme-gen4", link="lan", latency=0.0)
    calm_s = ttft_s(lab, stored_prompt(lab, "io_only", disk=disk))
    outage = {"drop": FaultSpec("outage", link="lan", at=0.2, duration=3.0)}
    assert ttft_s(lab, stored_prompt(lab, "io_only", outage, disk=disk)) == pytest.approx(calm_s + 3.0)


def test_what_has_arrived_counts_when_a_disk_fails(lab):
    calm_s = ttft_s(lab, stored_prompt(lab, "io_only"))
    crash = {"crash": FaultSpec("failure", "disk", at=0.6 * calm_s)}
    columns = lab.columns(lab.run(stored_prompt(lab, "io_only", crash)))
    loaded, computed = columns["loaded_disk_tokens"][0], columns["computed_tokens"][0]
    assert 0 < loaded < TOKENS
    assert loaded % 128 == 0  # whole operations
    assert loaded + computed == TOKENS


@pytest.mark.parametrize("kv_loading", sorted(policies("kv_loading")))
def test_whenever_a_disk_fails_the_answer_comes(lab, kv_loading):
    """Before, within and after the load, also in the steps of a layer-wise one; both ways to run agree."""
    rng = np.random.default_rng(1)
    calm_s = ttft_s(lab, stored_prompt(lab, kv_loading))
    for at_s in rng.uniform(0.0, 1.2 * calm_s, size=40):
        crash = {"crash": FaultSpec("failure", "disk", at=float(at_s), duration=1.0)}
        scenario = stored_prompt(lab, kv_loading, crash, requests=2, dequantisation_s_per_token=1e-6)
        result = lab.run(scenario)
        columns = lab.columns(result)
        assert (columns["status"] == COMPLETED).all()
        had = columns["loaded_disk_tokens"] + columns["computed_tokens"]
        assert (had >= TOKENS).all()
        assert columns["found_disk_tokens"][1] == 0  # it came back empty
        slow = lab.columns(lab.run(scenario, step_by_step=True))
        for name in ("first_token_s", "finish_s", "computed_tokens", "loaded_disk_tokens"):
            assert columns[name] == pytest.approx(slow[name], rel=1e-9)


def test_a_disk_comes_back_empty_and_is_filled_again(lab):
    crash = {"crash": FaultSpec("failure", "disk", at=10.0, duration=5.0)}
    scenario = stored_prompt(lab, "io_only", crash, requests=3, kv_write="write_through")
    found = lab.columns(lab.run(scenario))["found_disk_tokens"].tolist()
    assert found == [TOKENS - BLOCK, 0, TOKENS - BLOCK]


def test_writes_go_past_a_tier_that_is_down(lab):
    crash = {"crash": FaultSpec("failure", "disk", at=10.0)}
    scenario = stored_prompt(lab, "io_only", crash, 3, kv_write="write_through", tiers=("disk", "remote"))
    columns = lab.columns(lab.run(scenario))
    assert columns["found_disk_tokens"].tolist() == [TOKENS - BLOCK, 0, 0]
    assert columns["found_remote_tokens"].tolist() == [0, 0, TOKENS - BLOCK]


def test_what_is_being_written_to_a_disk_that_fails_is_lost(lab):
    """The write of the first prompt's KV takes some twenty seconds."""
    ids = list(range(TOKENS // BLOCK))
    workload = lab.trace([(0.0, TOKENS, 5, ids), (90.0, TOKENS, 5, ids)], hash_block_tokens=BLOCK)
    service = lab.llm("io_only", kv_tiers=("disk",), prefix_cache=False, kv_write="write_through")
    disk = DeviceSpec("nvme-gen4", write_bandwidth=1e8)
    found = []
    for at_s in (5.0, 100.0):
        crash = {"crash": FaultSpec("failure", "disk", at=at_s, duration=0.0)}
        scenario = lab.scenario(workload, service, tiers={"disk": disk}, faults=crash)
        found.append(int(lab.columns(lab.run(scenario))["found_disk_tokens"][1]))
    assert found == [0, TOKENS - BLOCK]


def test_a_load_does_without_what_lies_beyond_a_failed_tier():
    """KV comes from the end: first 300 tokens of one tier, then 500 of another, then 200 of the first."""
    env = Environment()
    devices = [_device(env, name) for name in ("fast", "slow")]
    tiers = KvTiers(devices, 0, 100, 1.0, 100.0)
    for failed, at_s, tokens in ((1, 1.0, 300), (0, 4.0, 800), (1, 4.0, 400), (0, 1.0, 100)):
        ended: list[float] = []
        begin_s = env.now
        load = Load(tiers, [(0, 2), (1, 5), (0, 3)], 1000, 100, 0, lambda it=ended: it.append(env.now))
        env.run(until=begin_s + at_s + 0.05)
        assert load.reads(failed)
        load.lose(failed)
        assert (load.lost, load.tokens) == (True, tokens)
        env.run()
        assert load.loaded_tokens() == tokens
        if ended:
            assert ended == [begin_s + tokens / 100]
        load.cancel()
        assert sum(load.tokens_by_tier) == tokens


def _device(env, name):
    path = (Channel(env, ConstantBandwidth(100.0), name=name),)
    profile = load_profile("nvme-gen4")
    assert isinstance(profile, StorageProfile)
    return StorageDevice(env, name, profile, 1, 1e9, [path], [path])
