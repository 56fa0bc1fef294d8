"""The constants in the catalogue are those that the fit gives."""

from __future__ import annotations

import pytest

from calibration.cake_engine import cells, cost, fit, groups, residuals, speedups
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
    engine = load_engine("vllm-0.6")
    return constants | {
        "allreduce_overhead_s": engine.allreduce_overhead_s,
        "kv_load_overhead_s": engine.kv_load_overhead_s,
    }


@pytest.mark.slow
def test_catalogue_holds_what_the_fit_gives() -> None:
    found = fit(held_out_starts=0)
    assert found.rmse < 0.04
    assert len(found.held_out) == 0
    assert catalogue_constants() == pytest.approx(found.constants, rel=0.01)


def test_a_cell_whose_weights_are_expanded_on_the_fly_is_in_no_fit() -> None:
    (left_out,) = [row for row in published_cells() if row not in cells()]
    assert left_out["model"] == "llama-3.1-70b"
    assert load_profile("a100-80g-sxm").evidence["weight_only_efficiency"].kind == "assumed"
    over_io, over_compute = speedups(left_out, cost(left_out, {}))
    assert over_io == pytest.approx(left_out["published_over_io_only"], rel=0.1)
    assert over_compute == pytest.approx(left_out["published_over_compute_only"], rel=0.1)


def test_an_observation_is_held_out_with_its_model_and_gpus() -> None:
    assert len(groups()) == len(residuals(catalogue_constants()))
    assert len(set(groups())) == 7


@pytest.mark.slow
def test_held_out_errors_are_those_of_fits_that_have_not_seen_them() -> None:
    found = fit(starts=1, held_out_starts=1)
    assert len(found.held_out) == len(found.errors)
    assert (found.held_out**2).sum() > (found.errors**2).sum()
    assert 0.0 < found.cross_validated_error < 0.1


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
