"""Intervals, tests and corrections against scipy and theory; what comparisons say of them; common random numbers."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from simulator.cli import main
from simulator.experiments import statistics
from simulator.experiments.compare import compare
from simulator.experiments.comparison import Comparison, Variant
from simulator.experiments.report import comparison_text
from simulator.experiments.statistics import (
    BATCH_REQUESTS,
    BOOTSTRAP_LEAST,
    LEAST_BATCHES,
    RESAMPLES,
    SIGNIFICANCE,
    Estimate,
    batch_means,
    bootstrap_intervals,
    holm,
    over_replications,
    paired,
    welch_half_width,
)
from simulator.metrics.cautions import LEAST_REQUESTS

SCENARIOS = Path(__file__).parents[3] / "scenarios"
BUDGET = "services.chat.policies.batching.token_budget"

SCENARIO = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, policies: {batching: {name: chunked_prefill, token_budget: 512}}}
workloads:
  chat: {trace: synthetic, service: chat, rate: 2/s, requests: 60, input_tokens: 1024,
         output_tokens: {distribution: uniform, low: 1, high: 16}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def test_a_paired_difference_is_a_paired_t_test() -> None:
    random = np.random.default_rng(1)
    base = random.normal(size=7)
    other = base + random.normal(0.4, 0.5, size=7)
    found = paired([*base, None, 2.0], [*other, 1.0, None])
    expected = stats.ttest_rel(other, base)
    assert found.values == 7, "pairs that lack one do not count"
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert found.mean is not None and found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_without_pairing_the_interval_is_welch_s() -> None:
    random = np.random.default_rng(2)
    first, second = random.normal(size=6), random.normal(0, 3, size=6)
    low, high = stats.ttest_ind(second, first, equal_var=False).confidence_interval()
    assert welch_half_width(first, second) == pytest.approx((high - low) / 2)
    assert welch_half_width(first, second[:1]) is None
    assert welch_half_width(np.ones(3), np.zeros(3)) == 0.0
    shared = random.normal(0, 10, size=6)
    alike = paired(first + shared, second + shared)
    assert alike.unpaired_half_width is not None and alike.half_width is not None
    assert alike.narrower_by == pytest.approx(alike.unpaired_half_width / alike.half_width)
    assert alike.narrower_by > 2, "what both share drops out of the pairs"


@pytest.mark.parametrize(
    ("other", "p"), [([1.0, 2.0, 3.0], 1.0), ([1.5, 2.5, 3.5], 0.0), ([None, None, 3.0], None)]
)
def test_differences_that_do_not_vary_leave_no_doubt(other: list[float | None], p: float | None) -> None:
    found = paired([1.0, 2.0, 3.0], other)
    assert found.p == p
    assert found.narrower_by is None, "nothing can be narrower than no width"


def test_holm_adjusts_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_the_chance_of_one_false_finding() -> None:
    random = np.random.default_rng(3)
    p_values = stats.ttest_1samp(random.normal(size=(2000, 10, 6)), 0.0, axis=2).pvalue
    wrong = np.mean([min(holm(list(row))) < SIGNIFICANCE for row in p_values])
    assert wrong == pytest.approx(SIGNIFICANCE, abs=0.015)
    assert np.mean(p_values.min(axis=1) < SIGNIFICANCE) > 0.3, "without the correction"


def test_a_bootstrap_is_deterministic_and_claims_nothing_of_few() -> None:
    sample = np.random.default_rng(4).exponential(size=BOOTSTRAP_LEAST).tolist()
    (alone,) = bootstrap_intervals([sample])
    few, whole, constant = bootstrap_intervals([sample[:-1], sample, [2.0] * 12])
    assert (few, whole, constant) == ((None, None), alone, (2.0, 2.0))
    low, high = alone
    assert low is not None and high is not None
    assert high - np.mean(sample) > np.mean(sample) - low, "a skewed sample has a skewed interval"


def test_a_bootstrap_interval_is_the_same_whatever_it_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values with ties too, whose resamples have the sample's very mean up to rounding."""
    random = np.random.default_rng(6)
    samples = [list(it) for it in random.integers(0, 3, size=(7, 12)) / 3.0]
    samples += [list(it) for it in random.normal(size=(7, 30))]
    alone = [bootstrap_intervals([sample])[0] for sample in samples]
    assert bootstrap_intervals(samples) == alone
    assert bootstrap_intervals(samples[::-1]) == alone[::-1]
    monkeypatch.setattr(statistics, "_SAMPLES_AT_ONCE", 3)
    monkeypatch.setattr(statistics, "_INDICES_AT_ONCE", 1000)
    assert bootstrap_intervals(samples) == alone, "in parts as well"


