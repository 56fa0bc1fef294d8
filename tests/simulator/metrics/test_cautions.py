"""Notes of overload and of short runs: silent where a queue is stable, said where it is not."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import simulator
from simulator.metrics.overload import LEAST_ARRIVALS, overload
from simulator.scenario import load_text
from simulator.world import RunResult, simulate

SCENARIOS = Path(__file__).parents[3] / "scenarios"

SCENARIO = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu}
workloads:
  chat: {trace: synthetic, service: chat, rate: 4/s, requests: 600, input_tokens: 512, output_tokens: 16}
"""

Series = tuple[NDArray[np.float64], NDArray[np.float64]]


def queue(seed: int, requests: int, load: float, servers: int = 1) -> Series:
    """Return arrivals and departures of an M/M/c queue, first come, first served; service takes 1 s on average."""
    random = np.random.default_rng(seed)
    arrival_s = np.cumsum(random.exponential(1.0 / (load * servers), requests))
    free_s = [0.0] * servers
    finish_s = np.empty(requests)
    for place, (arrival, takes) in enumerate(zip(arrival_s, random.exponential(size=requests), strict=True)):
        finish_s[place] = max(arrival, heapq.heappop(free_s)) + takes
        heapq.heappush(free_s, finish_s[place])
    return arrival_s, finish_s


def share_found(requests: int, load: float, servers: int = 1, seeds: int = 200) -> float:
    found = [overload(*queue(seed, requests, load, servers)) is not None for seed in range(seeds)]
    return float(np.mean(found))


def said(result: RunResult, about: str) -> list[str]:
    return [note for note in result.notes if f": {about}: " in note]


def small(*overrides: str) -> RunResult:
    return simulate(load_text(SCENARIO, overrides))


@pytest.mark.parametrize("servers", [1, 16])
@pytest.mark.parametrize("requests", [100, 300, 1000])
def test_a_stable_queue_is_not_overloaded(requests: int, servers: int) -> None:
    assert share_found(requests, 0.5, servers) == 0.0
    assert share_found(requests, 0.8, servers) <= 0.01
    assert share_found(requests, 1.0, servers) <= 0.06, "on the edge it is a matter of chance"


def test_a_growing_queue_is_overloaded() -> None:
    assert share_found(3000, 1.2, seeds=60) > 0.95
    assert share_found(1000, 1.5, seeds=60) > 0.95
    assert share_found(100, 3.0, seeds=60) > 0.95


def test_the_rates_are_those_of_the_queue() -> None:
    arrival_s, finish_s = queue(1, 20_000, 1.25)
    found = overload(arrival_s, finish_s)
    assert found is not None
    assert found.offered_per_s == pytest.approx(1.25, rel=0.03)
    assert found.served_per_s == pytest.approx(1.0, rel=0.03)
    assert found.in_system == int((finish_s > arrival_s[-1]).sum())
    order = np.random.default_rng(0).permutation(len(arrival_s))
    assert overload(arrival_s[order], finish_s[order]) == found, "in any order"


def test_requests_that_are_cut_off_count_as_waiting() -> None:
    arrival_s, finish_s = queue(2, 2000, 2.0)
    cut = finish_s > arrival_s[-1]
    found = overload(arrival_s, np.where(cut, np.inf, finish_s))
    assert found is not None and found.in_system == cut.sum()
    arrival_s, finish_s = queue(2, 2000, 0.8)
    assert overload(arrival_s, np.where(finish_s > arrival_s[-1], np.inf, finish_s)) is None


def test_a_service_that_still_fills_up_is_not_overloaded() -> None:
    """As many in service as arrive during the whole run: nothing waits, and nobody takes longer than the first."""
    arrival_s = np.sort(np.random.default_rng(3).uniform(0.0, 100.0, 1000))
    assert overload(arrival_s, arrival_s + 90.0) is None
    assert overload(arrival_s, np.where(arrival_s + 90.0 < 100.0, arrival_s + 90.0, np.inf)) is None


def test_a_rate_that_drifts_is_no_overload() -> None:
    random = np.random.default_rng(4)
    arrival_s = np.sort(1000.0 * np.sqrt(random.uniform(size=20_000)))
    assert overload(arrival_s, arrival_s + random.exponential(1.0, 20_000)) is None


def test_of_few_requests_or_none_over_time_nothing_is_claimed() -> None:
    assert overload(np.arange(LEAST_ARRIVALS - 1.0), np.full(LEAST_ARRIVALS - 1, np.inf)) is None
    assert overload(np.zeros(500), np.arange(500.0)) is None
    assert overload(np.empty(0), np.empty(0)) is None


def test_notes_say_overload_with_both_rates() -> None:
    assert said(small(), "overloaded") == []
    assert said(small("workloads.chat.rate=12/s"), "overloaded") == []
    (note,) = said(small("workloads.chat.rate=60/s", "workloads.chat.requests=1500"), "overloaded")
    assert note.startswith("services.chat: overloaded: ")
    assert "requests arrive and" in note and "are answered per second" in note


def test_what_comes_at_once_or_in_a_loop_has_no_load() -> None:
    for arrivals in ("at_once", "{process: closed, concurrency: 4}"):
        result = small(f"workloads.chat.arrivals={arrivals}", "workloads.chat.requests=200")
        assert said(result, "overloaded") == said(result, "too short") == []


def test_notes_say_what_is_too_short() -> None:
    assert said(small(), "too short") == []
    (few,) = said(small("workloads.chat.requests=30"), "too short")
    assert "30 requests completed, too few for an interval by batch means (50)" in few
    (tail,) = said(small("workloads.chat.requests=200"), "too short")
    assert "p99 stands on 2 of 200 requests" in tail
    (brief,) = said(small("workloads.chat.output_tokens=400", "workloads.chat.requests=80"), "too short")
    assert "p99 stands on 1 of 80 requests; requests arrive for" in brief
    assert "less than 10 times their mean E2E of" in brief


def test_notes_say_where_mser5_finds_nothing() -> None:
    (note,) = said(small("workloads.chat.requests=45", "warmup=mser5"), "too short")
    assert note.endswith("MSER-5 finds no steady state, so that nothing is left out")
    assert said(small("warmup=mser5"), "too short") == []


def test_notes_are_of_the_run_and_not_in_its_summary() -> None:
    result = small("workloads.chat.requests=30")
    assert result.notes == small("workloads.chat.requests=30").notes
    summary: Any = result.summary()
    assert "too short" not in str(summary)


@pytest.mark.parametrize("name", ["single", "burst", "fluctuation"])
def test_shipped_scenarios_without_a_load_have_no_such_note(name: str) -> None:
    result = simulate(simulator.load(SCENARIOS / f"cake/{name}.yaml"))
    assert said(result, "overloaded") == said(result, "too short") == []
