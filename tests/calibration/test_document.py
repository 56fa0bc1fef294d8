"""The errors in ``docs/calibration.md`` are those of the device files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calibration.recipes.recipe import shipped_document

TEXT = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text(encoding="utf-8")

GPUS = {
    "A100": "a100-80g-sxm",
    "H100": "h100-80g-sxm",
    "H200": "h200-sxm",
    "B200": "b200-sxm",
    "L40S": "l40s",
    "A40": "a40",
    "RTX 4090": "rtx-4090",
    "RTX PRO 6000": "rtx-pro-6000",
}
FITS = {
    "products, bf16": ("gemm", "bf16", "sharpness"),
    "products, fp8": ("gemm", "fp8", "sharpness"),
    "experts": ("values", "expert_launch_s"),
    "prefill attention": ("values", "attention_efficiency"),
    "decode attention": ("values", "kv_read_efficiency"),
    "all-reduce": ("values", "allreduce_bandwidth_bytes_per_s"),
    "power": ("values", "joules_per_byte"),
}
"""A value of each fit of the first table."""

ENGINES = {
    "vLLM 0.6: step": ("vllm-0.6", ("values", "step_overhead_s")),
    "vLLM 0.6: shares": ("vllm-0.6", ("values", "kv_load_overhead_s")),
    "vLLM 0.12": ("vllm-0.12", ("values", "step_overhead_s")),
    "Galaxy S10": ("galaxy-s10", ("values", "sr_w")),
    "PCIe 5 copies": ("dram-pcie5", ("values", "per_operation_s")),
}
"""File and value of rows of the second one."""


def rows() -> list[list[str]]:
    """Return the cells of all table rows of the section."""
    section = TEXT.partition("## What was fitted")[2].partition("\n## ")[0]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in cells] for cells in lines]


def row_of(start: str) -> list[str]:
    return next(cells for cells in rows() if cells[0].startswith(start))


def value_at(name: str, path: tuple[str, ...]) -> Any:
    document: Any = shipped_document(name)
    for key in path:
        document = document.get(key, {})
    return document


def percent(error: float) -> str:
    """Two digits from 1 % on, as files have them."""
    return f"{float(f'{100 * error:.2g}'):g} %"


@pytest.mark.parametrize("fit", FITS)
def test_errors_of_the_kernel_fits(fit: str) -> None:
    header, cells = row_of("fit"), row_of(fit)
    assert header[1:] == list(GPUS)
    for gpu, shown in zip(GPUS.values(), cells[1:], strict=True):
        value = value_at(gpu, FITS[fit])
        expected = percent(value["error"]) if value.get("kind") == "fitted" else "-"
        assert shown == expected, gpu


@pytest.mark.parametrize("start", ENGINES)
def test_errors_of_the_other_fits(start: str) -> None:
    name, path = ENGINES[start]
    error = value_at(name, path)["error"]
    assert f"{percent(error)} unseen" in row_of(start)[2] or f"{100 * error:.0f} % unseen" in row_of(start)[2]


def test_the_share_of_an_h100_is_that_of_its_file() -> None:
    shares = value_at("h100-80g-sxm", ("engines", "vllm-0.6"))
    shown = f"({shares['gemm_share']['value']:.2f} of the products' rate, {shares['attention_share']['value']:.2f} of"
    assert shown in " ".join(TEXT.split())
    share = value_at("h100-80g-sxm", ("engines", "vllm-0.12", "gemm_share"))["value"]
    assert f"long prefill gets {share:.2f} of it" in TEXT
