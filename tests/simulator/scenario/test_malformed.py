"""Malformed scenarios: each is an `InputError` that points at the right place, and nothing else."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.errors import InputError
from simulator.scenario import load_text

BASE = (Path(__file__).parents[2] / "base.yaml").read_text(encoding="utf-8").partition("\n")[2]


def faults_of(text, overrides=()):
    with pytest.raises(InputError) as caught:
        load_text(text, overrides, name="f.yaml")
    return [str(fault) for fault in caught.value.faults]


def marked(old, new):
    """Put `new` in the place of `old`; the mark ^ in it, which is taken out, is where the fault stands."""
    assert BASE.count(old) == 1, old
    text = BASE.replace(old, new)
    before = text[: text.index("^")]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return text.replace("^", ""), f"f.yaml:{line}:{column}: "


CASES = [
    # Types, units and ranges.
    ("count: 2", "count: ^true", "devices.gpu.count: true is not a whole number"),
    ("count: 2", "count: ^0", "devices.gpu.count: 0 is out of range; allowed: a whole number, at least 1"),
    ("count: 2", "count: ^2.5", "devices.gpu.count: 2.5 is not a whole number"),
    ("count: 2", "count: ^1e10", "devices.gpu.count: 10000000000.0 is out of range"),
    ("horizon: 600 s", "horizon: ^-1 s", "horizon: '-1 s' is out of range; allowed: at least 0 s"),
    ("horizon: 600 s", "horizon: ^0", "horizon: is 0 s; allowed: above 0 s"),
    ("horizon: 600 s", "horizon: ^1e13", "horizon: 10000000000000.0 is out of range"),
    ("horizon: 600 s", "horizon: ^.nan", "horizon: nan is not a finite number"),
    ("horizon: 600 s", "horizon: ^600 sec", "horizon: unknown unit 'sec' in '600 sec'; allowed: s, ms"),
    ("32 Gbit/s", "^32 GB", "devices.disk.bandwidth: '32 GB' is an amount of data, not a bandwidth"),
    ("32 Gbit/s", "^[1]", "devices.disk.bandwidth: a list is not a quantity; expected a bandwidth"),
    ("rate: 4/s", "rate: ^0", "workloads.chat.rate: 0 is out of range; allowed: at least 1e-12 1/s"),
    ("rate: 4/s", "rate: ^4 GB", "workloads.chat.rate: '4 GB' is an amount of data, not a rate of events"),
    ("mean: 50", "mean: ^'50'", "workloads.chat.output_tokens.mean: '50' is not a number"),
    ("mean: 50", "mean: ^.inf", "workloads.chat.output_tokens.mean: inf is not allowed"),
    ("tensor_parallel: 2", "prefix_cache: ^on", "services.chat.prefix_cache: 'on' is not true or false"),
    ("tensor_parallel: 2", "memory_utilization: ^90", "allowed: 0 to 1 (or 0 % to 100 %)"),
    ("tensor_parallel: 2", "kv_bits: ^4", "services.chat.kv_bits: 4 is not allowed; allowed: 32, 16, 8, 3"),
    ("tensor_parallel: 2", "precision: ^fp17", "allowed: fp32, fp16, bf16, fp8, int8, int4; nearest: fp16"),
    ("[disk]", "[disk, ^5]", "services.chat.kv_tiers.1: 5 is not a text"),
    ("[disk]", "^disk", "services.chat.kv_tiers: 'disk' is not a list"),
    ("model: llama-2-13b", "model: ^13", "services.chat.model: 13 is not a text"),
    ("version: 1", "version: ^2", "version: 2 is not allowed; allowed: 1"),
    ("version: 1", "version: ^true", "version: true is not allowed; allowed: 1"),
    ("{profile: ethernet-100g}", "^ethernet-100g", "links.net: 'ethernet-100g' is not a mapping"),
    # Keys.
    ("count: 2", "^cuont: 2", "devices.gpu.cuont: unknown key 'cuont'; nearest: count"),
    ("horizon: 600 s", "^horizn: 600 s", "horizn: unknown key 'horizn'; nearest: horizon"),
    ("rate: 4/s", "rate: 4/s\n    ^path: x", "workloads.chat.path: unknown key 'path'"),
    ("  gpu: {profile: a100-80g-sxm, count: 2}", "  ^gpu: {count: 2}", "devices.gpu.profile: is missing"),
    ("    model: llama-2-13b\n", "", None),
    ("count: 2", "count: 2, ^count: 3", "devices.gpu.count: the key is there twice: first at 5:32"),
    ("count: 2", "count: 2, ^7: 3", "devices.gpu: a key must be a text, not 7"),
    # Choices.
    (
        "trace: synthetic",
        "trace: ^synthetik",
        "workloads.chat.trace: 'synthetik' is not allowed; allowed: azure",
    ),
    ("arrivals: poisson", "arrivals: ^poison", "workloads.chat.arrivals: 'poison' is not allowed"),
    ("arrivals: poisson", "^arrivals: {process: gamma}", "workloads.chat.arrivals.cv: is missing"),
    (
        "arrivals: poisson",
        "arrivals: {process: gamma, cv: ^fast}",
        "workloads.chat.arrivals.cv: 'fast' is not",
    ),
    (
        "arrivals: poisson",
        "^arrivals: {cv: 1}",
        "workloads.chat.arrivals.process: is missing; allowed: poisson",
    ),
    (
        "arrivals: poisson",
        "arrivals: ^7",
        "workloads.chat.arrivals: 7 is not a name or a mapping with 'process'",
    ),
    ("input_tokens: 100", "^input_tokens: {mean: 1}", "workloads.chat.input_tokens.distribution: is missing"),
    ("input_tokens: 100", "input_tokens: ^many", "workloads.chat.input_tokens: 'many' is not a whole number"),
    ("kv_loading: cake", "kv_loading: ^cak", "services.chat.policies.kv_loading: 'cak' is not allowed"),
    (
        "kv_loading: cake",
        "kv_loading: {name: cake, ^adaptve: true}",
        "unknown key 'adaptve'; nearest: adaptive",
    ),
    (
        "kv_loading: cake",
        "kv_loading: {name: cake, adaptive: ^1}",
        "kv_loading.adaptive: 1 is not true or false",
    ),
    ("32 Gbit/s", "{low: 1 GB/s, high: ^3 s, period: 1}", "devices.disk.bandwidth.high: '3 s' is a time"),
    (
        "bandwidth: 32 Gbit/s",
        "^bandwidth: {low: 1 GB/s, high: 3 GB/s}",
        "devices.disk.bandwidth.period: is missing",
    ),
    # Names that stand for nothing.
    ("a100-80g-sxm", "^a100-80g-smx", "unknown device profile 'a100-80g-smx'; nearest: a100-80g-sxm"),
    (
        "profile: nvme-gen4",
        "profile: ^ethernet-100g",
        "is a link profile; allowed: gpu or storage or phone profiles",
    ),
    ("model: llama-2-13b", "model: ^lama-2-13b", "services.chat.model: unknown model 'lama-2-13b'; nearest"),
    ("tensor_parallel: 2", "engine: ^vlm", "services.chat.engine: unknown engine 'vlm'"),
    ("gpus: gpu", "gpus: ^gpus", "services.chat.gpus: unknown device 'gpus'; nearest: gpu"),
    (
        "[disk]",
        "[disk, ^gpu]",
        "services.chat.kv_tiers.1: device 'gpu' is of kind gpu; allowed: devices of kind storage",
    ),
    ("[disk]", "[disk, ^disk]", "services.chat.kv_tiers.1: 'disk' is listed twice"),
    ("link: net", "link: ^ent", "devices.disk.link: unknown link 'ent'; nearest: net"),
    ("service: chat", "service: ^chta", "workloads.chat.service: unknown service 'chta'; nearest: chat"),
    (
        "rate: 4/s",
        "rate: 4/s\n    stored: {tier: ^dsk}",
        "'dsk' is not a KV tier of service 'chat'; nearest: disk",
    ),
    ("arrivals: poisson", "arrivals: {process: replay, path: ^no.csv}", "there is no file 'no.csv'"),
    # Values that do not go together.
    (
        "count: 2",
        "count: 2, ^bandwidth: 1 GB/s",
        "devices.gpu.bandwidth: does not apply to a GPU (a100-80g-sxm)",
    ),
    ("link: net", "link: net, ^memory: 1 GB", "devices.disk.memory: does not apply to a storage device"),
    ("links:\n", "  ^spare: {profile: hdd-7200}\nlinks:\n", "devices.spare: no service uses it"),
    (
        "services:\n",
        "  ^spare: {profile: ethernet-10g}\nservices:\n",
        "links.spare: no device or place uses it",
    ),
    ("tensor_parallel: 2", "tensor_parallel: 2\n    replicas: ^2", "2 replicas of 2 GPUs need 4; gpu has 2"),
    ("tensor_parallel: 2", "tensor_parallel: ^4", "4 GPUs per replica need 4; gpu has 2"),
    ("tensor_parallel: 2", "tensor_parallel: ^3", "3 does not divide the 40 attention heads of llama-2-13b"),
    ("32 Gbit/s", "^{times: [0, 1], values: [1e9], path: x}", "has a path and also times or values"),
    ("32 Gbit/s", "{times: [0, 1, ^1], values: [1e9, 2e9]}", "1 s does not come after 1 s"),
    ("32 Gbit/s", "{times: [0, 1], values: ^[1e9, 2e9]}", "has 2 entries for 2 times; allowed: one fewer"),
    ("32 Gbit/s", "{low: ^3 GB/s, high: 1 GB/s, period: 1 s}", "is above high"),
    (
        "cv: 1}\n    arrivals: poisson",
        "cv: 1}\n    arrivals: {process: gamma, cv: ^0}",
        "allowed: finite numbers from 0.001 to 1000",
    ),
    ("    rate: 4/s\n", "", None),
    ("name: base", "name: ^../base", "cannot name a folder"),
    ("  gpu: {profile", "  ^gpu.0: {profile", "'gpu.0' cannot be a name; allowed: letters, digits"),
    # Not YAML.
    ("count: 2}", "count: 2", None),
    ("horizon: 600 s", "horizon: ^&h 600 s", "anchors are not allowed (&h)"),
    ("horizon: 600 s", "horizon: ^!!str 600", "tags are not allowed"),
    ("horizon: 600 s", "horizon: 600^: s", "not YAML"),
]


@pytest.mark.parametrize(("old", "new", "said"), [case for case in CASES if case[2]])
def test_points_at_the_place(old, new, said):
    text, place = marked(old, new)
    faults = faults_of(text)
    assert any(fault.startswith(place) and said in fault for fault in faults), "\n".join(faults)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    model: llama-2-13b\n", "", "f.yaml:10:3: services.chat.model: is missing"),
        (
            "    rate: 4/s\n",
            "",
            "f.yaml:18:3: workloads.chat.rate: is not set; poisson arrivals need a mean rate",
        ),
        ("count: 2}", "count: 2", "f.yaml:6:7: not YAML: "),
        (BASE, "", "f.yaml:1:1: an empty value is not a mapping"),
        (BASE, "[1, 2]", "f.yaml:1:1: a list is not a mapping"),
        (BASE, "hello", "f.yaml:1:1: 'hello' is not a mapping"),
        (BASE, "version: 1", "f.yaml:1:1: services: is missing"),
    ],
)
def test_what_is_missing_is_placed_at_what_is_around_it(old, new, expected):
    assert any(fault.startswith(expected) for fault in faults_of(BASE.replace(old, new)))


def test_the_base_is_sound():
    assert load_text(BASE).name == "base"


def test_a_single_mistake_is_a_single_fault():
    for old, new, said in CASES:
        if said and "gpu" not in new and "spare" not in new and new.count("^") == 1:
            text, _ = marked(old, new)
            assert len([fault for fault in faults_of(text) if said in fault]) == 1, new


def test_every_fault_of_a_file_is_reported_at_once():
    text = BASE
    for old, new in [
        ("count: 2", "count: two"),
        ("32 Gbit/s", "32 GB"),
        ("llama-2-13b", "lama-2-13b"),
        ("tensor_parallel: 2", "tensor_paralel: 2"),
        ("kv_loading: cake", "kv_loading: cak"),
        ("service: chat", "service: chta"),
        ("mean: 50", "mean: -5"),
        ("horizon: 600 s", "horizon: 10 parsec"),
        ("links:\n", "  spare: {profile: hdd-7200}\nlinks:\n"),
    ]:
        text = text.replace(old, new)
    faults = faults_of(text)
    paths = [fault.split(": ")[1] for fault in faults]
    assert paths == [
        "horizon",
        "devices.gpu.count",
        "devices.disk.bandwidth",
        "devices.spare",
        "services.chat.model",
        "services.chat.tensor_paralel",
        "services.chat.policies.kv_loading",
        "workloads.chat.service",
        "workloads.chat.output_tokens",
    ]


def test_a_model_too_large_for_its_gpus_says_by_how_much():
    faults = faults_of(BASE, ["services.chat.model=llama-2-70b", "services.chat.tensor_parallel=1"])
    (fault,) = [fault for fault in faults if "does not fit" in fault]
    assert fault.startswith("--set: services.chat.model: 'llama-2-70b' does not fit: needs ")
    assert "GiB per GPU" in fault
    assert "GiB short" in fault


def test_a_gpu_without_arithmetic_for_a_precision_is_named():
    (fault,) = faults_of(BASE, ["services.chat.precision=fp32"])
    assert "services.chat.precision: a100-80g-sxm does not compute in fp32; allowed: bf16, fp" in fault


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mutilated_file_is_read_or_is_an_input_error(data):
    start = data.draw(st.integers(0, len(BASE)))
    end = data.draw(st.integers(start, min(len(BASE), start + 40)))
    junk = data.draw(
        st.sampled_from(["", "x", "[", "{a: 1}", "5", "null", "- 1", ": ", "\n", "true", "1e400", "*"])
    )
    try:
        load_text(BASE[:start] + junk + BASE[end:])
    except InputError as error:
        assert error.faults
        assert all(fault.line >= 1 for fault in error.faults)


PATHS = """
version name horizon seed devices links services workloads devices.gpu devices.gpu.profile
devices.disk.bandwidth devices.disk.link services.chat services.chat.kv_tiers services.chat.kv_tiers.0
services.chat.model services.chat.policies services.chat.policies.kv_loading services.chat.engine
services.chat.gpus workloads.chat workloads.chat.trace workloads.chat.arrivals workloads.chat.stored
workloads.chat.path workloads.chat.sessions workloads.chat.input_tokens workloads.chat.service
"""
VALUES = """
5|-1|x|[]|{}|[1, [2]]|{a: {b: 1}}|true|.nan|1e400|'\\0'|{name: {a: 1}}|{name: [1]}|{trace: [1]}|{process: {}}
|{times: [a], values: 5}|{path: 5}|{tier: [x]}|{profile: [1]}|{low: 1}|{distribution: quantiles}|{gpus: [1]}
"""


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(PATHS.split()),
    value=st.sampled_from(
        [*VALUES.replace("\n", "").split("|"), "", "9" * 400, "{path: " + "x" * 5000 + "}"]
    ),
)
def test_any_value_in_any_place_is_read_or_is_an_input_error(path, value):
    try:
        load_text(BASE, [f"{path}={value}"])
    except InputError as error:
        assert error.faults
