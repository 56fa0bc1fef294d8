"""Comparisons: common random numbers, pairing, intervals; and the tables that show them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import simulator
from devices.errors import InputError
from simulator.experiments.compare import COMPARISON, compare
from simulator.experiments.comparison import flatten
from simulator.experiments.report import comparison_text
from simulator.experiments.run_store import load_run, read_manifest
from simulator.experiments.statistics import batch_means, over_replications
from simulator.experiments.tables import Figures, Group, figure_tables, text_table

KV_LOADING = "services.chat.policies.kv_loading"
POLICIES = ["compute_only", "io_only", "cake"]

SCENARIO = """\
version: 1
name: small
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
  disk: {profile: nvme-gen4, bandwidth: 32 Gbit/s}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, kv_tiers: [disk]}
workloads:
  chat: {trace: synthetic, service: chat, rate: 2/s, requests: 60, input_tokens: 1024,
         output_tokens: {distribution: uniform, low: 1, high: 16}, stored: {tier: disk}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def test_variants_see_the_same_arrivals(scenario: Path) -> None:
    comparison = compare(scenario, {KV_LOADING: POLICIES})
    seen = [variant.outcomes[0].observations["chat"] for variant in comparison.variants]
    for one in seen[1:]:
        np.testing.assert_array_equal(one.order, seen[0].order)
        np.testing.assert_array_equal(one.key, seen[0].key)
    assert len(set(seen[0].order)) == 60
    assert not np.array_equal(seen[0].figures["ttft_s.mean"], seen[1].figures["ttft_s.mean"])


def test_a_paired_difference_is_the_mean_over_requests(scenario: Path) -> None:
    comparison = compare(scenario, {KV_LOADING: POLICIES})
    base, _, cake = comparison.variants
    difference = comparison.differences(cake)["services.chat.ttft_s.mean"]
    means = [variant.statistics["services.chat.ttft_s.mean"].mean for variant in (cake, base)]
    assert means[0] is not None and means[1] is not None
    assert difference.mean == pytest.approx(means[0] - means[1])
    assert difference.half_width is not None and difference.values == 6, "batches of ten requests"
    assert comparison.differences(base)["services.chat.ttft_s.mean"].mean == 0


def test_one_replication_claims_no_interval_over_replications(scenario: Path) -> None:
    comparison = compare(scenario, {KV_LOADING: POLICIES})
    assert all(it.half_width is None for it in comparison.variants[0].statistics.values())
    text = comparison_text(comparison)
    assert "by batch means" in text
    assert "±" not in text.partition("Paired difference")[0]
    assert all("statistics" not in row and row["summary"] for row in comparison.as_data())


def test_replications_give_intervals_that_pairing_narrows(scenario: Path) -> None:
    comparison = compare(scenario, {KV_LOADING: ["compute_only", "io_only"]}, replications=4)
    path = "services.chat.e2e_s.mean"
    base, cake = comparison.variants
    values = [
        outcome.summary["services"]["chat"]["e2e_s"]["mean"] for outcome in cake.outcomes if outcome.summary
    ]
    assert cake.statistics[path].mean == pytest.approx(np.mean(values))
    assert cake.statistics[path].half_width == pytest.approx(3.182446 * np.std(values, ddof=1) / 2, rel=1e-5)
    difference = comparison.differences(cake)[path]
    unpaired = np.hypot(base.statistics[path].half_width or 0, cake.statistics[path].half_width or 0)
    assert difference.half_width is not None and difference.half_width < unpaired
    assert "over 4 replications" in comparison_text(comparison)
    first, second = comparison.as_data()
    assert (
        "difference" not in first and second["difference"][path]["low"] < second["difference"][path]["high"]
    )


def test_several_paths_give_every_combination(scenario: Path) -> None:
    vary = {KV_LOADING: ["io_only", "cake"], "devices.disk.bandwidth": ["8 Gbit/s", "32 Gbit/s"]}
    comparison = compare(scenario, vary)
    assert [variant.label for variant in comparison.variants] == [
        "io_only, 8 Gbit/s",
        "io_only, 32 Gbit/s",
        "cake, 8 Gbit/s",
        "cake, 32 Gbit/s",
    ]
    slow, fast = (variant.statistics["services.chat.ttft_s.mean"].mean for variant in comparison.variants[:2])
    assert slow is not None and fast is not None and slow > fast


def test_an_executor_changes_nothing(scenario: Path) -> None:
    serial = compare(scenario, {KV_LOADING: POLICIES}, replications=2)
    with ThreadPoolExecutor(2) as executor:
        parallel = compare(scenario, {KV_LOADING: POLICIES}, replications=2, executor=executor)
    assert comparison_text(serial) == comparison_text(parallel)
    assert serial.as_data() == parallel.as_data()


def test_a_comparison_s_folder_holds_its_runs(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    vary = {"devices.disk.bandwidth": ["8 Gbit/s", "9 Gbit/s"]}
    comparison = compare(scenario, vary, out=out, replications=2)
    assert comparison.folder is not None and [comparison.folder] == list(out.iterdir())
    assert comparison.folder.name.startswith("small-compare-")
    manifest = read_manifest(comparison.folder, "comparison")
    runs = [name for variant in manifest["variants"] for name in variant["runs"]]
    assert len(set(runs)) == 4
    for name, outcome in zip(runs, [o for v in comparison.variants for o in v.outcomes], strict=True):
        run = load_run(comparison.folder / name)
        assert run.summary == outcome.summary
        assert run.manifest["wall_s"] > 0
    assert json.loads((comparison.folder / COMPARISON).read_text()) == comparison.as_data()
    assert compare(scenario, vary, out=out, replications=2).folder == comparison.folder


def test_faults_of_variants_are_collected(scenario: Path, tmp_path: Path) -> None:
    vary = {KV_LOADING: ["cake", "cakes"], "devices.disk.bandwidth": ["8 Gbit/s", "8 GB"]}
    with pytest.raises(InputError) as caught:
        compare(scenario, vary, out=tmp_path / "runs")
    messages = [str(fault) for fault in caught.value.faults]
    assert len(messages) == 2, "each once, although each is in two variants"
    assert all(message.startswith("--vary: ") for message in messages)
    assert not (tmp_path / "runs").exists()


def test_flatten_keeps_figures_only() -> None:
    summary = {"scenario": "x", "seed": 3, "a": {"b": 1, "kind": "llm", "c": {"d": None}}}
    assert flatten(summary) == {"a.b": 1, "a.c.d": None}


def test_batch_means_cover_the_mean_of_a_correlated_series() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        values = np.empty(4000)
        values[0] = random.normal()
        noise = random.normal(size=4000)
        for i in range(1, 4000):
            values[i] = 0.8 * values[i - 1] + noise[i]
        estimate = batch_means(values)
        assert estimate.mean is not None and estimate.half_width is not None
        covered += abs(estimate.mean) <= estimate.half_width
    assert 0.88 <= covered / 200 <= 0.99


def test_too_few_values_give_no_interval() -> None:
    assert batch_means(np.arange(49.0)).half_width is None
    assert batch_means(np.array([])).mean is None
    assert over_replications([2.0]).half_width is None
    assert over_replications([None, None]).mean is None
    assert over_replications([1.0, None, 3.0]).mean == 2.0


def test_tables_fold_at_the_width_and_scale_their_units() -> None:
    groups = [
        Group(f"latency {i}", [Figures(name, [0.00123, None], unit="s") for name in ("mean", "p50", "p99")])
        for i in range(5)
    ]
    text = figure_tables(["first", "second"], groups, "policy")
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("policy") == 2 and text.count("(ms)") == 5
    assert "1.230" in text and "-" in text


def test_intervals_decide_how_many_digits_are_shown() -> None:
    column = Figures("mean", [1.23456, -2.0], [0.0123, None], "s", signed=True)
    assert "+1.235 ± 0.012" in figure_tables(["a", "b"], [Group("x", [column])])
    assert "-2.000" in figure_tables(["a", "b"], [Group("x", [column])])


def test_text_tables_are_aligned() -> None:
    assert text_table(["name", "n"], [["a", "10"], ["long", "5"]]) == "name   n\na     10\nlong   5\n"


def test_notebooks_need_three_functions(scenario: Path) -> None:
    loaded = simulator.load(scenario, **{"services.chat.replicas": 1, KV_LOADING: "cake"})
    assert loaded.services["chat"].replicas == 1
    run = simulator.run(scenario, **{KV_LOADING: "cake"})
    assert run.summary() == simulator.run(loaded).summary()
    frame = run.frame()
    assert len(frame) == 60 and set(frame["status"]) == {"completed"}
    assert frame["arrival_s"].is_monotonic_increasing
    summary = run.summary()["services"]["chat"]
    for metric in ("ttft_s", "tpot_s", "e2e_s"):
        assert frame[metric].mean() == pytest.approx(summary[metric]["mean"])
    table = simulator.compare(scenario, {KV_LOADING: POLICIES}, replications=2).frame()
    assert list(table[KV_LOADING]) == [policy for policy in POLICIES for _ in range(2)]
    assert set(table["status"]) == {"succeeded"} and (table["services.chat.ttft_s.mean"] > 0).all()
    assert simulator.__version__
    with pytest.raises(AttributeError):
        _ = simulator.nonsense
    with pytest.raises(KeyError, match="chat"):
        run.frame("chit")
