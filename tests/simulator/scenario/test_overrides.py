"""``--set PATH=VALUE``."""

import pytest

from devices.errors import InputError
from simulator.policies.kv_loading.cake import Cake
from simulator.policies.kv_loading.io_only import IoOnly
from simulator.scenario import load_text
from simulator.scenario.spec import BandwidthUniform
from simulator.workloads.arrival_spec import Gamma
from simulator.workloads.length_spec import LogNormal

BASE = """\
version: 1
name: base
devices:
  gpu: {profile: a100-80g-sxm, count: 4}
  disk: {profile: nvme-gen4, bandwidth: 32 Gbit/s}
services:
  chat: {kind: llm, model: llama-2-13b, gpus: gpu, kv_tiers: [disk]}
workloads:
  chat: {trace: synthetic, service: chat, requests: 10, rate: 4/s, input_tokens: 100, output_tokens: 5}
"""


def faults_of(*overrides):
    with pytest.raises(InputError) as caught:
        load_text(BASE, overrides, name="f.yaml")
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("overrides", "look", "expected"),
    [
        (["name=x=y"], None, None),
        (["services.chat.replicas=2"], lambda s: s.services["chat"].replicas, 2),
        (["devices.disk.bandwidth=7 Gbit/s"], lambda s: s.devices["disk"].bandwidth, 7e9 / 8),
        (
            ["services.chat.policies.kv_loading=io_only"],
            lambda s: s.services["chat"].policies.kv_loading,
            IoOnly(),
        ),
        (
            ["services.chat.policies.kv_loading={name: cake, adaptive: false}"],
            lambda s: s.services["chat"].policies.kv_loading,
            Cake(adaptive=False),
        ),
        (
            ["services.chat.policies.kv_loading=cake", "services.chat.policies.kv_loading.adaptive=false"],
            lambda s: s.services["chat"].policies.kv_loading,
            Cake(adaptive=False),
        ),
        (
            ["services.chat.policies.batching.token_budget=512"],
            lambda s: s.services["chat"].policies.batching.token_budget,
            512,
        ),
        (
            [
                "devices.disk.bandwidth={low: 1 GB/s, high: 2 GB/s, period: 1 s}",
                "devices.disk.bandwidth.high=3 GB/s",
            ],
            lambda s: s.devices["disk"].bandwidth,
            BandwidthUniform(1e9, 3e9, 1.0),
        ),
        (
            ["workloads.chat.arrivals={process: gamma, cv: 2}", "workloads.chat.arrivals.cv=3"],
            lambda s: s.workloads["chat"].arrivals,
            Gamma(cv=3.0),
        ),
        (
            ["workloads.chat.input_tokens={distribution: lognormal, mean: 9, cv: 1}"],
            lambda s: s.workloads["chat"].input_tokens,
            LogNormal(mean=9.0, cv=1.0),
        ),
        (["services.chat.kv_tiers.0=disk"], lambda s: s.services["chat"].kv_tiers, ("disk",)),
        (["horizon=10 min"], lambda s: s.horizon, 600.0),
        (["horizon=10 min", "horizon="], lambda s: s.horizon, None),
        (["description=a = b, c"], lambda s: s.description, "a = b, c"),
        (["seed=1", "seed=2"], lambda s: s.seed, 2),
    ],
)
def test_sets_a_value(overrides, look, expected):
    if look is None:
        assert "cannot name a folder" in faults_of(*overrides)[0]
    else:
        assert look(load_text(BASE, overrides)) == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("services.chat.replica=2", "nearest: services.chat.replicas"),
        ("services.chta.replicas=2", "nearest: services.chat.replicas"),
        ("devices.dsk.bandwidth=1", "nearest: devices.disk.bandwidth"),
        ("horizn=1", "nearest: horizon"),
        ("services.chat.policies.kv_loadin=cake", "nearest: services.chat.policies.kv_loading"),
        ("services.chat.policies.kv_loading.x=1", "allowed below services.chat.policies.kv_loading: name"),
        ("links.net=1", "there is nothing below links"),
        ("devices.spare={profile: hdd-7200}", "unknown path 'devices.spare'"),
        ("name.x=1", "nothing can stand below name"),
        ("services.chat.kv_tiers.1=disk", "services.chat.kv_tiers has 1 entries, numbered from 0"),
        ("services.chat.kv_tiers.²=disk", "services.chat.kv_tiers has 1 entries, numbered from 0"),
        ("services..model=x", "unknown path 'services..model'"),
        ("workloads.chat.arrivals.cv=1", "allowed below workloads.chat.arrivals: process"),
        ("horizon", "is not of the form PATH=VALUE"),
        ("=1", "is not of the form PATH=VALUE"),
        ("seed=[1", "seed: not YAML"),
        ("seed=&a 1", "seed: anchors are not allowed"),
    ],
)
def test_an_unknown_path_or_bad_value_is_a_fault(override, expected):
    (fault,) = faults_of(override)
    assert fault.startswith("--set: ")
    assert expected in fault


def test_faults_of_set_values_name_their_origin_and_join_those_of_the_file():
    faults = faults_of(
        "devices.disk.bandwidth=32 GB", "services.chat.modle=x", "workloads.chat.sessions.turns=4"
    )
    assert [fault.split(": ")[:2] for fault in faults] == [
        ["--set", "services.chat.modle"],
        ["--set", "devices.disk.bandwidth"],
        ["--set", "workloads.chat.sessions.think_time"],
    ]


def test_the_file_itself_is_not_changed_by_a_bad_list_index():
    assert load_text(BASE) == load_text(BASE, [])


def test_a_root_that_is_no_mapping():
    with pytest.raises(InputError) as caught:
        load_text("[1]", ["name=x"], seed=3)
    assert len(caught.value.faults) == 2
