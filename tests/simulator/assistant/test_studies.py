"""What studies make of runs with an assistant: figures of an SLO, pairs of questions, citations, tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.experiments.compare import compare
from simulator.experiments.evidence import citations
from simulator.experiments.report import comparison_text
from simulator.experiments.slo import parse_slo, unknown_figures
from simulator.scenario.load import load

SCENARIO = Path(__file__).parents[3] / "scenarios/cluster/placement.yaml"


def test_an_slo_may_name_figures_of_an_assistant() -> None:
    slo = parse_slo(
        "ttft_s.p99<=2,qoe.p10>=0.9,places.device.share<=0.5,energy_per_ask_j.mean<=1,gpu_busy_share<=1"
    )
    unknown = unknown_figures(slo, load(SCENARIO), "ask")
    assert len(unknown) == 1
    assert "gpu_busy_share" in unknown[0].message


def test_questions_are_paired_and_the_tables_tell_where_they_went() -> None:
    vary = {"services.ask.policies.placement": ["edge_only", "device_only"]}
    found = compare(
        SCENARIO,
        vary,
        [
            "workloads.questions.requests=60",
            "workloads.questions.rate=2/s",
            "workloads.questions.slo={ttft: 1 s}",
        ],
    )
    differences = found.differences(found.variants[1])
    edge, device = (variant.statistics for variant in found.variants)
    for path in ("e2e_s.mean", "energy_per_ask_j.mean", "qoe.mean"):
        name = f"services.ask.{path}"
        apart = differences[name].mean
        if device["services.ask.requests.failed"].mean == 0.0:
            assert apart == pytest.approx(device[name].mean - edge[name].mean)
        assert np.isfinite(apart)
    assert differences["services.ask.energy_per_ask_j.mean"].mean > 5.0
    text = comparison_text(found)
    assert "SLO kept" in text
    assert "Service ask: 40x galaxy-s22-plus" in text
    assert "answered at (%)" in text
    assert "least possible" in text


def test_what_is_assumed_is_cited_as_assumed() -> None:
    values = {it.field: it for it in citations(load(SCENARIO, ["services.ask.answer_token_bytes=100 B"]))}
    for field in (
        "prompt_token_bytes",
        "expected_answer_tokens",
        "places.edge.quality",
        "llm.llama-3.2-3b.power_w",
    ):
        assert values[field].kind == "assumed"
    assert values["answer_token_bytes"].kind == "scenario"
    assert values["llm.llama-3.2-3b.decode_tokens_per_s"].kind == "measured"
    assert values["radios.5g-low-up.base_w"].value == pytest.approx(3.199)
    assert "radios.lte-down.base_w" not in values
