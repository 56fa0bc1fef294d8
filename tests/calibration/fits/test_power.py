"""GPU power: the fit finds what it should, stays physical, and says how far off it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration.fits.power import (
    FORMS,
    ML_ENERGY,
    SHIPPED,
    SPLITWISE,
    PowerPoint,
    columns,
    decode_work,
    energy_cells,
    fit_power,
    main,
    power_form,
    prompt_work,
    read_points,
)
from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.experiments.reproduce_energy import read as read_cells
from simulator.serving.models import load_model

DATA = Path(__file__).parents[4] / "shared" / "data"

needs_tables = pytest.mark.skipif(
    not (DATA / ML_ENERGY).is_file() or not (DATA / SPLITWISE).is_file(),
    reason=f"the published tables are not at {DATA}",
)

TRUTH = {"joules_per_flop": 1.2e-12, "joules_per_byte": 1.4e-10}
IDLE_W, TDP_W = 120.0, 700.0


def points() -> list[PowerPoint]:
    """Decode and prefill of three models at several batches, powerless as yet."""
    result = []
    for name in ("qwen3-8b", "qwen3-14b", "qwen3-32b"):
        model = load_model(name)
        for batch in (1, 8, 64, 256):
            for steps_per_s in (10.0, 40.0):
                decode = decode_work(model, 2, steps_per_s, batch, 500)
                prompt = prompt_work(model, 2, 4.0, 1024, 4.0)
                result.append(PowerPoint(1.0, decode, prompt, 0.1, group=name))
                result.append(PowerPoint(1.0, decode, prompt, 0.1, peak=True, group=name))
    return result


def test_the_fit_finds_the_constants_of_made_up_points() -> None:
    gpu = load_profile("h100-80g-sxm")
    assert isinstance(gpu, GpuProfile)
    bare = points()
    powers = power_form(gpu.idle_w, gpu.tdp_w)(TRUTH, columns(bare))
    made_up = [replace(point, power_w=power) for point, power in zip(bare, powers.tolist(), strict=True)]
    fit = fit_power("h100-80g-sxm", made_up, bootstraps=0)
    assert fit.constants == pytest.approx(TRUTH, rel=1e-3)
    assert fit.worst_error < 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_power_is_never_below_idle_nor_above_the_limit(form: str) -> None:
    constants = dict.fromkeys(FORMS[form], 1e-10) | TRUTH
    power = power_form(IDLE_W, TDP_W)(constants, columns(points()))
    assert power.min() >= IDLE_W
    assert power.max() == TDP_W
    idle = power_form(IDLE_W, TDP_W)(
        TRUTH, columns([PowerPoint(1.0, decode_work(load_model("qwen3-8b"), 1, 0, 1, 1))])
    )
    assert idle.tolist() == [IDLE_W]


def test_a_peak_is_the_greater_phase_and_an_average_lies_between() -> None:
    power = power_form(IDLE_W, TDP_W)(TRUTH, columns(points()))
    averages, peaks = power[::2], power[1::2]
    assert np.all(averages <= peaks)
    assert np.any(averages < peaks)


def test_work_of_a_group_is_shared_by_its_gpus() -> None:
    model = load_model("qwen3-8b")
    one, four = (decode_work(model, gpus, 50.0, 16, 1000) for gpus in (1, 4))
    assert one.flops == pytest.approx(4 * four.flops)
    assert one.weight_bytes == pytest.approx(50 * 15.1e9, rel=0.01)  # all weights but the embedding
    assert one.kv_bytes == 50 * 16 * 1000 * model.kv_bytes_per_token


@needs_tables
def test_errors_on_the_published_tables() -> None:
    limits = {"a100-80g-sxm": (0.04, 0.08), "h100-80g-sxm": (0.08, 0.13), "b200-sxm": (0.04, 0.05)}
    by_gpu = read_points(DATA)
    assert by_gpu.keys() == limits.keys()
    for gpu, (seen, held_out) in limits.items():
        fit = fit_power(gpu, by_gpu[gpu], bootstraps=0)
        assert fit.median_error <= seen, gpu
        assert fit.cross_validated_error <= held_out, gpu


@needs_tables
def test_a_busy_gpu_has_no_power_of_its_own_that_the_tables_can_tell() -> None:
    # The reason for the form of the catalogue: the interval of that power reaches to nearly nothing on both GPUs.
    by_gpu = read_points(DATA)
    for gpu in ("h100-80g-sxm", "b200-sxm"):
        assert fit_power(gpu, by_gpu[gpu], "active", bootstraps=40).low["active_w"] < 5.0


@needs_tables
def test_catalogue_constants_from_this_fit_are_what_it_yields() -> None:
    by_gpu = read_points(DATA)
    for gpu, measured in by_gpu.items():
        profile = load_profile(gpu)
        rebuilt = [
            name
            for name in FORMS[SHIPPED]
            if "calibration/fits/power.py" in profile.evidence[name].note
            or "calibration.fits.power" in profile.evidence[name].note
        ]
        if rebuilt:
            constants = fit_power(gpu, measured, bootstraps=0).constants
            for name in rebuilt:
                assert getattr(profile, name) == pytest.approx(constants[name], rel=0.01), (gpu, name)


@needs_tables
def test_cells_are_read_by_the_study(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    main([str(DATA), "--cells", str(path)])
    cells = read_cells(path)
    assert len(cells) == len(energy_cells(DATA / ML_ENERGY)) == 86
    assert all(cell["measured_power_w"] > 100 for cell in cells)
