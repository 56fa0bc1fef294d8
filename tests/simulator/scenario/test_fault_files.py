"""Faults as they stand in a file: what is refused, where, and in which words."""

from __future__ import annotations

import pytest

from devices.document import dump_yaml
from devices.errors import InputError
from simulator.scenario.load import load_text, to_data

BASE = """\
version: 1
name: faults
devices:
  gpu: {profile: a100-80g-sxm, count: 4}
  disk: {profile: nvme-gen4, link: lan}
  handset: {profile: galaxy-s22-plus, count: 2, phone: {wwan: {trace: synthetic}}}
links:
  lan: {profile: ethernet-25g}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, tensor_parallel: 2, kv_tiers: [disk]}
  watch: {kind: streaming, phones: [handset]}
workloads:
  ask: {service: chat, trace: synthetic, arrivals: {process: at_once}, requests: 2, input_tokens: 9, output_tokens: 9}
  video: {service: watch, trace: video}
faults:
  it: {%s}
"""


def problems(fault: str, base: str = BASE) -> str:
    with pytest.raises(InputError) as caught:
        load_text(base.replace("%s", fault), name="f.yaml")
    return "\n".join(str(it) for it in caught.value.faults)


@pytest.mark.parametrize(
    ("fault", "path", "message"),
    [
        ("device: gpu, kind: crash, at: 1 s", "faults.it.kind", "'crash' is not allowed"),
        ("device: gpus, kind: failure, at: 1 s", "faults.it.device", "nearest: gpu"),
        ("link: len, kind: outage, at: 1 s, duration: 1 s", "faults.it.link", "nearest: lan"),
        ("kind: failure, at: 1 s", "faults.it", "neither a device nor a link"),
        (
            "device: gpu, link: lan, kind: slowdown, factor: 0.5, at: 1 s",
            "faults.it",
            "both a device and a link",
        ),
        ("device: gpu, kind: failure", "faults.it", "neither at nor mtbf"),
        ("device: gpu, kind: failure, at: 1 s, mtbf: 9 s, mttr: 1 s", "faults.it", "both at and mtbf"),
        ("device: gpu, kind: failure, mtbf: 9 s", "faults.it.mttr", "is missing"),
        (
            "device: gpu, kind: failure, mtbf: 9 s, duration: 1 s, mttr: 1 s",
            "faults.it.duration",
            "goes with at",
        ),
        ("device: gpu, kind: failure, at: 9 s, mttr: 1 s", "faults.it.mttr", "goes with mtbf"),
        (
            "device: gpu, kind: failure, mtbf: 1 us, mttr: 1 s",
            "faults.it.mtbf",
            "allowed for a gpu: 0.001 s and more",
        ),
        ("device: gpu, kind: failure, at: -1 s", "faults.it.at", "-1"),
        ("device: gpu, kind: slowdown, at: 1 s", "faults.it.factor", "is missing"),
        (
            "device: gpu, kind: slowdown, at: 1 s, factor: 0",
            "faults.it.factor",
            "allowed: 1e-06 to below 1",
        ),
        (
            "device: gpu, kind: slowdown, at: 1 s, factor: 1",
            "faults.it.factor",
            "allowed: 1e-06 to below 1",
        ),
        ("device: gpu, kind: slowdown, at: 1 s, factor: 2", "faults.it.factor", "2"),
        ("device: gpu, kind: failure, at: 1 s, factor: 0.5", "faults.it.factor", "does not apply"),
        ("device: gpu, kind: outage, at: 1 s, duration: 1 s", "faults.it.kind", "allowed: failure, slowdown"),
        ("link: lan, kind: failure, at: 1 s", "faults.it.kind", "allowed: outage, slowdown"),
        ("device: handset, kind: outage, at: 1 s, duration: 1 s", "faults.it.kind", "failure, slowdown"),
        ("device: disk, kind: outage, at: 1 s", "faults.it.duration", "would wait for ever"),
        ("device: gpu, kind: failure, at: 1 s, unit: 2", "faults.it.unit", "has 2 replicas, numbered from 0"),
        ("device: handset, kind: failure, at: 1 s, unit: 2", "faults.it.unit", "has 2 phones"),
        ("device: disk, kind: failure, at: 1 s, unit: 0", "faults.it.unit", "fails as a whole"),
        ("device: gpu, kind: failure, at: 1 s, for: 3 s", "faults.it.for", "unknown key"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(fault, path, message):
    said = problems(fault)
    assert f"{path}: " in said
    assert message in said
    assert "f.yaml:16:" in said


def test_recovery_is_a_policy_like_any_other():
    text = BASE.replace("kv_tiers: [disk]", "kv_tiers: [disk], policies: {recovery: %s}")
    text = text.replace("it: {%s}", "it: {device: gpu, kind: failure, mtbf: 10 min, mttr: 30 s, unit: 1}")
    scenario = load_text(text.replace("%s", "{name: retry, retries: 5, keep_generated: false}"))
    assert load_text(dump_yaml(to_data(scenario))) == scenario
    with pytest.raises(InputError, match="nearest: retry"):
        load_text(text.replace("%s", "retri"))
    with pytest.raises(InputError, match="retries"):
        load_text(text.replace("%s", "{name: reroute, retries: -1}"))


def test_gpus_that_decode_answers_in_parts_may_fail():
    text = (
        BASE.replace("trace: synthetic, arrivals", "trace: questions, arrivals")
        .replace("requests: 2, input_tokens: 9, output_tokens: 9", "requests: 2")
        .replace("kv_tiers: [disk]", "kv_tiers: [disk], policies: {decoding: plato}")
    )
    assert load_text(text.replace("it: {%s}", "it: {device: gpu, kind: failure, at: 1 s}")).faults
