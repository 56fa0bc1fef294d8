"""The SoC files are what the fit yields, and say how far off it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.fit_phone_sr import Row, SocFit, fit_soc, read_rows, unet, work
from calibration.phone_socs import SCALED, SOCS, scaled_file, soc_file
from devices.phones import SocProfile
from devices.sourced import load_sourced
from simulator.streaming.sr_latency import load_soc

TABLES = Path(__file__).parents[3] / "shared" / "data" / "phone"
CATALOG = Path(__file__).parents[2] / "devices" / "catalog"

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
def fits() -> dict[str, SocFit]:
    return {name: fit_soc(rows, SOCS[name], bootstraps=0) for name, rows in read_rows(TABLES).items()}


def test_the_fit_finds_the_constants_of_made_up_rows() -> None:
    soc = SOCS["snapdragon-8-gen-2"]
    networks = ("quicksrnet-small", "quicksrnet-large", "sesr-m5", "real-esrgan-general", "unet-segmentation")
    speeds = {name: value for name, value in TRUTH.items() if name.endswith("_s")}
    rows = [
        Row(
            network,
            precision,
            work(network, precision, soc.on_chip_bytes).latency_s(ops_per_s=TRUTH[precision], **speeds),
        )
        for network in networks
        for precision in ("w8a8", "float")
    ]
    fit = fit_soc(rows, soc, bootstraps=0)
    for name, value in TRUTH.items():
        # The priors pull a little where rows say little.
        assert fit.constants[name] == pytest.approx(value, rel=0.15), name
    assert max(abs(seen) for seen, _ in fit.errors.values()) < 0.02


def test_the_unet_has_31_million_parameters_without_norms() -> None:
    # A transposed convolution has four taps, of which each output pixel meets one.
    taps = sum(3 * 2 * channels * channels for channels in (64, 128, 256, 512))
    assert sum(layer.parameters for layer in unet()) + taps == pytest.approx(31.0e6, rel=0.01)


@needs_tables
@pytest.mark.parametrize("name", SOCS)
def test_the_files_are_what_the_fit_yields(name: str, fits: dict[str, SocFit]) -> None:
    soc, fit = load_soc(name), fits[name]
    for constant, value in fit.constants.items():
        stated = soc.precisions[constant].ops_per_s if constant in soc.precisions else getattr(soc, constant)
        assert stated == pytest.approx(value, rel=0.01), constant
    assert soc.cross_validated_error == pytest.approx(fit.cross_validated_error, abs=0.005)


@needs_tables
def test_a_refit_writes_the_file_again() -> None:
    name = "snapdragon-7-gen-4"
    rows = read_rows(TABLES)[name]
    fit = fit_soc(rows, SOCS[name])
    text = soc_file(name, fit.constants, fit.intervals, fit.cross_validated_error, len(rows))
    ours, theirs = load_sourced(text, SocProfile, also=("kind",)), load_soc(name)
    for field, evidence in theirs.evidence.items():
        assert ours.evidence[field].value == pytest.approx(evidence.value, rel=0.01)
        if evidence.low is not None:
            assert ours.evidence[field].low == pytest.approx(evidence.low, rel=0.05)
        assert ours.evidence[field].note == evidence.note


@needs_tables
@pytest.mark.parametrize("name", SCALED)
def test_scaled_files_are_rebuilt(name: str, fits: dict[str, SocFit]) -> None:
    constants = {soc: fit.constants for soc, fit in fits.items()}
    ours = load_sourced(scaled_file(name, constants), SocProfile, also=("kind",))
    theirs = load_soc(name)
    assert {field: one.kind for field, one in ours.evidence.items()} == dict.fromkeys(
        ours.evidence, "assumed"
    )
    for field, evidence in theirs.evidence.items():
        assert ours.evidence[field].value == pytest.approx(evidence.value, rel=0.01)


@needs_tables
def test_errors_are_within_what_is_claimed(fits: dict[str, SocFit]) -> None:
    errors = {name: fit.cross_validated_error for name, fit in fits.items()}
    assert max(errors.values()) <= 0.20
    assert sorted(errors.values())[len(errors) // 2] <= 0.10


def test_the_catalogue_has_a_file_per_soc() -> None:
    for name in (*SOCS, *SCALED):
        assert (CATALOG / f"{name}.yaml").is_file()
