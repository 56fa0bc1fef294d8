"""A small validation from end to end on this machine, and the committed measurements against their targets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from calibration.bench.harness import Options
from calibration.table import read_measurements
from calibration.validation.__main__ import main
from calibration.validation.measure import calibration_points, full_study, quick_study, validation_points
from calibration.validation.predict import (
    Part,
    median_error,
    predict,
    rankings,
    worst_error,
)
from calibration.validation.real_cake import BENCH
from calibration.validation.report import TARGETS

COMMITTED = Path(__file__).parents[3] / "calibration" / "measurements" / "cpu_validation.csv"


@pytest.mark.parametrize("study", [quick_study(), full_study()], ids=["quick", "full"])
def test_no_point_is_both_fitted_and_predicted(study: object) -> None:
    grids = [
        [
            (name, {key: value for key, value in point.items() if key != "role"})
            for bench in benches
            for name, point in bench.grid(Options())
        ]
        for benches in (calibration_points(study, 1), validation_points(study, 1, 1e7))  # type: ignore[arg-type]
    ]
    fitted, predicted = grids
    assert fitted and predicted
    assert not [point for point in predicted if point in fitted]
    chunks = {(point["chunk_tokens"], point["prefix_tokens"]) for name, point in fitted if name == "step"}
    served = {point["chunk_tokens"] for name, point in predicted if name == BENCH}
    assert not [chunk for chunk, _ in chunks if chunk in served]  # no step of a request is fitted


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="extra `calibrate` is not installed")
    file = tmp_path_factory.mktemp("validation") / "measured.csv"
    plot = file.with_suffix(".png")
    assert main(["--quick", "-o", str(file), "--plot", str(plot), "--dir", str(file.parent)]) == 0
    assert sorted(path.name for path in file.parent.iterdir()) == ["measured.csv", "measured.png"]
    return file


@pytest.fixture(scope="module")
def part(measured: Path) -> Part:
    (found,) = predict(read_measurements(measured).rows)
    return found


def test_every_cell_is_measured_and_predicted(part: Part) -> None:
    study = quick_study()
    cells = len(study.prompts) * (1 + 2 * len(study.bandwidths))
    assert len(part.of(BENCH)) == cells == 10
    assert len(part.of("step")) == len(study.unseen_decodes)
    assert len(part.of("sr")) == len(study.unseen_frames)
    assert all(0 < each.predicted < math.inf for each in part.predictions)


def test_real_times_are_physical(part: Part) -> None:
    """Bounds that hold on a loaded machine too: how close predictions come is not asked here."""
    ttft_s = {
        (
            each.row.number("prompt_tokens"),
            each.row.parameters.get("bandwidth_bytes_per_s"),
            each.row.parameters["policy"],
        ): each.row.repeats
        for each in part.of(BENCH)
    }
    kv_bytes_per_token = 2 * quick_study().shape.kv_bytes_per_token  # 32 bits per value
    for (prompt, bandwidth, policy), repeats in ttft_s.items():
        if policy == "io_only":
            assert isinstance(bandwidth, float)
            assert min(repeats) >= (prompt - 16) * kv_bytes_per_token / bandwidth
        if policy == "cake":
            alone = max(*ttft_s[prompt, None, "compute_only"], *ttft_s[prompt, bandwidth, "io_only"])
            assert min(repeats) <= 2 * alone


def test_the_header_says_what_was_measured_and_nothing_of_folders(measured: Path) -> None:
    header = read_measurements(measured).header
    assert header["command"] == "python -m calibration.validation --quick --threads 1"
    assert "1 torch threads" in header["software"]


def test_measurements_are_never_overwritten(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = measured.read_bytes()
    assert main(["--quick", "-o", str(measured)]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert measured.read_bytes() == before


@pytest.mark.skipif(
    not COMMITTED.exists(), reason="the validation has not been measured on a quiet machine yet"
)
def test_the_committed_measurements_are_predicted_within_the_targets() -> None:
    part = predict(read_measurements(COMMITTED).rows)[0]
    requests = part.of(BENCH)
    prompts = {each.row.number("prompt_tokens") for each in requests}
    bandwidths = {each.row.parameters.get("bandwidth_bytes_per_s") for each in requests} - {None}
    assert len(prompts) >= 3 and len(bandwidths) >= 3
    median, worst = TARGETS
    assert median_error(requests) <= median
    assert worst_error(requests) <= worst
    assert all(pair.right for pair in rankings(part))
