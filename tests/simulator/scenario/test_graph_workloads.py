"""Workloads with answer graphs in a scenario file: shorthands, overrides, faults with their place, the schema."""

from __future__ import annotations

import pytest

from devices.errors import InputError
from simulator.scenario import load_text
from simulator.workloads.graph_shapes import ByCategory, Chain, Layered, Tree
from simulator.workloads.length_spec import LogNormal
from simulator.workloads.spec import GraphTrace, Questions

BASE = """\
version: 1
name: base
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
services:
  chat: {kind: llm, model: vicuna-13b, gpus: gpu}
workloads:
  chat: {trace: questions, service: chat, requests: 10, rate: 4/s}
"""


def workload(*overrides, text=BASE):
    return load_text(text, overrides, name="f.yaml").workloads["chat"]


def faults_of(*overrides, text=BASE):
    with pytest.raises(InputError) as caught:
        workload(*overrides, text=text)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("overrides", "graph"),
    [
        ((), ByCategory()),
        (("workloads.chat.graph=chain",), Chain()),
        (("workloads.chat.graph=by_category", "workloads.chat.graph.density=0.5"), ByCategory(density=0.5)),
        (("workloads.chat.graph={shape: tree, fanout: 3}",), Tree(fanout=3)),
        (("workloads.chat.graph={shape: layered, layers: 3}",), Layered(layers=3)),
    ],
)
def test_shapes_by_name_and_with_fields(overrides, graph):
    spec = workload(*overrides)
    assert isinstance(spec, Questions)
    assert spec.graph == graph


def test_lengths_and_categories():
    spec = workload(
        "workloads.chat.nodes=6",
        "workloads.chat.output_tokens={distribution: lognormal, mean: 300, cv: 0.2}",
        "workloads.chat.categories=[math, coding]",
        "workloads.chat.dataset=vicuna-80",
    )
    assert (spec.nodes, spec.output_tokens) == (6, LogNormal(mean=300, cv=0.2))
    assert spec.categories == ("math", "coding")


def test_faults_have_their_place_and_the_nearest_match():
    [fault] = faults_of("workloads.chat.categories=[math, codings]")
    assert (
        "workloads.chat.categories.1: vicuna-80 has no category 'codings'; nearest: coding; there is: "
        in fault
    )
    [fault] = faults_of("workloads.chat.graph=chian")
    assert "nearest: chain" in fault
    [fault] = faults_of("workloads.chat.dataset=vicuna-8")
    assert "vicuna-80" in fault
    [fault] = faults_of("workloads.chat.graph={shape: layered, layers: 0}")
    assert "workloads.chat.graph.layers" in fault
    [fault] = faults_of("workloads.chat.graph={shape: tree, fanouts: 2}")
    assert "nearest: fanout" in fault
    [fault] = faults_of("workloads.chat.graph={shape: by_category, density: -1}")
    assert "workloads.chat.graph.density: is -1.0; allowed: finite numbers from 0" in fault


def test_a_graph_trace_and_a_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.jsonl").write_text("")
    text = BASE.replace(
        "{trace: questions, service: chat, requests: 10, rate: 4/s}",
        "{trace: graph, service: chat, path: answers.jsonl, rate_scale: 2}",
    )
    assert workload(text=text) == GraphTrace(
        trace="graph", service="chat", path="answers.jsonl", rate_scale=2.0
    )
    [fault] = faults_of("workloads.chat.path=answer.jsonl", text=text)
    assert "there is no file 'answer.jsonl'" in fault
    assert "nearest: answers.jsonl" in fault
    [fault] = faults_of("workloads.chat.rate_scale=0", text=text)
    assert "workloads.chat.rate_scale" in fault
