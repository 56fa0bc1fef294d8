"""Who of those that wait is admitted next: priorities and deadlines against theory, and by the order itself."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.policies.registry import PolicyError
from simulator.scenario.spec import Scenario
from simulator.serving.build import step_cost
from simulator.serving.work import chunk_pairs
from simulator.workloads.slo import SloClass

URGENT, CALM = SloClass("urgent", 2, ttft=1.0), SloClass("calm", 1, ttft=30.0)


def server(lab, queueing):
    """Return a service that serves one prompt of one step after the other, and the time of one, in s."""
    service = lab.llm(batching=ChunkedPrefill(token_budget=512, max_sequences=1), queueing=queueing)
    cost = step_cost(service, lab.scenario(lab.synthetic(requests=1), service).devices["gpu"])
    return service, cost.step_s(512, pairs=chunk_pairs(0, 512))


def two_classes(lab, queueing, load, share, requests, **fields) -> tuple[Scenario, float]:
    """Poisson arrivals of two classes, `share` of the load urgent, and the time of one service."""
    service, service_s = server(lab, queueing)
    rates = {"urgent": share * load / service_s, "calm": (1.0 - share) * load / service_s}
    workloads = {
        slo.name: lab.synthetic(
            rate=rates[slo.name],
            requests=round(requests * rates[slo.name] / sum(rates.values())),
            input_tokens=512,
            output_tokens=1,
            slo=slo,
        )
        for slo in (URGENT, CALM)
    }
    return lab.scenario(workloads, service, **fields), service_s


def waits(result):
    """Return what requests have waited by workload, in order of arrival, in s."""
    table = result.requests["chat"]
    order = np.argsort(table.column("arrival_s"))
    wait_s = (table.column("admitted_s") - table.column("arrival_s"))[order]
    return {name: wait_s[table.column("workload")[order] == name] for name in ("urgent", "calm")}


def test_priorities_wait_as_cobham_says(lab):
    """M/D/1 with two classes, nobody interrupted (Cobham 1954): W1 = R / (1 - r1), W2 = W1 / (1 - r)."""
    load, share = 0.8, 0.4
    scenario, service_s = two_classes(lab, "priority", load, share, 40_000, seed=3)
    residual_s = 0.5 * load * service_s
    expected = {"urgent": residual_s / (1.0 - share * load)}
    expected["calm"] = expected["urgent"] / (1.0 - load)
    for name, wait_s in waits(lab.run(scenario)).items():
        means = np.array([part.mean() for part in np.array_split(wait_s, 40)])
        error_s = means.std(ddof=1) / np.sqrt(40)
        assert abs(means.mean() - expected[name]) < 4.0 * error_s
        assert error_s < 0.06 * expected[name]


def test_the_order_moves_waiting_around_and_makes_none(lab):
    """Kleinrock's conservation law: with services of one length the mean over all is that of any order."""
    means = set()
    for queueing in ("fcfs", "priority", "earliest_deadline"):
        scenario, _ = two_classes(lab, queueing, 0.9, 0.5, 3_000)
        table = lab.run(scenario).requests["chat"]
        means.add(round(float((table.column("admitted_s") - table.column("arrival_s")).mean()), 9))
    assert len(means) == 1


def test_nobody_is_admitted_before_an_earlier_deadline_that_waits(lab):
    scenario, _ = two_classes(lab, "earliest_deadline", 0.95, 0.5, 2_000)
    table = lab.run(scenario).requests["chat"]
    arrival, admitted = table.column("arrival_s"), table.column("admitted_s")
    due = arrival + np.where(table.column("workload") == "urgent", URGENT.ttft, CALM.ttft)
    overtaken = 0
    for i in range(len(table)):
        waiting = (arrival < admitted[i]) & (admitted > admitted[i])
        assert not (waiting & (due < due[i])).any()
        overtaken += int((waiting & (arrival < arrival[i])).sum())
    assert overtaken > 100


@pytest.mark.parametrize("queueing", ["priority", "earliest_deadline"])
def test_without_classes_every_order_is_first_come_first_served(lab, queueing):
    runs = []
    for order in (queueing, "fcfs"):
        service, service_s = server(lab, order)
        workload = lab.synthetic(rate=0.9 / service_s, requests=500, input_tokens=512, output_tokens=1)
        runs.append(lab.columns(lab.run(lab.scenario(workload, service))))
    for name, values in runs[0].items():
        assert (values == runs[1][name]).all()


def test_memory_is_taken_from_the_least_priority(lab, guarded):
    """Twenty requests that outgrow memory; the last four, which alone would fit, matter more."""
    rows = [(0.01 * i, 100, 300) for i in range(16)]
    late = [(0.16 + 0.01 * i, 100, 300) for i in range(4)]
    preempted = {}
    for queueing in ("fcfs", "priority"):
        workloads = {"calm": lab.trace(rows, slo=CALM), "urgent": lab.trace(late, slo=URGENT)}
        table = lab.run(lab.scenario(workloads, lab.llm(queueing=queueing), memory=18.5e9)).requests["chat"]
        assert (table.column("status") == 1).all()
        preempted[queueing] = {
            name: int(table.column("preemptions")[table.column("workload") == name].sum())
            for name in workloads
        }
    assert preempted["fcfs"]["urgent"] > 0
    assert preempted["priority"]["urgent"] == 0
    assert preempted["priority"]["calm"] > 0


@pytest.mark.parametrize("queueing", ["priority", "earliest_deadline"])
def test_runs_of_steps_equal_single_steps(lab, queueing):
    for seed in range(40):
        rng = random.Random(seed)
        block = rng.choice([0, 32])
        workloads = {
            slo.name: lab.trace(
                lab.random_rows(rng, block, 900, 200), hash_block_tokens=block or 512, slo=slo
            )
            for slo in (URGENT, CALM)
        }
        batching = ChunkedPrefill(token_budget=rng.choice([64, 512]), max_sequences=rng.choice([None, 3]))
        scenario = lab.scenario(
            workloads, lab.llm(queueing=queueing, batching=batching, replicas=rng.choice([1, 2]))
        )
        tables = [lab.run(scenario, step_by_step=flag).requests["chat"] for flag in (False, True)]
        # who comes to an end at one instant may come in any order
        orders = [np.lexsort([it.column("workload").astype(str), it.column("request")]) for it in tables]
        for name in ("admitted_s", "first_token_s", "finish_s", "computed_tokens", "resident_tokens"):
            one, other = (it.column(name)[order] for it, order in zip(tables, orders, strict=True))
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12, err_msg=f"{seed}: {name}")


@dataclass(frozen=True, slots=True)
class Undecided:
    """Says nothing that can be sorted."""

    def key(self, request):
        """Return no number."""
        return float("nan")


def test_a_key_that_is_no_number_names_the_policy(lab):
    scenario = lab.scenario(lab.synthetic(requests=1), lab.llm(queueing=Undecided()))
    with pytest.raises(PolicyError, match="queueing policy of class Undecided decided the key nan"):
        lab.run(scenario)
