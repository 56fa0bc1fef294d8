"""The constants in the catalogue are those that the fit gives."""

from __future__ import annotations

import pytest

from calibration.cake_engine import cost, fit, residuals, speedups
from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.experiments.reproduce_cake import cell_ttft_s, published_cells
from simulator.serving.engines import load_engine


def catalogue_constants() -> dict[str, float]:
    constants = {}
    for name in ("a100-80g-sxm", "h100-80g-sxm"):
        gpu = load_profile(name)
        assert isinstance(gpu, GpuProfile)
        constants[f"{name}/gemm_share"] = gpu.engines["vllm-0.6"].gemm_share
        constants[f"{name}/attention_share"] = gpu.engines["vllm-0.6"].attention_share
        if name.startswith("a100"):
            constants[f"{name}/weight_only_efficiency"] = gpu.weight_only_efficiency
    engine = load_engine("vllm-0.6")
    return constants | {
        "allreduce_overhead_s": engine.allreduce_overhead_s,
        "kv_load_overhead_s": engine.kv_load_overhead_s,
    }


def test_catalogue_holds_what_the_fit_gives() -> None:
    constants, _, rmse = fit()
    assert rmse < 0.04
    assert catalogue_constants() == pytest.approx(constants, rel=0.01)


def test_a_constant_moves_the_residuals() -> None:
    constants = catalogue_constants()
    before = residuals(constants)
    for name in constants:
        assert (residuals({**constants, name: 1.3 * constants[name]}) != before).any(), name


def test_the_fit_predicts_what_the_simulator_does() -> None:
    for row in published_cells():
        over_io, over_compute = speedups(row, cost(row, {}))
        cake_s = cell_ttft_s(row, "cake")
        # The simulator also computes the last, not whole, block of the prompt, which can move the meeting by a step.
        assert over_io == pytest.approx(cell_ttft_s(row, "io_only") / cake_s, rel=0.12)
        assert over_compute == pytest.approx(cell_ttft_s(row, "compute_only") / cake_s, rel=0.12)