def test_a_bootstrap_interval_is_that_of_scipy() -> None:
    samples = [list(it) for it in np.random.default_rng(7).exponential(size=(5, 15))]
    for sample, found in zip(samples, bootstrap_intervals(samples), strict=True):
        interval = stats.bootstrap(
            (sample,), np.mean, n_resamples=RESAMPLES, method="BCa", random_state=np.random.default_rng(0)
        ).confidence_interval
        assert found == pytest.approx((interval.low, interval.high))


def test_many_bootstraps_take_little_memory() -> None:
    samples = np.random.default_rng(8).normal(size=(300, 100)).tolist()
    tracemalloc.start()
    bootstrap_intervals(samples)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 100e6


def test_an_estimate_comes_back_from_its_data() -> None:
    for it in (over_replications([1.0, 2.0, 4.0]), over_replications([1.0]), over_replications([])):
        back = Estimate.from_data(it.as_data())
        assert (back.mean, back.values) == (it.mean, it.values)
        assert back.half_width == pytest.approx(it.half_width)
    assert Estimate.from_data({"mean": 2.0}) == Estimate(2.0, None, 0)


def test_a_bootstrap_interval_covers_the_mean() -> None:
    samples = np.random.default_rng(5).exponential(size=(300, 20)).tolist()
    covered = np.mean([low <= 1.0 <= high for low, high in bootstrap_intervals(samples) if low and high])
    assert 0.88 <= covered <= 0.97


def test_json_has_both_intervals_and_p_values(
    scenario: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(scenario), "--json", "--quiet", "--out", str(tmp_path / "runs")]
    assert main(["compare", *arguments, "--vary", f"{BUDGET}=512,1024", "--replications", "10"]) == 0
    rows = json.loads(capsys.readouterr().out)
    statistics = rows[1]["statistics"]["services.chat.ttft_s.mean"]
    assert list(statistics) == ["mean", "low", "high", "values", "bootstrap_low", "bootstrap_high"]
    assert statistics["low"] < statistics["bootstrap_low"] < statistics["bootstrap_high"] < statistics["high"]
    difference = rows[1]["difference"]["services.chat.ttft_s.mean"]
    assert list(difference)[-3:] == ["p", "p_adjusted", "narrower_by"]
    assert 0 <= difference["p"] <= difference["p_adjusted"] <= 1
    assert rows[1]["difference"]["services.chat.tpot_s.p50"]["p_adjusted"] is None, (
        "the table does not show it"
    )
    assert main(["run", *arguments, "--replications", "3"]) == 0
    statistics = json.loads(capsys.readouterr().out)["statistics"]["services.chat.ttft_s.mean"]
    assert statistics["bootstrap_low"] is None, "three are too few"


def test_the_correction_counts_every_difference_of_the_table(scenario: Path) -> None:
    comparison = compare(scenario, {BUDGET: ["512", "1024", "1025"]}, replications=3)
    differences = {it.label: comparison.differences(it) for it in comparison.variants[1:]}
    assert len(comparison.headlines) == 5
    assert comparison.adjusted_p.keys() == {
        (label, it.path) for label in ("1024", "1025") for it in comparison.headlines
    }
    found = {key: differences[key[0]][key[1]].p for key in comparison.adjusted_p}
    least = min(found, key=lambda key: found[key] or 0.0)
    assert comparison.adjusted_p[least] == pytest.approx(min(1.0, 10 * (found[least] or 0.0)))
    text = comparison_text(comparison)
    marks = sum(p < SIGNIFICANCE for p in comparison.adjusted_p.values())
    assert marks > 0 and text.count("*") == marks + 1, "one behind each, one before what it means"
    assert "* differs from 0 at 5 % after the Holm–Bonferroni correction for all 10 differences shown" in text
    assert "Without common random numbers intervals would be so many times as wide: TTFT mean" in text


