"""What the benchmark simulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from simulator.commands.scenarios import SHIPPED
from simulator.core import Streams
from simulator.experiments.cake_cases import cell
from simulator.experiments.reproduce_cake import cell_scenario
from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.collaboration.oasis import Oasis
from simulator.policies.registry import find
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.streaming.group import simulate_group
from simulator.streaming.player import Player
from simulator.streaming.qoe import ENVIVIO_LADDER_BPS
from simulator.streaming.service import StreamedVideo
from simulator.streaming.synthetic_trace import load_cellular, markov_trace
from simulator.streaming.vbr import vbr_video
from simulator.workloads.spec import Stored, Synthetic
from simulator.world import simulate

MANY = 1_000_000
"""Requests of the case that shows whether cost and memory stay in bounds."""


def poisson(replicas: int, requests: int) -> Scenario:
    """Return the yardstick of serving simulators: 512 tokens in, 128 out, 4 requests/s per replica."""
    service = LlmService(
        kind="llm",
        model="llama-2-7b",
        gpus="gpu",
        replicas=replicas,
        policies=LlmPolicies(batching=ChunkedPrefill(token_budget=512)),
    )
    workload = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=512,
        output_tokens=128,
        rate=4.0 * replicas,
        requests=requests,
    )
    return Scenario(
        version=1,
        name="poisson",
        devices={"gpu": DeviceSpec("a100-80g-sxm")},
        services={"chat": service},
        workloads={"chat": workload},
        record_intervals=False,
    )


def cake(requests: int) -> Scenario:
    """Return 16K-token prompts with stored KV, served by Cake, one every four seconds on average."""
    base = cell_scenario(cell("longalpaca-13b", "a100-80g-sxm", 2, 32.0), "cake")
    prompts = Synthetic(
        trace="synthetic",
        service="chat",
        input_tokens=16384,
        output_tokens=1,
        rate=0.25,
        requests=requests,
        stored=Stored("disk"),
        hash_block_tokens=256,
    )
    return replace(base, workloads={"chat": prompts})


def questions(requests: int) -> Scenario:
    """Return questions of Vicuna-80 that Plato decodes in parts, two per second on average."""
    return replace(
        load(SHIPPED / "plato" / "load.yaml", [f"workloads.questions.requests={requests}"]),
        record_intervals=False,
    )


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    name: str
    """What the table calls it."""
    unit: Literal["request", "session"]
    """What the cost is stated per."""
    number: int
    """How many requests or sessions one run has."""
    run: Callable[[], object]
    """Simulates them; what it needs is built before."""
    parts: int = 1
    """Chunks of a session, those of every phone counted."""
    once: bool = False
    """It takes long, and is not repeated."""


def cases() -> Iterator[Case]:
    """Yield every case."""
    yield _served("poisson, 1 replica", 20_000, poisson(1, 20_000))
    yield _served("poisson, 64 replicas", 50_000, poisson(64, 50_000))
    yield _served("cake, 16K prompts", 500, cake(500))
    yield _served("plato, answers of 7 nodes", 2_000, questions(2_000))
    base = load(SHIPPED / "cake" / "mooncake.yaml")
    for name in ("compute_only", "cake"):
        policies = replace(base.llm_services["chat"].policies, kv_loading=find("kv_loading", name)())
        scenario = replace(base, services={"chat": replace(base.llm_services["chat"], policies=policies)})
        requests = len(simulate(scenario).requests["chat"])
        yield _served(f"mooncake-like, 8 replicas, {name}", requests, scenario)
    yield watched_together(10)
    for name, sessions in (("bola", 1000), ("dynamic", 1000), ("robust_mpc", 200)):
        yield watched_alone(name, sessions)
    yield replace(
        _served("poisson, 64 replicas", MANY, poisson(64, MANY)), once=True
    )  # last: it takes the most memory


def _served(name: str, requests: int, scenario: Scenario) -> Case:
    return Case(name, "request", requests, lambda: simulate(scenario))


def watched_together(sessions: int) -> Case:
    """Return sessions of the shipped scenario of six phones, over networks that never change."""
    path = SHIPPED / "oasis" / "phones.yaml"
    scenario = load(path, ["devices.phones.phone={wwan: {trace: steady, bandwidth: 5 Mbit/s}}"])
    group = StreamedVideo(scenario, "video", Streams(scenario.seed), resolver(path)).group(0)

    def run() -> None:
        for _ in range(sessions):
            simulate_group(group, Oasis())

    name = f"oasis, {len(group.phones)} phones, {group.video.segments} chunks"
    return Case(name, "session", sessions, run, len(group.phones) * group.video.segments)


def watched_alone(rule: str, sessions: int) -> Case:
    """Return sessions of Pensieve's length and ladder of one player, each over a network trace of its own."""
    seeds = Streams(0)
    video = vbr_video("video", 4.0, 48, ENVIVIO_LADDER_BPS, seeds.stream("video"))
    network = load_cellular("norway-3g")
    traces = [markov_trace(network, seeds.stream(f"trace {i}"), 600.0) for i in range(sessions)]
    player, policy = Player(), find("abr", rule)()

    def run() -> None:
        for trace in traces:
            player.play(video, trace, policy)

    return Case(f"{rule}, {video.segments} segments over norway-3g", "session", sessions, run, video.segments)
