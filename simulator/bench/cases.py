"""What the benchmark simulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

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


def mooncake(kv_loading: str) -> Scenario:
    """Return the shipped workload with Mooncake's statistics, under a KV-loading policy."""
    scenario = load(SHIPPED / "cake" / "mooncake.yaml")
    service = scenario.llm_services["chat"]
    policies = replace(service.policies, kv_loading=find("kv_loading", kv_loading)())
    return replace(scenario, services={"chat": replace(service, policies=policies)})


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured."""

    name: str
    """What tables call it."""
    unit: str
    """What its cost is stated per."""
    prepare: Callable[[], Callable[[], int]]
    """Builds what is needed; returns what is measured, which simulates all and returns how many units that were."""
    once: bool = False
    """It takes long, and is neither warmed up nor repeated."""


def served(name: str, build: Callable[[], Scenario], once: bool = False) -> Case:
    """Return a scenario of requests."""

    def prepare() -> Callable[[], int]:
        scenario = build()
        return lambda: sum(len(table) for table in simulate(scenario).requests.values())

    return Case(name, "request", prepare, once)


def shipped(name: str, scenario: str, overrides: Sequence[str] = ()) -> Case:
    """Return a large shipped scenario, whose cost is stated per simulated second."""

    def prepare() -> Callable[[], int]:
        path = SHIPPED / scenario
        loaded = load(path, overrides)
        return lambda: round(simulate(loaded, resolve=resolver(path)).simulated_s)

    return Case(name, "simulated s", prepare, once=True)


def watched_together(sessions: int) -> Case:
    """Return sessions of the shipped scenario of six phones, over networks that never change."""

    def prepare() -> Callable[[], int]:
        path = SHIPPED / "oasis" / "phones.yaml"
        scenario = load(path, ["devices.phones.phone={wwan: {trace: steady, bandwidth: 5 Mbit/s}}"])
        group = StreamedVideo(scenario, "video", Streams(scenario.seed), resolver(path)).group(0)

        def run() -> int:
            for _ in range(sessions):
                simulate_group(group, Oasis())
            return sessions * group.video.segments * len(group.phones)

        return run

    return Case(f"oasis, 6 phones, 300 chunks, {sessions} sessions", "chunk and phone", prepare)


def watched_alone(rule: str, sessions: int) -> Case:
    """Return sessions of Pensieve's length and ladder of one player, each over a network trace of its own."""

    def prepare() -> Callable[[], int]:
        seeds = Streams(0)
        video = vbr_video("video", 4.0, 48, ENVIVIO_LADDER_BPS, seeds.stream("video"))
        network = load_cellular("norway-3g")
        traces = [markov_trace(network, seeds.stream(f"trace {i}"), 600.0) for i in range(sessions)]
        player, policy = Player(), find("abr", rule)()

        def run() -> int:
            for trace in traces:
                player.play(video, trace, policy)
            return sessions * video.segments

        return run

    return Case(f"{rule}, 48 segments, {sessions:,} sessions over norway-3g", "segment", prepare)


ONE_REPLICA: Final = served("poisson, 1 replica, 20,000 requests", lambda: poisson(1, 20_000))
MANY_REPLICAS: Final = served("poisson, 64 replicas, 50,000 requests", lambda: poisson(64, 50_000))
MILLION: Final = served("poisson, 64 replicas, 1,000,000 requests", lambda: poisson(64, 1_000_000), once=True)
LONG_PROMPTS: Final = served("cake, 5,000 prompts of 16K tokens", lambda: cake(5_000))
PHONES: Final = watched_together(40)
CAMPUS: Final = shipped("campus, an hour", "cluster/campus.yaml")
DAY: Final = shipped("day, 2,000,000 requests", "cluster/day.yaml")

CASES: Final = (
    ONE_REPLICA,
    MANY_REPLICAS,
    MILLION,
    LONG_PROMPTS,
    served("plato, 2,000 answers of 7 nodes", lambda: questions(2_000)),
    served("mooncake-like, 8 replicas, compute_only", lambda: mooncake("compute_only")),
    served("mooncake-like, 8 replicas, cake", lambda: mooncake("cake")),
    PHONES,
    CAMPUS,
    DAY,
    watched_alone("bola", 1000),
    watched_alone("dynamic", 1000),
    watched_alone("robust_mpc", 200),
)
"""All cases, in the order of the table."""
