"""The Cake paper's published results are targets: these tests hold ours against them."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from devices.errors import InputError
from simulator.experiments.cake_cases import BURST_S, burst_s, cell, fluctuation, report_cake
from simulator.experiments.reproduce_cake import (
    cell_scenario,
    cell_ttft_s,
    columns,
    log_rmse,
    published_cells,
    read,
    reproduce_cake,
)
from simulator.serving.build import step_cost


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return reproduce_cake()


def test_13b_within_6_percent(rows: list[dict[str, Any]]) -> None:
    cells = [row for row in rows if row["model"] == "longalpaca-13b"]
    assert len(cells) == 18
    assert log_rmse(cells) <= 0.06


def test_other_models_within_10_percent(rows: list[dict[str, Any]]) -> None:
    cells = [row for row in rows if row["model"] != "longalpaca-13b"]
    assert {row["model"] for row in cells} == {"longalpaca-7b", "llama-3.1-8b", "llama-3.1-70b"}
    assert log_rmse(cells) <= 0.10


def test_outputs_do_not_come_from_the_published_numbers(rows: list[dict[str, Any]]) -> None:
    without = [{key: row[key] for key in columns()} for row in published_cells()]
    for row, ours in zip(without, rows, strict=True):
        assert cell_ttft_s(row, "cake") == ours["ttft_s"]


def test_io_only_is_bytes_over_bandwidth_and_a_step() -> None:
    row = cell("longalpaca-13b", "a100-80g-sxm", 1, 7.0)
    expected_s = 16368 * 800 * 1024 / (7 * 2**30 / 8)  # the last 16 tokens are computed
    assert expected_s < cell_ttft_s(row, "io_only") < expected_s + 0.08


def test_burst_within_10_percent_but_for_one_case_that_just_misses() -> None:
    # The paper's setting is not known. In the assumed one the plain order misses: 1.350 s for 1.50 s is -10.01 %.
    plain_s, priority_s = BURST_S.values()
    assert burst_s("longalpaca-13b", 2, 56.0, True) == pytest.approx(priority_s, rel=0.10)
    assert burst_s("longalpaca-13b", 2, 56.0, False) == pytest.approx(0.90 * plain_s, rel=0.01)


def test_fluctuation_meets_near_the_published_token_with_8_bit_kv_only() -> None:
    # With 16-bit KV, 6,884 tokens in 1.2 s would need 23 Gbit/s out of U(0, 25): the published pair of figures
    # does not fit together at 512 KiB per token. The miss is reported, not hidden.
    token, time_s, _, _ = fluctuation(kv_bits=8)
    assert token == pytest.approx(9500, rel=0.10)
    assert time_s == pytest.approx(1.2, rel=0.10)
    token, time_s, _, _ = fluctuation(kv_bits=16)
    assert token == pytest.approx(12300, rel=0.05)


@pytest.mark.parametrize("share", [0.125, 0.25])
def test_cake_loses_to_io_where_steps_are_long_and_the_fallback_does_not(share: float) -> None:
    row = cell("llama-3.1-70b", "a100-80g-sxm", 2, 32.0, share)
    scenario = cell_scenario(row, "cake")
    step_s = step_cost(scenario.services["chat"], scenario.devices["gpu"]).step_s(round(512 * share))
    io_s = cell_ttft_s(row, "io_only")
    assert cell_ttft_s(row, "cake") > io_s
    assert cell_ttft_s(row, "cake_with_fallback") <= io_s + step_s


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_cells_from_a_file_keep_their_columns(tmp_path: Path) -> None:
    row = {**cell("llama-3.1-8b", "h100-80g-sxm", 1, 25.0, 0.5), "kv_bits": 3, "note": "mine"}
    (ours,) = reproduce_cake(write(tmp_path / "cells.csv", [row]))
    assert ours["note"] == "mine"
    assert ours["speedup_over_io_only"] > 0
    assert math.isnan(log_rmse([ours]))
    assert "paper" in report_cake([ours])


def test_fewer_kv_bits_load_faster() -> None:
    times_s = [
        cell_ttft_s({**cell("longalpaca-7b", "a100-80g-sxm", 1, 7.0), "kv_bits": bits}, "io_only")
        for bits in (16, 8, 3)
    ]
    assert times_s[0] > 1.9 * times_s[1] > 4 * times_s[2]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("model", "longalpaca-14b", "nearest: longalpaca-13b"),
        ("gpu", "a100", "unknown gpu"),
        ("num_gpus", "1.5", "whole"),
        ("bandwidth_gbps", "-7", "out of range"),
        ("bandwidth_gbps", "fast", "could not convert"),
        ("share", "1.5", "out of range"),
        ("kv_bits", "4", "16, 8, 3"),
    ],
)
def test_bad_cells_are_named(tmp_path: Path, column: str, value: str, message: str) -> None:
    good = cell("longalpaca-7b", "a100-80g-sxm", 1, 7.0)
    with pytest.raises(InputError, match=message) as caught:
        read(write(tmp_path / "cells.csv", [good, {**good, column: value}]))
    assert [(fault.line, fault.path) for fault in caught.value.faults] == [(3, column)]


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kv_bits"):
        read(write(tmp_path / "cells.csv", [{"model": "longalpaca-7b"}]))
