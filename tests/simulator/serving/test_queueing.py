"""Queueing theory: a replica that serves one prompt after the other is an M/D/1 queue."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.policies.batching.chunked_prefill import ChunkedPrefill
from simulator.serving.build import step_cost
from simulator.serving.work import chunk_pairs


def single_server(lab, load, requests, seed=1):
    """Return (scenario, service time in s): prompts of one step, no decodes, one at a time."""
    service = lab.llm(batching=ChunkedPrefill(token_budget=512, max_sequences=1))
    scenario = lab.scenario(lab.synthetic(requests=1), service)
    cost = step_cost(service, scenario.devices["gpu"])
    service_s = cost.step_s(512, pairs=chunk_pairs(0, 512))
    workload = lab.synthetic(rate=load / service_s, requests=requests, input_tokens=512, output_tokens=1)
    return lab.scenario(workload, service, seed=seed), service_s


def mean_and_error(values, batches=40):
    """Mean and its standard error from batch means, which are close to independent."""
    means = np.array([part.mean() for part in np.array_split(values, batches)])
    return means.mean(), means.std(ddof=1) / math.sqrt(batches)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_waiting_time_is_pollaczek_khinchine(lab, load):
    scenario, service_s = single_server(lab, load, 30_000)
    result = lab.run(scenario)
    columns = lab.columns(result)
    np.testing.assert_allclose(columns["finish_s"] - columns["admitted_s"], service_s, rtol=1e-6)
    wait_s, error_s = mean_and_error(columns["admitted_s"] - columns["arrival_s"])
    expected_s = load * service_s / (2.0 * (1.0 - load))
    assert abs(wait_s - expected_s) < 4.0 * error_s
    assert error_s < 0.05 * expected_s


def test_lindley_recursion_holds_request_by_request(lab):
    scenario, service_s = single_server(lab, 0.9, 3_000)
    columns = lab.columns(lab.run(scenario))
    free_s = 0.0
    for arrival_s, finish_s in zip(columns["arrival_s"], columns["finish_s"], strict=True):
        free_s = max(arrival_s, free_s) + service_s
        assert finish_s == pytest.approx(free_s, rel=1e-9)


def test_littles_law_and_the_utilisation_law(lab):
    load = 0.7
    scenario, service_s = single_server(lab, load, 30_000)
    result = lab.run(scenario)
    columns = lab.columns(result)
    rate = len(columns["arrival_s"]) / result.simulated_s
    assert result.devices["gpu"].busy_s == pytest.approx(rate * service_s * result.simulated_s)
    # Those left behind by a departure are as many as an observer sees at any time, one in service included.
    left_behind = result.intervals["chat"].column("waiting").astype(float)
    waiting, error = mean_and_error(left_behind)
    sojourn_s = (columns["finish_s"] - columns["arrival_s"]).mean()
    assert abs(waiting - rate * sojourn_s) < 4.0 * error
    assert waiting == pytest.approx(rate * sojourn_s, rel=1e-2)
