"""A policy that raises, or decides what nobody can do: an error that names it, and never a number."""

import json
from dataclasses import dataclass

import pytest

from simulator.commands.scenarios import SHIPPED
from simulator.experiments.execution import Job, execute
from simulator.policies import registry
from simulator.policies.abr.protocol import Choice
from simulator.policies.collaboration.protocol import Assignment, Decision
from simulator.policies.decoding.protocol import Generation, Piece
from simulator.policies.gpu_sharing import Shares
from simulator.policies.kv_loading.protocol import LoadPlan
from simulator.policies.registry import DECISIONS, find
from simulator.scenario.load import load, resolver

NAN, INF = float("nan"), float("inf")
QUESTION = (Piece("question", 20),)


def whole(graph) -> tuple[int, ...]:
    return tuple(range(len(graph)))


def policy(decision, answer):
    """Return the class of a policy whose one decision is `answer`, called with what it is asked."""

    def say(*asked):
        return answer(*asked) if callable(answer) else answer

    members = {
        "batching": {
            "token_budget": 512,
            "max_sequences": None,
            "varies": True,
            "step_budget": lambda self, rng: say(rng),
        },
        "kv_loading": {
            "asks_every_step": False,
            "plan": lambda self, view: say(view),
            "keep_computing": lambda self, view: True,
        },
        "decoding": {
            "services": (),
            "call_overhead": 0.0,
            "generations": lambda self, question: say(question),
        },
        "node_order": {"ahead_of_requests": False, "key": lambda self, node: say(node)},
        "queueing": {"key": lambda self, request: say(request)},
        "placement": {"needs": (), "place": lambda self, ask, places: say(places)},
        "routing": {"choose": lambda self, replicas, request, routed: say(replicas)},
        "autoscaling": {
            "minimum": 1,
            "period": 0.01,
            "settle": 0.0,
            "replicas": lambda self, view: say(view),
        },
        "gpu_sharing": {"shares": lambda self, llm, sr: say(llm, sr)},
        "abr": {"session": lambda self, ladder, max_buffer_s: Session(say)},
        "collaboration": {
            "together": True,
            "abr": lambda self: Half(say),
            "scheduler": lambda self: Half(say),
        },
    }[decision]
    cls = type("Nonsense", (), {"__annotations__": {}, **members})
    return dataclass(frozen=True)(cls)


class Session:
    """An ABR rule at work."""

    def __init__(self, say):
        self._say = say

    def choose(self, view):
        return self._say(view)

    def waited(self, wait_s):
        return None

    def downloaded(self, download):
        return None


class Half:
    """Both halves of a collaboration policy; an answer is a pair: what the ABR half says, what the scheduler says."""

    waits_for_iteration = True

    def __init__(self, say):
        self._say = say

    def decide(self, view):
        answer = self._say(view)[0]
        return Decision(view.plain[0], 1) if answer is FINE else answer(view) if callable(answer) else answer

    def observe(self, report):
        return None

    def assign(self, view, unassigned):
        answer = self._say(view)[1]
        chunk = unassigned[0].index
        return [Assignment(chunk, 0, 0)] if answer is FINE else answer(chunk) if callable(answer) else answer


FINE = object()


def decides(abr):
    return lambda view: (abr, FINE)


def assigns(given):
    return lambda view: (FINE, given)


