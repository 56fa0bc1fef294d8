"""Networks of the project's own stations, with feedback: product form.

*Engines*: an answer goes back and forth between two LLM services, one generation for each stay, and after every second
one it is over with some probability. With answers of geometric length the services are the stations of a Jackson
network: an M/M/1 and an M/M/2 queue at the rates that the traffic equations give them.

*Channels*: transfers go through two shared channels in turn, and back to the first with some probability. Channels are
processor sharing, a symmetric queue, so that numbers are geometric and independent whatever the distribution of sizes
(Kelly, Reversibility and Stochastic Networks, section 3.3).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator.core import Channel, ConstantBandwidth, Environment, Streams
from simulator.policies.decoding import Generation, Piece, Question, own_text
from simulator.scenario.load import load_text
from simulator.serving.step_cost import StepCost
from simulator.world import RunResult, simulate

FEEDBACK = 0.25

# ---------------------------------------------------------------- engines

ARRIVALS = 0.45
SERVICE = (1.0, 2.0)
SERVERS = (1, 2)
MEAN_TOKENS = 1000
"""Of a service time of 1."""
ANSWERS, WARM_UP = 1000, 150
STATIONS = ("first", "second")
SCENARIO = """
version: 1
name: network
record_intervals: false
devices: {a: {profile: a100-80g-sxm, count: 1}, b: {profile: a100-80g-sxm, count: 1}}
services:
  first:
    {kind: llm, model: llama-3.1-8b, gpus: a, engine: vllm-0.6, prefix_cache: false,
     policies: {batching: {name: chunked_prefill, max_sequences: 1}}}
  second:
    {kind: llm, model: llama-3.1-8b, gpus: b, engine: vllm-0.6, prefix_cache: false,
     policies: {batching: {name: chunked_prefill, max_sequences: 2}}}
