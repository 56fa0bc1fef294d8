"""The serving engine as a queue: M/M/1, M/M/c, M/D/1 and M/G/1.

An engine whose step takes the same time whatever it holds, and whose batch holds at most c sequences, is a queue with
c servers: a request of one prompt token and n answer tokens is served for n steps. With lengths of about 1,000 tokens
the time is as good as continuous (a geometric length is an exponential time but for one part in a thousand).

Times are in mean service times. Every replication begins empty; its first requests are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.core import Streams
from simulator.scenario.load import load_text
from simulator.serving.step_cost import StepCost
from simulator.world import simulate

MEAN_TOKENS = 1000
REQUESTS, WARM_UP = 2000, 300
BASE = """
version: 1
name: queue
record_intervals: false
devices: {gpu: {profile: a100-80g-sxm, count: 1}}
services:
  chat:
    kind: llm
    model: llama-3.1-8b
    gpus: gpu
    engine: vllm-0.6
    prefix_cache: false
    policies: {batching: {name: chunked_prefill, max_sequences: SERVERS}}
workloads: {chat: {trace: csv, service: chat, path: queue.csv}}
"""

Lengths = Callable[[np.random.Generator, int], NDArray[np.float64]]


def exponential(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.exponential(1.0, n)


def deterministic(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.ones(n)


def hyperexponential(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Two phases with balanced means, squared coefficient of variation 4."""
    p = (1 + math.sqrt(3 / 5)) / 2
    return rng.exponential(1.0, n) * np.where(rng.random(n) < p, 1 / (2 * p), 1 / (2 * (1 - p)))


SHAPE, LONGEST = 1.5, 30.0
"""Of the bounded Pareto distribution: the exponent, and the longest service over the shortest."""


def pareto_moment(k: int) -> float:
    """k-th moment of the bounded Pareto distribution on [1, LONGEST]."""
    whole = 1 - LONGEST**-SHAPE
    return SHAPE * (LONGEST ** (k - SHAPE) - 1) / ((k - SHAPE) * whole)


def bounded_pareto(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return (1 - rng.random(n) * (1 - LONGEST**-SHAPE)) ** (-1 / SHAPE) / pareto_moment(1)


SECOND_MOMENTS: dict[Lengths, float] = {
    exponential: 2.0,
    deterministic: 1.0,
    hyperexponential: 5.0,
    bounded_pareto: pareto_moment(2) / pareto_moment(1) ** 2,
}


@dataclass(frozen=True)
class Sample:
    """What one replication has measured, in mean service times."""

    waiting: NDArray[np.float64]
    response: NDArray[np.float64]
    in_system: float
    """Mean number over time."""
    busy: float
    """Share of time in which an arrival found all servers busy."""


def run(
    folder: Path, cost: StepCost, lengths: Lengths, load: float, servers: int, streams: Streams
) -> Sample:
    """Simulate one replication."""
    mean_s = MEAN_TOKENS * cost.step_s(1, 1, MEAN_TOKENS)
    rng = streams.stream(
        f"{lengths.__name__}, load {load}, {servers} servers"
    )  # queues independent of each other
    gaps = rng.exponential(mean_s / (load * servers), REQUESTS)
    tokens = np.maximum(1, np.rint(MEAN_TOKENS * lengths(rng, REQUESTS))).astype(int)
    rows = zip(np.cumsum(gaps).tolist(), tokens.tolist(), strict=True)
    lines = [f"{arrival_s!r},1,{n}" for arrival_s, n in rows]
    (folder / "queue.csv").write_text("arrival_s,input_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    scenario = load_text(BASE.replace("SERVERS", str(servers)), folder=folder)
    result = simulate(scenario, resolve=lambda path: folder / path, costs={"chat": cost})
    table = result.requests["chat"]
    order = np.argsort(table.column("arrival_s"))[WARM_UP:]
    arrival, admitted, finish = (
        table.column(name)[order] / mean_s for name in ("arrival_s", "admitted_s", "finish_s")
    )
    # Observed from the first counted arrival to the last one: whoever is there, by the times of all requests.
    everybody = table.column("arrival_s") / mean_s, table.column("finish_s") / mean_s
    begin, end = arrival[0], arrival[-1]
    present = np.clip(everybody[1], begin, end) - np.clip(everybody[0], begin, end)
    step = 1.5 / MEAN_TOKENS  # who finds a free server still waits for the end of the step under way
    return Sample(
        admitted - arrival,
        finish - arrival,
        float(present.sum() / (end - begin)),
        float(((admitted - arrival) > step).mean()),
    )


@pytest.fixture(scope="module")
def replicate(
    tmp_path_factory: pytest.TempPathFactory, study: Any, flat_cost: StepCost
) -> Callable[[Lengths, float, int], list[Sample]]:
    @cache
    def samples(lengths: Lengths, load: float, servers: int = 1) -> list[Sample]:
        folder = tmp_path_factory.mktemp("queue")
        replications = (Streams(study.seed, k) for k in range(study.replications))
        return [run(folder, flat_cost, lengths, load, servers, streams) for streams in replications]

    return samples


def test_m_m_1(replicate: Any, compare: Any) -> None:
    """Mean response and number, and the whole distribution at two points."""
    load = 0.7
    samples = replicate(exponential, load)
    name = f"M/M/1, load {load}"
    compare(name, "mean response", 1 / (1 - load), [s.response.mean() for s in samples], 0.08)
    compare(name, "mean number in system", load / (1 - load), [s.in_system for s in samples], 0.08)
    for t in (1.0, 4.0):
        theory = load * math.exp(-(1 - load) * t)
        compare(name, f"P(waiting > {t:g})", theory, [(s.waiting > t).mean() for s in samples], 0.12)


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival waits."""
    offered = servers * load
    free = sum(offered**k / math.factorial(k) for k in range(servers))
    full = offered**servers / math.factorial(servers) / (1 - load)
    return full / (free + full)


@pytest.mark.parametrize("servers", [2, 5])
def test_m_m_c(replicate: Any, compare: Any, servers: int) -> None:
    load = 0.7
    samples = replicate(exponential, load, servers)
    name = f"M/M/{servers}, load {load}"
    waits = erlang_c(servers, load)
    compare(name, "P(waiting > 0), Erlang C", waits, [s.busy for s in samples], 0.08)
    compare(name, "mean waiting", waits / (servers * (1 - load)), [s.waiting.mean() for s in samples], 0.15)
    response = 1 + waits / (servers * (1 - load))
    compare(name, "mean response", response, [s.response.mean() for s in samples], 0.08)


@pytest.mark.parametrize(
    ("lengths", "load", "narrow"),
    [
        (deterministic, 0.5, 0.05),
        (deterministic, 0.8, 0.10),
        (hyperexponential, 0.6, 0.16),
        (bounded_pareto, 0.6, 0.15),
    ],
)
def test_m_g_1(replicate: Any, compare: Any, lengths: Lengths, load: float, narrow: float) -> None:
    """Pollaczek and Khinchine: waiting grows with the second moment of service; M/D/1 is the least."""
    samples = replicate(lengths, load)
    name = "M/D/1" if lengths is deterministic else f"M/G/1 ({lengths.__name__.replace('_', ' ')})"
    theory = load * SECOND_MOMENTS[lengths] / (2 * (1 - load))
    compare(f"{name}, load {load}", "mean waiting", theory, [s.waiting.mean() for s in samples], narrow)
