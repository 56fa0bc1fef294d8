"""The fit of phone SR finds constants again, and is as good as the files claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.fit_phone_sr import LARGE, PRECISIONS, Row, fit_soc, read_rows, unet, work
from calibration.fits.regression import Regression
from calibration.phone_socs import SCALED, SOCS
from simulator.streaming.sr_latency import load_soc

TABLES = Path(__file__).parents[3] / "shared" / "data" / "phone"

needs_tables = pytest.mark.skipif(not TABLES.is_dir(), reason=f"AI Hub's tables are not at {TABLES}")

TRUTH = {
    "overhead_s": 1.5e-4,
    "tensor_bandwidth_bytes_per_s": 1.2e10,
    "vector_bandwidth_bytes_per_s": 1.2e11,
    "memory_bandwidth_bytes_per_s": 6e10,
    "w8a8": 5e13,
    "float": 1.2e13,
}


@pytest.fixture(scope="module")
def fits() -> dict[str, Regression]:
    return {
        name: fit_soc(rows, load_soc(name).on_chip_bytes, SOCS[name].memory_bytes_per_s, bootstraps=0)
        for name, rows in read_rows(TABLES).items()
    }


def test_the_fit_finds_the_constants_of_made_up_rows() -> None:
    on_chip_bytes = 8 * 2.0**20
    networks = ("quicksrnet-small", "quicksrnet-large", "sesr-m5", "real-esrgan-general", LARGE)
    speeds = {name: value for name, value in TRUTH.items() if name not in PRECISIONS}
    rows = [
        Row(
            network,
            precision,
            work(network, precision, on_chip_bytes).latency_s(ops_per_s=TRUTH[precision], **speeds),
        )
        for network in networks
        for precision in PRECISIONS
    ]
    fit = fit_soc(rows, on_chip_bytes, 80e9, bootstraps=0)
    for name, value in TRUTH.items():
        # The priors pull a little where rows say little.
        assert fit.constants[name] == pytest.approx(value, rel=0.15), name
    assert fit.worst_error < 0.02


def test_there_is_no_rate_of_floats_without_rows_of_floats() -> None:
    rows = [Row("quicksrnet-small", "w8a8", 1e-3), Row("sesr-m5", "w8a8", 2e-3)]
    assert "float" not in fit_soc(rows, 2.0**20, 30e9, bootstraps=0).constants


def test_the_unet_has_31_million_parameters_without_norms() -> None:
    # A transposed convolution has four taps, of which each output pixel meets one.
    taps = sum(3 * 2 * channels * channels for channels in (64, 128, 256, 512))
    assert sum(layer.parameters for layer in unet()) + taps == pytest.approx(31.0e6, rel=0.01)


@needs_tables
@pytest.mark.parametrize("name", SOCS)
def test_the_files_are_what_the_fit_yields(name: str, fits: dict[str, Regression]) -> None:
    soc, fit = load_soc(name), fits[name]
    for constant, value in fit.constants.items():
        stated = soc.precisions[constant].ops_per_s if constant in soc.precisions else getattr(soc, constant)
        assert stated == pytest.approx(value, rel=0.001), constant
    assert soc.cross_validated_error == pytest.approx(fit.cross_validated_error, rel=0.001)


@needs_tables
def test_errors_are_within_what_is_claimed(fits: dict[str, Regression]) -> None:
    errors = {name: fit.cross_validated_error for name, fit in fits.items()}
    assert max(errors.values()) <= 0.20
    assert sorted(errors.values())[len(errors) // 2] <= 0.10


def test_the_catalogue_has_a_file_per_soc() -> None:
    for name in (*SOCS, *SCALED):
        assert load_soc(name).name == name
