"""Scenario files: values, defaults, paths, and the way back to text."""

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.document import dump_yaml
from devices.errors import InputError
from simulator.commands.scenarios import SHIPPED, scenario_names
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.kv_loading.cake import Cake
from simulator.policies.registry import _registry, register
from simulator.scenario import Scenario, load_text, resolver, to_data
from simulator.scenario.load import load
from simulator.workloads.arrival_spec import OnOff
from simulator.workloads.length_spec import Evenly
from simulator.workloads.spec import Synthetic

SCENARIOS = [SHIPPED / f"{name}.yaml" for name in scenario_names(SHIPPED)]

SMALL = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu}
workloads:
  chat: {trace: synthetic, service: chat, requests: 10, rate: 4/s, input_tokens: 100, output_tokens: 5}
"""

FULL = """\
version: 1
name: full
horizon: 1 h
seed: 7
devices:
  gpu: {profile: h100-80g-sxm, count: 8, memory: 70 GiB}
  dram: {profile: dram-pcie5, capacity: 256 GiB}
  far:
    profile: remote-tcp-25g
    link: net
    latency: 1 ms
    bandwidth: {times: [0, 1 s, 3 s], values: [1 GB/s, 8e9]}
links:
  net: {profile: ethernet-25g, bandwidth: {low: 1 Gbit/s, high: 25 Gbit/s, period: 5 s}}
services:
  chat:
    kind: llm
    model: llama-3.1-70b
    gpus: gpu
    tensor_parallel: 4
    replicas: 2
    kv_tiers: [dram, far]
    kv_bits: 8
    policies:
      batching: {name: chunked_prefill, token_budget: 2048}
      kv_loading: {name: cake, adaptive: false}
      routing: least_loaded
workloads:
  talk:
    trace: synthetic
    service: chat
    duration: 10 min
    rate: 30/min
    input_tokens: {distribution: evenly, low: 10, high: 1e3}
    output_tokens: {distribution: quantiles, probabilities: [0, 50 %, 1], tokens: [1, 50, 900]}
    arrivals: {process: on_off, on: 10 s, off: 30 s}
    sessions: {turns: 4, think_time: 20 s}
    stored: {tier: far, share: 50 %}
  replay: {trace: mooncake, service: chat, rate_scale: 2, start: 100 s}