def test_variants_that_do_not_differ_have_no_mark(scenario: Path) -> None:
    comparison = compare(scenario, {"services.chat.block_tokens": ["16", "32"]})
    text = " ".join(comparison_text(comparison).split())
    assert "None of the 2 differences shown differs from 0 at 5 %" in text
    assert "t tests of batch means" in text
    assert "*" not in text and "Without common random numbers" not in text


@pytest.mark.parametrize(
    ("path", "varied", "overrides"),
    [
        ("bench/poisson.yaml", {BUDGET: ["512", "1024"]}, ["workloads.chat.requests=400"]),
        (
            "cake/agents.yaml",
            {"services.chat.policies.kv_loading": ["io_only", "cake"]},
            ["workloads.chat.requests=400"],
        ),
    ],
)
def test_common_random_numbers_narrow_differences(
    path: str, varied: dict[str, list[str]], overrides: list[str]
) -> None:
    """On shipped scenarios; what is claimed holds against runs that really have other random numbers."""
    figure = "services.chat.e2e_s.mean"
    comparison = compare(SCENARIOS / path, varied, overrides, replications=5)
    difference = comparison.differences(comparison.variants[1])[figure]
    assert difference.half_width is not None and difference.narrower_by is not None
    assert difference.narrower_by > 1.5
    others = {key: values[1:] for key, values in varied.items()}
    independent = compare(SCENARIOS / path, others, [*overrides, "seed=1000"], replications=5)
    base, other = (np.array(it.variants[0].statistics[figure].sample) for it in (comparison, independent))
    width = welch_half_width(base, other)
    assert width is not None and width / difference.half_width > 1.5


def test_notes_alike_are_one(scenario: Path) -> None:
    done = compare(scenario, {BUDGET: ["512", "1024"]}, replications=2)

    def noted(variant: Variant, *notes: tuple[str, ...]) -> Variant:
        outcomes = [replace(it, notes=note) for it, note in zip(variant.outcomes, notes, strict=True)]
        return replace(variant, outcomes=outcomes)

    first = noted(done.variants[0], ("services.a1: all",), ("services.a1: all", "services.a2: 3.5 of 4 (7)"))
    second = noted(
        done.variants[1], ("services.a1: all", "services.a2: 4 of 5 (8)"), ("services.a1: all", "one")
    )
    comparison = Comparison(done.name, done.vary, 2, [first, second])
    assert comparison.notes() == [
        "services.a1: all",
        "services.a2: 3.5 of 4 (7) [2 of 4 runs; numbers of the first]",
        "one [1024; 1 of 4 runs]",
    ]


def test_a_warm_up_is_left_out_of_paired_differences(scenario: Path) -> None:
    vary = {BUDGET: ["512", "1024"]}
    comparison = compare(scenario, vary, ["warmup=10 s"])
    base, other = comparison.variants
    figure = "services.chat.e2e_s.mean"
    means = [it.statistics[figure].mean for it in (other, base)]
    assert means[0] is not None and means[1] is not None
    assert comparison.differences(other)[figure].mean == pytest.approx(means[0] - means[1])
    whole = compare(scenario, vary)
    assert (
        comparison.differences(other)[figure].values
        < whole.differences(whole.variants[1])[figure].values
        == 6
    )


def test_batch_means_need_as_many_requests_as_notes_say() -> None:
    assert LEAST_BATCHES * BATCH_REQUESTS == LEAST_REQUESTS
    values = np.random.default_rng(6).normal(size=LEAST_REQUESTS)
    assert batch_means(values).p is not None
    assert batch_means(values[1:]).p is None
    assert over_replications([]).mean is None and paired([], []).p is None
