"""The readers on the public traces: row counts and the figures published for them."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.workloads.arrival_spec import ReplayedRate
from simulator.workloads.spec import AzureTrace, MooncakeTrace, ShareGptTrace, Synthetic
from simulator.workloads.statistics import describe, prefix_hit_rate


@pytest.mark.parametrize(
    ("name", "rows", "rate", "cv", "inputs", "outputs"),
    [
        ("code", 8_819, 2.57, 13.2, (2_048, 1_469, 5_194, 7_436), (28, 13)),
        ("conv", 19_366, 5.53, 1.09, (1_155, 1_020, 2_735, 4_142), (211, 129)),
    ],
)
def test_azure_2023(make, real, name, rows, rate, cv, inputs, outputs):
    path = str(real(f"azure_llm_2023/AzureLLMInferenceTrace_{name}.csv"))
    figures = describe(make(AzureTrace(trace="azure", service="chat", path=path)))
    assert figures.requests == rows
    assert figures.rate_per_s == pytest.approx(rate, abs=0.005)
    assert figures.gap_cv == pytest.approx(cv, rel=0.005)
    spread = figures.input_tokens
    assert (spread.mean, spread.p50, spread.p90, spread.p99) == pytest.approx(inputs, rel=0.002)
    assert figures.output_tokens.mean == pytest.approx(outputs[0], abs=0.5)
    assert figures.output_tokens.p50 == outputs[1]


def test_mooncake_conversation(make, real):
    path = str(real("mooncake_fast25/conversation_trace.jsonl"))
    requests = make(MooncakeTrace(trace="mooncake", service="chat", path=path))
    figures = describe(requests)
    assert figures.requests == 12_031
    assert figures.rate_per_s == pytest.approx(3.40, abs=0.005)
    spread = figures.input_tokens
    assert (spread.mean, spread.p50, spread.p90, spread.p99) == pytest.approx(
        (12_035, 6_909, 27_367, 85_401), rel=1e-4
    )
    assert figures.output_tokens.mean == pytest.approx(343, abs=0.5)
    assert figures.prefix_hit_rate == pytest.approx(0.366, abs=0.0005)
    assert prefix_hit_rate(requests, len(set(requests.hash_ids.tolist()))) == figures.prefix_hit_rate
    assert requests.notes == ()


def test_mooncake_synthetic(make, real):
    path = str(real("mooncake_fast25/synthetic_trace.jsonl"))
    figures = describe(make(MooncakeTrace(trace="mooncake", service="chat", path=path)))
    assert figures.requests == 3_993
    assert figures.rate_per_s == pytest.approx(3.91, abs=0.005)
    assert figures.input_tokens.mean == pytest.approx(15_325, abs=1)
    assert figures.output_tokens.mean == pytest.approx(149, abs=0.5)
    assert figures.prefix_hit_rate == pytest.approx(0.640, abs=0.0005)


def test_sharegpt_300(make, real):
    path = str(real("sharegpt_300/requests_no_timings.csv"))
    workload = ShareGptTrace(
        trace="sharegpt", service="chat", path=path, hardware="RTXPRO6000", model="Qwen3-32B"
    )
    assert len(make(workload)) == 300


def test_servegen_rates(make, real):
    arrivals = ReplayedRate(str(real("servegen/total_rate_10min.csv")), {"model": "deepseek-r1"})
    workload = Synthetic(
        trace="synthetic", service="chat", input_tokens=1, output_tokens=1, arrivals=arrivals, duration=600.0
    )
    n = len(make(workload))
    assert n == pytest.approx(14.8633 * 600, abs=4 * np.sqrt(14.8633 * 600))
