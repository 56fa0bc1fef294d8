"""The JSON Schema says what the loader accepts."""

import json
import re

import pytest

from devices.document import read_document
from simulator.commands.scenarios import SHIPPED, scenario_names
from simulator.policies.registry import policies
from simulator.scenario.schema import field_docs, json_schema
from simulator.workloads.spec import Synthetic

SCENARIOS = [SHIPPED / f"{name}.yaml" for name in scenario_names(SHIPPED)]
SCHEMA = json_schema()
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def fits(schema, value):  # noqa: PLR0911
    """Judge `value` by the part of JSON Schema that ours uses."""
    if "$ref" in schema and not fits(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], value):
        return False
    if "anyOf" in schema and not any(fits(option, value) for option in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(option, value) for option in schema["oneOf"]) != 1:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kind = schema.get("type")
    if kind in TYPES and not isinstance(value, TYPES[kind]):
        return False
    if kind in ("number", "integer") and not number_fits(schema, value):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return all(fits(schema.get("items", {}), item) for item in value)
    if not isinstance(value, dict):
        return True
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if any(key not in value for key in schema.get("required", [])):
        return False
    if others is False and any(key not in known for key in value):
        return False
    others = {} if isinstance(others, bool) else others
    return all(fits(known.get(key, others), item) for key, item in value.items())


def number_fits(schema, value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if schema["type"] == "integer" and value != int(value):
        return False
    low, above = schema.get("minimum", -1e300), schema.get("exclusiveMinimum", -1e300)
    return low <= value <= schema.get("maximum", 1e300) and value > above


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_shipped_scenarios_fit(path):
    assert fits(SCHEMA, read_document(path).data)


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