"""


def dumped_text(scenario: Scenario) -> str:
    return dump_yaml(to_data(scenario))


def test_values_arrive_in_si_units_and_defaults_fill_in():
    scenario = load_text(FULL)
    assert scenario.horizon == 3600.0
    assert scenario.devices["gpu"].memory == 70 * 2**30
    assert scenario.devices["far"].bandwidth.values == (1e9, 8e9)
    assert scenario.links["net"].bandwidth.low == 1.25e8
    service = scenario.services["chat"]
    assert service.policies.batching == ChunkedPrefill(token_budget=2048)
    assert service.policies.kv_loading == Cake(adaptive=False)
    assert service.kv_tiers == ("dram", "far")
    assert service.prefix_cache is True
    workload = scenario.workloads["talk"]
    assert isinstance(workload, Synthetic)
    assert workload.rate == 0.5
    assert workload.input_tokens == Evenly(10, 1000)
    assert isinstance(workload.input_tokens.high, int)
    assert workload.arrivals == OnOff(10.0, 30.0)
    assert workload.stored.share == 0.5


@pytest.mark.parametrize("text", [SMALL, FULL])
def test_what_is_dumped_loads_equal(text):
    scenario = load_text(text)
    dumped = dumped_text(scenario)
    assert load_text(dumped) == scenario
    assert dumped_text(load_text(dumped)) == dumped, "a second round changes nothing, not even 1 into 1.0"
    assert to_data(scenario)["services"]["chat"]["policies"]["decoding"] == {"name": "autoregressive"}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_scenarios_load_and_come_back(path):
    scenario = load(path)
    assert load_text(dumped_text(scenario), folder=path.parent) == scenario


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(1e-6, 1e2),
    tokens=st.integers(1, 10**4),
    bandwidth=st.floats(1.0, 1e17),
    seed=st.integers(0, 10**9),
    description=st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
def test_any_values_survive_the_round_trip(rate, tokens, bandwidth, seed, description):
    scenario = load_text(FULL, seed=seed)
    workload = dataclasses.replace(scenario.workloads["talk"], rate=rate, output_tokens=tokens)
    far = dataclasses.replace(scenario.devices["far"], bandwidth=bandwidth)
    changed = dataclasses.replace(
        scenario,
        description=description,
        workloads={**scenario.workloads, "talk": workload},
        devices={**scenario.devices, "far": far},
    )
    assert load_text(dumped_text(changed)) == changed


def test_seed_argument_wins_and_is_checked():
    assert load_text(SMALL, seed=3).seed == 3
    with pytest.raises(InputError, match="--seed: seed: -1 is out of range"):
        load_text(SMALL, seed=-1)


def test_paths_start_beside_the_scenario_then_in_the_working_directory(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    folder.mkdir()
    file = folder / "a.yaml"
    file.write_text(SMALL.replace("trace: synthetic, ", "trace: csv, path: t.csv, ").replace(
        ", rate: 4/s, input_tokens: 100, output_tokens: 5", ""))  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"a.yaml:8:28: workloads.chat.path: there is no file 't.csv'"):
        load(file)
    (tmp_path / "t.csv").touch()
    assert load(file).workloads["chat"].path == "t.csv", "as written: it holds on any machine"
    assert resolver(file)("t.csv") == Path("t.csv")
    (folder / "t.csv").touch()
    assert pickle.loads(pickle.dumps(resolver(file)))("t.csv") == folder / "t.csv"


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "trace.csv").touch()
    text = SMALL.replace("rate: 4/s", "arrivals: {process: replay, path: trce.csv}")
    with pytest.raises(InputError, match=r"there is no file 'trce.csv'.*nearest: trace.csv"):
        load_text(text, folder=tmp_path)


def test_missing_scenario_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load(tmp_path / "none.yaml")


def test_services_that_share_gpus_must_say_how_many_they_take():
    two = SMALL.replace("a100-80g-sxm}", "a100-80g-sxm, count: 2}").replace(
        "gpus: gpu}\n", "gpus: gpu}\n  other: {kind: llm, model: llama-2-7b, gpus: gpu}\n"
    )
    with pytest.raises(InputError, match=r"services\.chat: shares gpu with another service") as caught:
        load_text(two)
    assert len(caught.value.faults) == 2
    one_each = ["services.chat.replicas=1", "services.other.replicas=1"]
    assert load_text(two, one_each)
    with pytest.raises(
        InputError, match=r"devices.gpu.count: is 2; its services need more \(chat 2, other 1\)"
    ):
        load_text(two, [*one_each, "services.chat.replicas=2"])


def test_a_policy_registered_after_the_first_file_is_known():
    load_text(SMALL)

    @dataclasses.dataclass(frozen=True, slots=True)
    class Late:
        wait_s: float = 0.0

        def __post_init__(self):
            if self.wait_s < 0:
                raise ValueError("wait_s must not be negative")

    try:
        register("kv_loading", "late")(Late)
        scenario = load_text(SMALL, ["services.chat.policies.kv_loading={name: late, wait_s: 2}"])
        assert scenario.services["chat"].policies.kv_loading == Late(2.0)
        with pytest.raises(InputError, match="kv_loading: wait_s must not be negative"):
            load_text(SMALL, ["services.chat.policies.kv_loading={name: late, wait_s: -2}"])
    finally:
        del _registry["kv_loading"]["late"]


def test_importing_the_scenario_package_brings_no_pydantic():
    heavy = "import sys, simulator.scenario; print({'pydantic_core', 'pandas', 'scipy'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "set()"
