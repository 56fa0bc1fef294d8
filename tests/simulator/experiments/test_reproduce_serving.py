"""Measured latencies of serving engines beside ours."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.experiments.cells import as_number
from simulator.experiments.evidence import stand_ins
from simulator.experiments.reproduce_serving import (
    METRICS,
    errors,
    published_cells,
    read,
    report_serving,
    reproduce_serving,
    token_budget,
)

HEADER = "model,gpu,num_gpus,precision,engine,concurrency,input_tokens,output_tokens,load"
TARGETS = {"ttft_s": 0.20, "tpot_s": 0.15, "batch_latency_s": 0.10}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return reproduce_serving()


def test_errors_against_what_was_measured(rows: list[dict[str, Any]]) -> None:
    found = errors(rows)
    for metric, target in TARGETS.items():
        assert statistics.median(math.expm1(abs(error)) for error in found[metric]) <= target, metric
    assert not found["output_tokens_per_s"]


def test_the_shipped_cells_have_every_length_and_the_worst_of_all() -> None:
    closed = [row for row in published_cells() if row["load"] == "closed"]
    assert Counter(row["output_tokens"] for row in closed) == {128: 12, 512: 18, 1024: 12}
    worst = {
        row["num_gpus"]
        for row in closed
        if (row["input_tokens"], row["output_tokens"], row["concurrency"]) == (4096, 128, 128)
    }
    assert worst == {2, 4, 8}


def test_the_report_does_not_hide_the_worst_cell(rows: list[dict[str, Any]]) -> None:
    text = report_serving(rows)
    for metric, values in errors(rows).items():
        if values:
            assert f"worst {100 * math.expm1(max(map(abs, values))):.0f} % ({len(values)} cells)" in text, (
                metric
            )


def test_chunking_follows_from_the_version_asked_for() -> None:
    assert token_budget("vllm-0.6", "llama-2-7b") == token_budget("vllm-0.7", "llama-2-7b") == 4096
    assert token_budget("vllm-0.9", "llama-2-7b") == 2048  # overheads of 0.6, chunks as in 0.12
    assert token_budget("vllm-0.12", "llama-2-7b") is None
    assert token_budget("transformers-4.28", "llama-2-7b") is None


def test_a_newer_version_that_stands_in_is_named_as_such() -> None:
    assert stand_ins("vllm-0.9", "h200-sxm") == [
        "vllm-0.9 is not calibrated; overheads are those of vllm-0.6",
        "vllm-0.9 is not calibrated on h200-sxm; efficiencies are those of vllm-0.12, which is newer: no older one is "
        "calibrated on h200-sxm",
    ]
    assert stand_ins("vllm-0.5", "h100-80g-sxm") == [
        "vllm-0.5 is not calibrated; overheads are those of vllm-0.6, which is newer: no older one is in the catalogue",
        "vllm-0.5 is not calibrated on h100-80g-sxm; efficiencies are those of vllm-0.6, which is newer: no older one "
        "is calibrated on h100-80g-sxm",
    ]
    assert stand_ins("vllm-0.12", "h100-80g-sxm") == []


def test_columns_of_the_users_own_pass_through_as_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER},m_ttft,tag\nllama-2-7b,h100-80g-sxm,1,fp16,vllm-0.6,1,128,8,batch,0.154,007\n")
    assert main(["reproduce", "serving", "--cells", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert (row["m_ttft"], row["tag"]) == (0.154, "007")
    assert all(row[metric] > 0 for metric in METRICS)
    assert "assumed values of h100-80g-sxm, vllm-0.6 (hetsim cite)" in err
    assert main(["reproduce", "serving", "--cells", str(path), "--json", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", 8), ("-0.5", -0.5), ("1e-3", 0.001), ("007", "007"), ("", ""), ("1_000", "1_000"), ("nan", "nan"),
     ("1e999", "1e999"), ("0", 0), ("1.0", 1.0), ("a100", "a100")],
)  # fmt: skip
def test_numbers_in_decimal_notation_are_numbers(text: str, value: object) -> None:
    found = as_number(text)
    assert found == value
    assert type(found) is type(value)


def test_bad_cells_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(f"{HEADER}\nllama-2-7b,h100-80g-sxm,1,fp16,vlm-0.6,1,128,8,batch\n")
    with pytest.raises(InputError, match="vlm-0"):
        read(path)
