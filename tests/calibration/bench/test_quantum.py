"""Points that measured the scheduler are warned of; those of a quiet machine are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.bench.quantum import suspects
from calibration.table import Measurement, read_measurements

MEASUREMENTS = Path(__file__).parents[3] / "calibration" / "measurements"


def decode(context_tokens: float, value: float, batch: float = 1.0) -> Measurement:
    parameters = {"batch": batch, "kv_heads": 2.0, "context_tokens": context_tokens, "precision": "fp32"}
    return Measurement.of_repeats("attention_decode", "cpu", parameters, "latency", "s", [value], "made up")


def product(rows: float, inputs: float, value: float) -> Measurement:
    parameters = {"m": rows, "n": 256.0, "k": inputs, "precision": "fp32"}
    return Measurement.of_repeats("gemm", "cpu", parameters, "latency", "s", [value], "made up")


def test_equal_times_of_unequal_work_are_named() -> None:
    (warning,) = suspects([decode(128, 7.99e-3), decode(512, 8.00e-3, batch=4), decode(8192, 30e-3)])
    assert warning.startswith(
        "attention_decode: 2 points take 8.0 ms alike although their work differs 16-fold"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [decode(128, 8e-3), decode(256, 8e-3)],  # work too much alike
        [decode(128, 8e-3), decode(2048, 12e-3)],  # times differ
        [decode(128, 80e-6), decode(2048, 80e-6)],  # a launch
        [product(1, 256, 8e-3), product(8, 256, 8e-3)],  # the weights are read once
        [],
    ],
)
def test_other_times_are_not(rows: list[Measurement]) -> None:
    assert suspects(rows) == []


def test_products_are_compared_at_equal_rows() -> None:
    assert len(suspects([product(64, 256, 16e-3), product(64, 1024, 16e-3)])) == 1


@pytest.mark.parametrize("name", ["cpu_kernels", "cpu_step", "cpu_validation"])
def test_our_own_measurements_are_of_kernels(name: str) -> None:
    assert suspects(read_measurements(MEASUREMENTS / f"{name}.csv").rows) == []