workloads: {tours: {trace: graph, service: first, path: tours.jsonl}}
"""


@dataclass(frozen=True)
class BackAndForth:
    """Decoding policy: each node when the one before it has ended, every second one at the other service."""

    services: tuple[str, ...] = STATIONS[1:]
    call_overhead: float = 0.0

    def generations(self, question: Question) -> list[Generation]:
        return [
            Generation(
                (Piece(own_text(number), 1),),
                tokens,
                ((number - 1, question.graph.node_tokens[number - 1]),) if number else (),
                (number,),
                shares_kv=False,
                service=STATIONS[number % 2] if number % 2 else "",
            )
            for number, tokens in enumerate(question.graph.node_tokens)
        ]


def tours(streams: Streams, mean_s: float) -> str:
    """Return a trace of answers: when they begin, and the tokens of each stay."""
    arrivals, service, routing = (
        streams.stream(f"network/{it}") for it in ("arrivals", "service", "routing")
    )
    times_s = np.cumsum(arrivals.exponential(mean_s / ARRIVALS, ANSWERS)).tolist()
    lines = []
    for arrival_s, loops in zip(times_s, routing.geometric(1 - FEEDBACK, ANSWERS).tolist(), strict=True):
        lengths = MEAN_TOKENS * service.exponential(np.tile(SERVICE, loops))
        nodes = [
            {"id": number, "tokens": max(1, round(tokens))} for number, tokens in enumerate(lengths.tolist())
        ]
        line = {"arrival_s": arrival_s, "prompt_tokens": 1, "plan_tokens": len(nodes), "nodes": nodes}
        lines.append(json.dumps(line))
    return "\n".join(lines) + "\n"


def run_engines(folder: Path, cost: StepCost, mean_s: float, streams: Streams) -> RunResult:
    (folder / "tours.jsonl").write_text(tours(streams, mean_s))
    scenario = load_text(SCENARIO, folder=folder)
    first = scenario.llm_services["first"]
    asked = replace(first, policies=replace(first.policies, decoding=BackAndForth()))
    scenario = replace(scenario, services={**scenario.services, "first": asked})
    return simulate(scenario, resolve=lambda path: folder / path, costs=dict.fromkeys(STATIONS, cost))


def mean_numbers(result: RunResult, begin_s: float, end_s: float) -> list[float]:
    """Mean number at each station between two times, by the records of the generations."""
    table = result.generations["first"]
    inside_s = np.clip(table.column("finish_s"), begin_s, end_s)
    inside_s -= np.clip(table.column("ready_s"), begin_s, end_s)
    by = table.column("decoded_by")
    return [float(inside_s[by == station].sum()) / (end_s - begin_s) for station in STATIONS]


def test_jackson_network_of_engines(tmp_path: Path, flat_cost: StepCost, study: Any, compare: Any) -> None:
    mean_s = MEAN_TOKENS * flat_cost.step_s(1, 1, MEAN_TOKENS)
    numbers, responses = [], []
    for replication in range(study.replications):
        result = run_engines(tmp_path, flat_cost, mean_s, Streams(study.seed, replication))
        table = result.requests["first"]
        order = np.argsort(table.column("arrival_s"))[WARM_UP:]
        arrival_s = table.column("arrival_s")[order]
        numbers.append(mean_numbers(result, arrival_s[0], arrival_s[-1]))
        responses.append(float((table.column("finish_s")[order] - arrival_s).mean()) / mean_s)
    rate = ARRIVALS / (1 - FEEDBACK)
    loads = [rate * service / servers for service, servers in zip(SERVICE, SERVERS, strict=True)]
    theory = [loads[0] / (1 - loads[0]), 2 * loads[1] / (1 - loads[1] ** 2)]
    name = f"Jackson network of engines, loads {loads[0]:g} and {loads[1]:g}"
    for station in range(2):
        measured = [it[station] for it in numbers]
        compare(name, f"mean number at station {station + 1}", theory[station], measured, 0.08)
    compare(name, "mean time in the network", sum(theory) / ARRIVALS, responses, 0.06)


# ---------------------------------------------------------------- channels

MEAN_BYTES = 1e6
RATES_BYTES_PER_S = (1e9, 1.2e9)
LOADS = (0.6, 0.5)
WARM_UP_S, END_S = 0.4, 4.0  # times a mean transfer of 1 ms


def hyperexponential(rng: np.random.Generator) -> float:
    """Two phases with balanced means, squared coefficient of variation 4; mean 1."""
    p = (1 + math.sqrt(3 / 5)) / 2
    return float(rng.exponential(1 / (2 * p) if rng.random() < p else 1 / (2 * (1 - p))))


class Channels:
    """One replication, empty at its beginning."""

    def __init__(self, streams: Streams) -> None:
        self.env = Environment()
        self.stations = [Channel(self.env, ConstantBandwidth(rate)) for rate in RATES_BYTES_PER_S]
        self.arrivals = streams.stream("channels/arrivals")
        self.sizes = streams.stream("channels/sizes")
        self.routing = streams.stream("channels/routing")
        self.gap_s = MEAN_BYTES / (LOADS[0] * RATES_BYTES_PER_S[0] * (1 - FEEDBACK))
        self.inside = 0
        self.empty_s = self.left_s = 0.0  # with nobody inside so far, until the last who left
        self.env.call_at(self.arrivals.exponential(self.gap_s), self.arrive)

    def arrive(self) -> None:
        if not self.inside:
            self.empty_s += self.env.now - self.left_s
        self.inside += 1
        self.enter(0)
        self.env.call_at(self.env.now + self.arrivals.exponential(self.gap_s), self.arrive)

    def enter(self, station: int) -> None:
        n_bytes = MEAN_BYTES * (hyperexponential(self.sizes) if station else 1.0)
        self.stations[station].transfer(n_bytes, on_done=lambda _: self.leave(station))

    def leave(self, station: int) -> None:
        if station == 0 or self.routing.random() < FEEDBACK:
            self.enter(1 - station)
        else:
            self.inside -= 1
            self.left_s = self.env.now

    def run(self, until_s: float) -> tuple[float, float, float]:
        """Run on; return the integrals over time so far of both numbers, and the time with nobody inside."""
        self.env.run(until=until_s)
        areas_s = [channel.active_s for channel in self.stations]
        empty_s = self.empty_s + (0.0 if self.inside else until_s - self.left_s)
        return areas_s[0], areas_s[1], empty_s


def test_product_form_of_channels(study: Any, compare: Any) -> None:
    """Sizes are all the same at the first channel, and vary much at the second."""
    measured = []
    for replication in range(study.replications):
        channels = Channels(Streams(study.seed, replication))
        begin, end = np.array(channels.run(WARM_UP_S)), np.array(channels.run(END_S))
        measured.append((end - begin) / (END_S - WARM_UP_S))
    samples = np.array(measured)
    name = f"Two channels with feedback, loads {LOADS[0]:g} and {LOADS[1]:g}"
    for station, load in enumerate(LOADS):
        compare(name, f"mean number at channel {station + 1}", load / (1 - load), samples[:, station], 0.08)
    compare(name, "P(both empty)", (1 - LOADS[0]) * (1 - LOADS[1]), samples[:, 2], 0.08)
