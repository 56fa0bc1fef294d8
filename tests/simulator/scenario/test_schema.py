"""The JSON Schema says what the loader accepts."""

import json

import pytest
from jsonschema import Draft202012Validator

from devices.document import read_document
from devices.errors import InputError
from simulator.commands.scenarios import SHIPPED, scenario_names
from simulator.experiments.sweep_file import load_sweep
from simulator.experiments.sweep_schema import sweep_schema
from simulator.policies.registry import policies
from simulator.scenario.schema import field_docs, json_schema
from simulator.workloads.spec import Synthetic

SCENARIOS = [SHIPPED / f"{name}.yaml" for name in scenario_names(SHIPPED)]
SCHEMA = json_schema()
SWEEP = sweep_schema()
SWEEP_FILES = sorted((SHIPPED / "sweeps").glob("*.yaml"))


def fits(schema, value):
    return Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("schema", [SCHEMA, SWEEP], ids=["scenario", "sweep"])
def test_the_schema_is_one(schema):
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_scenarios_fit(path):
    assert fits(SCHEMA, read_document(path).data)


@pytest.mark.parametrize("path", SWEEP_FILES, ids=lambda path: path.stem)
def test_shipped_sweeps_fit(path):
    assert fits(SWEEP, read_document(path).data)


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"design": "sobol", "samples": 4, "axes": {"a.b": {"low": 1, "high": "2", "scale": "log"}}}, True),
        ({"axes": {}}, False),
        ({"axes": {"a.b": []}}, False),
        ({"axes": {"a.b": 3}}, False),
        ({"axes": {"a.b": {"low": 1}}}, False),
        ({"axes": {"a.b": {"low": 1, "high": 2, "step": 1}}}, False),
        ({"design": "gird"}, False),
        ({"replications": 0}, False),
        ({"sampels": 3}, False),
        ({"base": None}, False),
    ],
)
def test_the_schema_of_sweeps_agrees_with_their_loader(tmp_path, change, right):
    data = {"version": 1, "name": "x", "base": "base.yaml", "axes": {"a.b": [1, 2]}} | change
    assert fits(SWEEP, data) is right
    (tmp_path / "base.yaml").write_text("version: 1")
    (tmp_path / "sweep.yaml").write_text(json.dumps(data))
    if right:
        assert load_sweep(tmp_path / "sweep.yaml").points
    else:
        with pytest.raises(InputError):
            load_sweep(tmp_path / "sweep.yaml")


DATA = """\
version: 1
name: x
devices: {gpu: {profile: a100-80g-sxm}, disk: {profile: nvme-gen4, bandwidth: 32 Gbit/s}}
services:
  chat: {kind: llm, model: m, gpus: gpu, policies: {kv_loading: cake, batching: {name: chunked_prefill}}}
workloads:
  a: {trace: synthetic, service: chat, input_tokens: 5, output_tokens: 5, arrivals: poisson, rate: 4/s}
  b: {trace: mooncake, service: chat, stored: {tier: disk, share: 50 %}}
"""


@pytest.mark.parametrize(
    ("old", "new", "right"),
    [
        ("x", "x", True),
        ("32 Gbit/s", "4e9", True),
        ("32 Gbit/s", "{low: 1e9, high: 2 GB/s, period: 5 s}", True),
        ("cake,", "{name: cake, adaptive: true},", True),
        ("poisson", "{process: gamma, cv: 2}", True),
        ("input_tokens: 5", "input_tokens: {distribution: uniform, low: 1, high: 5}", True),
        ("32 Gbit/s", "32 Gbit", False),
        ("32 Gbit/s", "-1", False),
        ("32 Gbit/s", "{low: 1e9}", False),
        ("cake,", "cak,", False),
        ("cake,", "{name: cake, x: 1},", False),
        ("poisson", "gamma", False),
        ("poisson", "{process: gamma}", False),
        ("poisson", "{}", False),
        ("mooncake", "mooncak", False),
        ("50 %", "5", False),
        ("name: x", "nam: x", False),
        ("version: 1", "version: 2", False),
        ("kind: llm", "kind: llm, replicas: 0", False),
    ],
)
def test_agrees_with_the_loader(old, new, right):
    assert fits(SCHEMA, read_document(DATA.replace(old, new, 1)).data) is right


def test_describes_every_field_and_policy():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    json.dumps(SCHEMA, allow_nan=False)
    assert json_schema() == SCHEMA
    records = [definition for definition in SCHEMA["$defs"].values() if "properties" in definition]
    assert len(records) > 15
    for record in [SCHEMA, *records]:
        assert record["description"]
        assert record["additionalProperties"] is False
        assert all(item["description"] for item in record["properties"].values()), record
    names, members = SCHEMA["$defs"]["LlmPolicies"]["properties"]["kv_loading"]["anyOf"]
    assert names["enum"] == list(policies("kv_loading"))
    assert [member["properties"]["name"]["const"] for member in members["oneOf"]] == list(
        policies("kv_loading")
    )


def test_docstrings_of_inherited_fields_count():
    docs = field_docs(Synthetic)
    assert docs["service"] == "Service that answers the requests."
    assert docs["arrivals"] == "Arrival process."