ANSWERS = {
    "batching": [0, -1, 1.5, NAN, INF, None, "512", True, [512], 10**30 * 1.0],
    "kv_loading": [
        None,
        7,
        "cake",
        (0, 0),
        lambda view: LoadPlan(-1, 0),
        lambda view: LoadPlan(0, -1),
        lambda view: LoadPlan(view.stored_tokens + 1, 0),
        lambda view: LoadPlan(0, view.stored_tokens + 1),
        lambda view: LoadPlan(0, view.stored_tokens),  # neither computed nor loaded
        lambda view: LoadPlan(NAN, 0),
        lambda view: LoadPlan(0.5, 0.5),
        lambda view: LoadPlan(float(view.stored_tokens), 0),
        lambda view: LoadPlan("0", 0),
        lambda view: LoadPlan(None, None),
        lambda view: LoadPlan(view.stored_tokens, 0, yields="yes"),
        lambda view: LoadPlan(view.stored_tokens, 0, overlap_layers=1),
        lambda view: LoadPlan(view.stored_tokens, 0, overlap_layers=True),  # a race
        lambda view: LoadPlan(1, 1, overlap_layers=True),  # a split
    ],
    "decoding": [
        (),
        7,
        "abc",
        [None],
        lambda it: [Generation(QUESTION, 0, nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, -5, nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, NAN, nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, 10.5, nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, INF, nodes=whole(it.graph))],
        lambda it: [Generation((), 10, nodes=whole(it.graph))],
        lambda it: [Generation(None, 10, nodes=whole(it.graph))],
        lambda it: [Generation((Piece("question", 10**9),), 10, nodes=whole(it.graph))],
        lambda it: [Generation((Piece("question", 1.5),), 10, nodes=whole(it.graph))],
        lambda it: [Generation((Piece("question", 5, -1),), 10, nodes=whole(it.graph))],
        lambda it: [Generation(("question",), 10, nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, 10)],  # decodes nothing of the answer
        lambda it: [Generation(QUESTION, 10, nodes=(0, 0))],
        lambda it: [Generation(QUESTION, 10, nodes=(*whole(it.graph), 99))],
        lambda it: [Generation(QUESTION, 10, nodes=(-1,))],
        lambda it: [Generation(QUESTION, 10, nodes=("a",))],
        lambda it: [Generation(QUESTION, 10, after=((0, 1),), nodes=whole(it.graph))],  # after itself
        lambda it: [Generation(QUESTION, 10, after=((5, 1),), nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, 10, after=((NAN, 1),), nodes=whole(it.graph))],
        lambda it: [Generation(QUESTION, 10, after=(7,), nodes=whole(it.graph))],
        lambda it: [Generation((Piece(3, 5),), 10, nodes=whole(it.graph))],  # reads what is not written
        lambda it: [Generation(QUESTION, 10, nodes=whole(it.graph), service="nobody")],
    ],
    "node_order": [NAN, None, "first", [1], 1j],
    "queueing": [NAN, None, "first", [1], 1j],
    "placement": ["cloud", "", 0, NAN, True, ["edge"], b"edge"],
    "routing": [-1, 2, 99, NAN, INF, None, "0", 0.0, True, [0]],
    "autoscaling": [-1, 0, 99, NAN, INF, None, "1", 1.0, True, [1]],
    "gpu_sharing": [
        None,
        0.5,
        (0.5, 0.5),
        Shares(-0.1, 0.5),
        Shares(0.5, 1.1),
        Shares(0.6, 0.6),
        Shares(0.0, 0.0),
        Shares(NAN, 0.5),
        Shares(0.5, INF),
        Shares("0.5", 0.5),
        Shares(True, 0.0),
        lambda llm, sr: Shares(1.0, 0.0),  # nothing for SR that is alone
    ],
    "abr": [
        None,
        0,
        Choice(-1),
        Choice(99),
        Choice(NAN),
        Choice(1.0),
        Choice(True),
        Choice("0"),
        Choice(0, -1.0),
        Choice(0, NAN),
        Choice(0, INF),
        Choice(0, "1"),
        Choice(0, None),
    ],
    "collaboration": [
        decides(None),
        decides("720p"),
        decides(lambda view: Decision(None, 1)),
        decides(lambda view: Decision("720p", 1)),
        decides(lambda view: Decision(view.plain[0], 0)),
        decides(lambda view: Decision(view.plain[0], -1)),
        decides(lambda view: Decision(view.plain[0], NAN)),
        decides(lambda view: Decision(view.plain[0], 1.5)),
        decides(lambda view: Decision(view.plain[0], "1")),
        decides(lambda view: Decision(view.plain[0], 1, -1.0)),
        decides(lambda view: Decision(view.plain[0], 1, NAN)),
        decides(lambda view: Decision(view.plain[0], 1, INF)),
        decides(lambda view: Decision(view.plain[0], 1, "1")),
        assigns(None),
        assigns(7),
        assigns([None]),
        assigns([(0, 0, 0)]),
        assigns([]),
        assigns(lambda chunk: [Assignment(chunk + 9, 0, 0)]),
        assigns(lambda chunk: [Assignment(NAN, 0, 0)]),
        assigns(lambda chunk: [Assignment([chunk], 0, 0)]),
        assigns(lambda chunk: [Assignment(chunk, 99, 99)]),
        assigns(lambda chunk: [Assignment(chunk, -2, 0)]),
        assigns(lambda chunk: [Assignment(chunk, -1, 0)]),
        assigns(lambda chunk: [Assignment(chunk, NAN, NAN)]),
        assigns(lambda chunk: [Assignment(chunk, 0.0, 0.0)]),
        assigns(lambda chunk: [Assignment(chunk, "viewer", 0)]),
        assigns(lambda chunk: [Assignment(chunk, 0, None)]),
        assigns(lambda chunk: [Assignment(chunk, 0, 0), Assignment(chunk, 0, 0)]),
    ],
}

