"""Measured TTFT with and without a stored prefix: a target that no fit has seen, and what must hold in any case."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import pytest

from devices.errors import InputError
from simulator.experiments.reproduce_kv_load import (
    COMPUTING,
    LOADING,
    METRICS,
    cell_scenario,
    cell_ttft_s,
    columns,
    errors,
    missing,
    notes,
    predict,
    published_cells,
    read,
    report_kv_load,
    reproduce_kv_load,
)
from simulator.serving.build import step_cost
from simulator.serving.engines import load_engine

CELL: dict[str, Any] = {
    "model": "qwq-32b",
    "gpu": "h100-80g-sxm",
    "num_gpus": 2,
    "precision": "bf16",
    "engine": "vllm-0.12",
    "store": "store-3fs-2x2nvme",
    "input_tokens": 16000,
    "hit_rate": 0.8,
    "concurrency": 1,
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return reproduce_kv_load()


def median_error(rows: list[dict[str, Any]], metric: str) -> float:
    return statistics.median(abs(error) for error in errors(rows, metric))


@pytest.mark.parametrize("metric", METRICS)
def test_cells_whose_parts_are_modelled_are_within_20_percent(
    rows: list[dict[str, Any]], metric: str
) -> None:
    modelled = [row for row in rows if not missing(row)]
    assert {row["model"] for row in modelled} == {"qwq-32b"}
    assert len(modelled) == 13
    assert median_error(modelled, metric) <= 0.20


@pytest.mark.xfail(
    strict=True,
    reason="half the cells hang on what is not modelled (network between nodes, 4-bit kernels): all together miss",
)
@pytest.mark.parametrize("metric", METRICS)
def test_all_cells_are_within_20_percent(rows: list[dict[str, Any]], metric: str) -> None:
    assert len(rows) == 26
    assert median_error(rows, metric) <= 0.20


def test_what_is_not_modelled_makes_us_too_fast_and_is_said(rows: list[dict[str, Any]]) -> None:
    apart = [row for row in rows if missing(row)]
    assert all(error < 0 for metric in METRICS for error in errors(apart, metric))
    said = "\n".join(notes(rows))
    assert "deepseek-v3 on 16x h20: the network between nodes" in said
    assert "deepseek-r1 on 8x h100-80g-sxm: kernels with 4-bit weights" in said


def test_outputs_do_not_come_from_the_measurements(rows: list[dict[str, Any]]) -> None:
    for row, ours in zip(published_cells()[::5], rows[::5], strict=True):
        without = {key: row[key] for key in columns()}
        assert predict(without) == {metric: ours[metric] for metric in METRICS}


def test_a_prompt_without_hits_costs_what_computing_it_does() -> None:
    row = {**CELL, "hit_rate": 1e-6}  # less than a block is stored
    assert cell_ttft_s(row, LOADING) == cell_ttft_s(row, COMPUTING)


def test_the_less_is_loaded_the_longer_it_takes() -> None:
    times_s = [cell_ttft_s({**CELL, "hit_rate": share}, LOADING) for share in (1.0, 0.8, 0.5, 0.2)]
    assert times_s == sorted(times_s)
    assert times_s[-1] < cell_ttft_s(CELL, COMPUTING)


def test_loading_is_reading_the_blocks_then_computing_the_rest() -> None:
    stored = 100 * 128  # 16,000 tokens x 0.8 are whole blocks
    scenario = cell_scenario(CELL, LOADING)
    cost = step_cost(scenario.services["llm"], scenario.devices["gpu"])
    engine = load_engine("vllm-0.12")
    expected_s = 100 * (128 * 262_144 / 27.6e9 + 2e-6) + 200e-6
    expected_s += cost.prefill_s(stored, 16_000, engine.default_token_budget)
    expected_s += engine.kv_load_overhead_s + engine.request_overhead_s
    assert cell_ttft_s(CELL, LOADING) == pytest.approx(expected_s, rel=1e-6)


@pytest.mark.parametrize("model", ["qwq-32b", "deepseek-r1"])
def test_a_fast_store_never_costs_more_than_computing_and_the_overhead(model: str) -> None:
    for tokens in (256, 2000, 16000):
        row = {**CELL, "model": model, "num_gpus": 8, "precision": "fp8", "input_tokens": tokens}
        row |= {"store": "dram-pcie5", "gpu": "h200-sxm"}
        limit_s = cell_ttft_s(row, COMPUTING) + load_engine("vllm-0.12").kv_load_overhead_s
        assert cell_ttft_s(row, LOADING) <= limit_s


def test_latent_attention_loads_a_narrow_cache() -> None:
    row = {**CELL, "model": "deepseek-v3", "num_gpus": 8, "gpu": "h200-sxm", "precision": "fp8"}
    slow, fast = ({**row, "store": store} for store in ("sata-ssd", "ideal-store"))
    gained_s = cell_ttft_s(slow, LOADING) - cell_ttft_s(fast, LOADING)
    dense_s = cell_ttft_s({**CELL, "store": "sata-ssd"}, LOADING) - cell_ttft_s(
        {**CELL, "store": "ideal-store"}, LOADING
    )
    assert gained_s / dense_s == pytest.approx(70_272 / 262_144, rel=0.05)


def test_4_bit_weights_are_read_faster_but_not_multiplied_faster() -> None:
    def step_s(precision: str, tokens: int) -> float:
        scenario = cell_scenario({**CELL, "precision": precision}, COMPUTING)
        return step_cost(scenario.services["llm"], scenario.devices["gpu"]).step_s(tokens)

    assert step_s("int4", 1) < step_s("fp8", 1) < step_s("bf16", 1)
    assert step_s("fp8", 8192) < step_s("bf16", 8192) < step_s("int4", 8192)


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    row = {**CELL, "model": "deepseek-r1", "num_gpus": 8}
    read(write(tmp_path / "fits.csv", [{**row, "precision": "int4"}]))
    with pytest.raises(InputError, match="does not fit on 8 x h100-80g-sxm"):
        read(write(tmp_path / "cells.csv", [{**row, "precision": "fp8"}]))


def test_requests_in_flight_share_the_store_and_the_gpus() -> None:
    alone, together = (cell_ttft_s({**CELL, "concurrency": count}, LOADING) for count in (1, 4))
    assert alone < together < 4 * alone


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_cells_from_a_file_keep_their_columns(tmp_path: Path) -> None:
    measured = {**CELL, "measured_ttft_load_s": 0.493, "note": "mine"}
    bare = {**CELL, "measured_ttft_load_s": "", "note": "nothing measured"}
    ours = reproduce_kv_load(write(tmp_path / "cells.csv", [measured, bare]))
    assert [row["note"] for row in ours] == ["mine", "nothing measured"]
    assert len(errors(ours, "ttft_load_s")) == 1
    assert not errors(ours, "ttft_full_s")
    assert "(1 cells)" in report_kv_load(ours)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("model", "qwq-33b", "nearest: qwq-32b"),
        ("gpu", "h100", "unknown gpu"),
        ("num_gpus", "3", "cannot be shared by 3"),
        ("num_gpus", "1.5", "whole"),
        ("precision", "int3", "unknown precision"),
        ("engine", "vlm-0.12", "unknown engine"),
        ("store", "nvme-gen6", "nearest: nvme-gen"),
        ("input_tokens", "-1", "out of range"),
        ("hit_rate", "0", "out of range"),
        ("hit_rate", "1.1", "out of range"),
        ("concurrency", "0", "out of range"),
        ("measured_ttft_full_s", "fast", "could not convert"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    good = {**CELL, "measured_ttft_full_s": 1.0}
    with pytest.raises(InputError, match=message) as caught:
        read(write(tmp_path / "cells.csv", [good, {**good, column: value}]))
    assert [fault.line for fault in caught.value.faults] == [3]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hit_rate"):
        read(write(tmp_path / "cells.csv", [{"model": "qwq-32b"}]))