LLM = """\
version: 1
name: nonsense
devices:
  gpu: {{profile: a100-80g-sxm, count: 2}}
  disk: {{profile: nvme-gen4}}
services:
  chat: {{kind: llm, model: llama-2-7b, gpus: gpu, replicas: 2, kv_tiers: [disk], policies: {policies}}}
workloads:
  work: {workload}
"""
PROMPTS = (
    "{trace: synthetic, service: chat, arrivals: at_once, requests: 3, input_tokens: 640, output_tokens: 4, "
    "stored: {tier: disk}}"
)
GRAPH = json.dumps(
    {
        "arrival_s": 0,
        "prompt_tokens": 20,
        "plan_tokens": 4,
        "nodes": [{"id": "a", "tokens": 10}, {"id": "b", "tokens": 10, "parents": ["a"]}],
    }
)
ASKING = """\
version: 1
name: nonsense
devices:
  gpu: {profile: a100-80g-sxm}
  phone: {profile: galaxy-s20-ultra}
services:
  near: {kind: llm, model: llama-2-7b, gpus: gpu}
  ask:
    kind: assistant
    phones: [phone]
    places: {edge: {service: near, radio: wlan}}
    policies: {placement: nonsense}
workloads:
  work: {trace: synthetic, service: ask, arrivals: at_once, requests: 3, input_tokens: 640, output_tokens: 4}
"""
SHARED = """\
version: 1
name: nonsense
devices:
  viewer: {profile: galaxy-s20-ultra, phone: {wwan: {trace: steady, bandwidth: 5 Mbit/s}}}
  gpu: {profile: l40s, sharing: nonsense}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu}
  video: {kind: streaming, phones: [viewer], helpers: {edge: {gpu: gpu, network: edsr-f32b5}}}
workloads:
  work: {trace: synthetic, service: chat, arrivals: at_once, requests: 3, input_tokens: 640, output_tokens: 4}
  watch: {trace: video, service: video, segments: 4}
"""
VIDEO = """\
version: 1
name: nonsense
devices:
  viewer: {{profile: galaxy-s20-ultra, phone: {{wwan: {{trace: steady, bandwidth: 5 Mbit/s}}}}}}
services:
  video:
    kind: streaming
    phones: [viewer]
    super_resolution: []
    policies: {policies}
workloads:
  watch: {{trace: video, service: video, segments: 4}}
"""


def scenario(desk, decision):
    """Return a scenario whose policy of `decision` is called ``nonsense``."""
    if decision == "abr":
        return VIDEO.format(policies="{collaboration: {name: no_sr, rule: nonsense}}")
    if decision in ("placement", "gpu_sharing"):
        return ASKING if decision == "placement" else SHARED
    if decision == "collaboration":
        return VIDEO.format(policies="{collaboration: nonsense}")
    if decision == "node_order":
        desk.write("graph.jsonl", GRAPH + "\n")
        workload = "{trace: graph, service: chat, path: graph.jsonl}"
        return LLM.format(policies="{decoding: plato, node_order: nonsense}", workload=workload)
    if decision == "decoding":
        desk.write("graph.jsonl", GRAPH + "\n")
        workload = "{trace: graph, service: chat, path: graph.jsonl}"
        return LLM.format(policies="{decoding: nonsense}", workload=workload)
    return LLM.format(policies=f"{{{decision}: nonsense}}", workload=PROMPTS)


@pytest.fixture
def known(monkeypatch):
    """Make a policy known as ``nonsense`` for the time of the test."""

    def know(decision, cls):
        monkeypatch.setitem(registry._registry[decision], "nonsense", cls)

    registry.policies("abr")  # the built-in ones first
    return know


def run(desk):
    """Run; return exit status, stderr and the record of the failure."""
    status, said = desk.hetsim("run", "s.yaml", "--out", "runs", "--quiet")
    manifests = list((desk.folder / "runs").glob("*/manifest.json"))
    return status, said, json.loads(manifests[0].read_text()).get("failure") if manifests else None


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        pytest.param(name, it, id=f"{name}-{number}")
        for name, answers in ANSWERS.items()
        for number, it in enumerate(answers)
    ],
)
def test_nonsense_is_an_error_that_names_policy_and_decision(desk, known, decision, answer):
    known(decision, policy(decision, answer))
    desk.write("s.yaml", scenario(desk, decision))
    status, said, failure = run(desk)
    assert status == 1, said
    assert failure is not None
    assert failure["type"] == "PolicyError", failure["traceback"]
    assert f"{decision} policy 'nonsense' " in failure["message"]
    assert "Nonsense" not in failure["message"]
    assert "Half" not in failure["message"]
    assert not list((desk.folder / "runs").glob("*/summary.json"))


def test_every_decision_is_tried():
    assert set(ANSWERS) == set(DECISIONS) - {"recovery"}  # which has tests of its own


@pytest.mark.parametrize("decision", ANSWERS)
def test_a_policy_that_raises_is_named_with_its_traceback(desk, known, decision):
    def answer(*asked):
        raise ZeroDivisionError("by nothing")

    known(decision, policy(decision, answer))
    desk.write("s.yaml", scenario(desk, decision))
    status, said, failure = run(desk)
    assert status == 1
    assert failure["type"] == "ZeroDivisionError"
    assert f"{decision} policy 'nonsense'" in failure["message"]
    assert "by nothing" in failure["message"]
    assert "in answer" in failure["traceback"]
    assert f"{decision} policy 'nonsense'" in said


@pytest.mark.parametrize("decision", ANSWERS)
def test_a_policy_that_takes_all_memory_fails_its_run_alone(desk, known, decision):
    def answer(*asked):
        raise MemoryError

    known(decision, policy(decision, answer))
    desk.write("s.yaml", scenario(desk, decision))
    status, said, failure = run(desk)
    assert (status, failure["type"]) == (1, "MemoryError"), said


def test_a_policy_that_ends_the_process_is_a_failure_that_names_it(monkeypatch):
    def leave(self, view):
        raise SystemExit("gone")

    monkeypatch.setattr(find("kv_loading", "io_only"), "plan", leave)
    path = SHIPPED / "cake" / "single.yaml"
    scenario = load(path, ["services.chat.policies.kv_loading=io_only"])
    outcome = execute(Job(scenario, 0, resolver(path)))
    assert outcome.failure is not None
    assert (outcome.failure.type, outcome.summary) == ("SystemExit", None)
    assert "kv_loading policy 'io_only'" in outcome.failure.message
    assert "gone" in outcome.failure.message
