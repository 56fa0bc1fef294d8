"""``hetsim calibrate fit``: shipped files are rebuilt from their inputs, and own measurements become a device file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calibration.bench.harness import Outcome
from calibration.device_file import Entry, format_device_file
from calibration.fit_command import compare
from calibration.fits.processor import is_natural
from calibration.recipes import storage
from calibration.recipes.recipe import (
    Found,
    Recipe,
    Shelf,
    check_inputs,
    entries_of,
    rebuild,
    shipped_document,
    shipped_names,
    shipped_path,
    unit_of,
)
from calibration.recipes.shipped import CITED, RECIPES, gaps, recipe_files, recipes_of
from calibration.table import Measurement, read_measurements, write_measurements
from devices.catalogue import load_sourced
from devices.errors import InputError
from devices.profiles import GpuProfile
from simulator.cli import BAD_INPUT, FAILED, OK, main
from simulator.serving.engines import EngineProfile

PROJECT = Path(__file__).parents[2]
DATA = PROJECT.parent / "shared" / "data"
MEASUREMENTS = PROJECT / "calibration" / "measurements"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"published tables are not at {DATA}")

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["calibrate", "fit", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@needs_data
@pytest.mark.parametrize(
    "name", ["q-6690", "snapdragon-7s-gen-3", "dram-pcie5", "nvme-array-4x-gen4", "pixel-5", "a40"]
)
def test_a_rebuilt_file_is_the_shipped_one(name: str, fit: Say, tmp_path: Path) -> None:
    status, out, err = fit(name, "--data", DATA, "-o", tmp_path, "--check")
    assert (status, out.splitlines()[-1]) == (OK, f"{name}: as shipped")
    assert "1/" in err
    assert (tmp_path / f"{name}.yaml").read_text() == shipped_path(name).read_text()


@needs_data
@pytest.mark.slow
def test_all_files_are_what_their_inputs_give(fit: Say) -> None:
    """Every shipped file with a recipe, rebuilt (about ten minutes)."""
    status, out, _ = fit("all", "--data", DATA, "--check")
    assert status == OK, out
    assert out.count(": as shipped") == len(recipe_files())


@pytest.mark.parametrize("name", shipped_names())
def test_every_fitted_value_has_an_interval_an_error_and_a_range(name: str) -> None:
    for path, entry in entries_of(shipped_document(name)):
        if entry["kind"] == "fitted":
            missing = [key for key in ("low", "high", "error", "valid") if key not in entry]
            assert not missing, (path, missing)


@needs_data
def test_a_tampered_value_is_found(fit: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = shipped_document("dram-pcie5")
    document["values"]["read_bandwidth_bytes_per_s"]["value"] = "53 GB/s"
    tampered = tmp_path / "dram-pcie5.yaml"
    tampered.write_text(format_device_file(document))
    monkeypatch.setattr("calibration.fit_command.shipped_document", lambda name: document)
    monkeypatch.setattr("calibration.fit_command.shipped_path", lambda name: tampered)
    status, out, _ = fit("dram-pcie5", "--data", DATA, "--check")
    assert status == FAILED
    assert "values.read_bandwidth_bytes_per_s: value: shipped 53 GB/s, rebuilt 52.47 GB/s" in out
    assert "1 differences" in out


@needs_data
def test_a_report_names_constants_intervals_and_errors(fit: Say, tmp_path: Path) -> None:
    status, out, err = fit("dram-pcie5", "--data", DATA, "--plots", tmp_path, "--quiet")
    assert (status, err) == (OK, "")
    assert "13 points, median error 1.6 %, held out 1.9 %" in out
    assert "per_operation_s" in out
    plots = sorted(path.name for path in tmp_path.iterdir())
    assert plots == ["copies-over-pcie-5-d2h.png", "copies-over-pcie-5-h2d.png"]


@needs_data
def test_it_never_overwrites_another_text(fit: Say, tmp_path: Path) -> None:
    (tmp_path / "dram-pcie5.yaml").write_text("kept")
    status, _, err = fit("dram-pcie5", "dram-pcie4", "--data", DATA, "-o", tmp_path)
    assert status == BAD_INPUT
    assert "exists already and differs" in err
    assert [path.name for path in tmp_path.iterdir()] == ["dram-pcie5.yaml"]


@needs_data
def test_in_place_writes_the_shipped_files(fit: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dram-pcie5.yaml"
    document = shipped_document("dram-pcie5")
    document["values"]["per_operation_s"]["value"] = "9 us"
    path.write_text(format_device_file(document))
    for module in ("fit_command", "recipes.recipe"):
        monkeypatch.setattr(f"calibration.{module}.shipped_path", lambda name: path)
    assert fit("dram-pcie5", "--data", DATA, "--in-place")[0] == OK
    monkeypatch.undo()
    assert path.read_text() == shipped_path("dram-pcie5").read_text()


def test_every_fitted_value_has_a_recipe_or_is_cited(fit: Say) -> None:
    assert gaps(shipped_names()) == []
    assert fit("--gaps")[0] == OK
    assert len(CITED) <= 6


def test_a_value_without_a_recipe_is_a_gap(fit: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.recipes.shipped.RECIPES", storage.RECIPES[1:])
    assert "dram-pcie5: values.per_operation_s" in gaps(["dram-pcie5"])
    status, out, _ = fit("--gaps")
    assert status == FAILED
    assert "q-6690: precisions.w8a8.ops_per_s" in out


def test_no_value_is_cited_and_computed() -> None:
    for pattern in CITED:
        file, _, path = pattern.partition(": ")
        assert not any(recipe.covers(file, tuple(path.split("."))) for recipe in recipes_of(file)), pattern


def test_a_recipe_comes_after_those_whose_files_it_reads() -> None:
    names = [recipe.name for recipe in RECIPES]
    for first, second in (
        ("SR networks on qcs6490", "snapdragon-7s-gen-3 as snapdragon-8-elite and slower"),
        ("copies over PCIe 5", "copies over PCIe 4"),
        ("matrix products of l40s", "kernels of a40 as of its relatives"),
        ("kernels of h20 as of its relatives", "power of h20 by its limit"),
        ("vLLM 0.6 on the Cake paper's cells", "shares of l40s as of its relatives"),
    ):
        assert names.index(first) < names.index(second)


def test_each_value_has_one_recipe() -> None:
    for name in recipe_files():
        for path, _ in entries_of(shipped_document(name)):
            covering = [recipe.name for recipe in recipes_of(name) if recipe.covers(name, path)]
            assert len(covering) <= 1, (name, path, covering)


def test_a_recipe_computes_only_what_it_says() -> None:
    entry = Entry(1e-6, "s", "vllm_offload", "fitted", "Made up")
    found = Found({"dram-pcie5": {("values", "latency_s"): entry}})
    recipe = Recipe("made up", {"dram-pcie5": ("values.per_operation_s",)}, (), lambda data, shelf: found)
    with pytest.raises(ValueError, match="no pattern for"):
        rebuild(recipe, None, Shelf())


def test_a_recipe_must_leave_a_valid_file() -> None:
    entry = Entry(1e-6, "s", "nobody", "fitted", "Made up")
    found = Found({"dram-pcie5": {("values", "per_operation_s"): entry}})
    recipe = Recipe("made up", {"dram-pcie5": ("values.*",)}, (), lambda data, shelf: found)
    with pytest.raises(InputError, match="unknown source 'nobody'"):
        rebuild(recipe, None, Shelf())


def test_a_later_recipe_sees_what_an_earlier_one_has_found() -> None:
    shelf = Shelf()
    path = ("values", "per_operation_s")
    shelf.put("dram-pcie5", {path: Entry(9e-6, "s", "vllm_offload", "fitted", "Made up")})
    found = storage.dram_pcie4(Path(), shelf)
    assert found.entries["dram-pcie4"][path].value == 9e-6
    assert found.entries["dram-pcie4"][path].kind == "assumed"
    assert shipped_document("dram-pcie5")["values"]["per_operation_s"]["value"] != "9 us"


def test_rounding_is_no_difference() -> None:
    shipped = shipped_document("dram-pcie5")
    rebuilt = json.loads(json.dumps(shipped))
    entry = rebuilt["values"]["read_bandwidth_bytes_per_s"]
    entry["value"], entry["note"] = "52470 MB/s", entry["note"].replace("13 DMA", "14 DMA")
    assert list(compare(shipped, rebuilt)) == []
    entry["kind"] = "assumed"
    del entry["low"]
    assert len(list(compare(shipped, rebuilt))) == 2


def test_missing_tables_are_named_all_at_once() -> None:
    recipe = Recipe("made up", {}, ("a/*.csv", "b.csv"), lambda data, shelf: Found({}))
    with pytest.raises(InputError) as caught:
        check_inputs(recipe, Path("nowhere"))
    assert len(caught.value.faults) == 2


def test_units_follow_from_names() -> None:
    names = {"launch_s": "s", "memory_bandwidth_bytes_per_s": "B/s", "peak_flops": "FLOP/s", "idle_w": "W"}
    names |= {
        "joules_per_byte": "J",
        "cast_bytes": "B",
        "sharpness": "",
        "multiprocessors": "",
        "battery_j": "J",
    }
    assert {name: unit_of(name) for name in names} == names


def test_own_measurements_become_a_device_file(
    fit: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.measured_device.BOOTSTRAPS", 3)
    tables = [
        part
        for name in ("kernels", "step", "copy_network")
        for part in ("--from", MEASUREMENTS / f"cpu_{name}.csv")
    ]
    output = tmp_path / "mine.yaml"
    status, out, _ = fit(*tables, "--name", "mine", "-o", output)
    assert status == OK
    assert "mine step: 61 points" in out
    profile = load_sourced(output, GpuProfile, also=("kind",))
    assert profile.memory_bytes == pytest.approx(23.5 * 2**30, rel=0.001)
    assert profile.multiprocessors == 2
    assert profile.gemm["fp32"].evidence["memory_efficiency"].kind == "fitted"
    assert profile.gemm["fp32"].evidence["launch_s"].kind == "assumed"  # at the least that it can be
    assert profile.evidence["idle_w"].kind == "assumed"
    share = profile.engines[f"torch-{profile.name}-2.13"].evidence["gemm_share"]
    assert share.low is not None and share.high is not None and share.error is not None
    assert share.low <= share.value <= share.high
    engine = load_sourced(tmp_path / "engines" / "torch-mine-2.13.yaml", EngineProfile)
    assert engine.evidence["layer_overhead_s"].kind == "fitted"
    # the same again is no fault, another text is
    assert fit(*tables, "-o", output)[0] == OK
    output.write_text("kept")
    assert fit(*tables, "-o", output)[0] == BAD_INPUT
    assert output.read_text() == "kept"


def poor_table(folder: Path, steps: Callable[[int, Measurement], Measurement | None]) -> Path:
    """Write measurements of the EPYC with other steps, and return the file."""
    rows, header = [], {}
    for name in ("kernels", "step", "copy_network"):
        table = read_measurements(MEASUREMENTS / f"cpu_{name}.csv")
        header |= table.header
        rows += table.rows
    number = itertools.count()
    changed = [steps(next(number), row) if row.bench == "step" else row for row in rows]
    path = folder / "poor.csv"
    write_measurements(path, header, [row for row in changed if row is not None])
    return path


def scrambled(number: int, row: Measurement) -> Measurement:
    """Every other step takes a hundred times as long."""
    return replace(row, value=row.value * (100.0 if number % 2 else 1.0))


def few(number: int, row: Measurement) -> Measurement | None:
    """Four steps, for five constants."""
    return row if number < 4 else None


@pytest.mark.parametrize(
    ("steps", "message"),
    [(scrambled, "step: median error "), (few, "step: 4 points for 5 constants")],
)
def test_fits_that_describe_nothing_write_nothing(
    steps: Callable[[int, Measurement], Measurement | None],
    message: str,
    fit: Say,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("calibration.measured_device.BOOTSTRAPS", 0)
    output = tmp_path / "mine.yaml"
    status, out, err = fit("--from", poor_table(tmp_path, steps), "-o", output)
    assert status == FAILED
    assert "mine step: " in out
    assert message in err
    assert "is not written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["poor.csv"]


def test_one_point_is_too_few_to_fit(fit: Say, tmp_path: Path) -> None:
    path = poor_table(tmp_path, lambda number, row: None if number else row)
    status, _, err = fit("--from", path, "-o", tmp_path / "mine.yaml")
    assert status == BAD_INPUT
    assert "too few to fit: step" in err


@pytest.mark.parametrize(
    ("name", "side", "natural"),
    [
        ("efficiency", "greatest", True),
        ("efficiency", "least", False),
        ("launch_s", "least", True),
        ("launch_s", "greatest", False),
        ("sharpness", "least", True),
        ("gemm_share", "least", False),
        ("gemm_share", "greatest", False),
    ],
)
def test_some_ends_of_a_range_are_natural(name: str, side: str, natural: bool) -> None:
    assert is_natural(name, side) == natural


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name devices or engines to rebuild"),
        (["nvme-gen9", "sata-ssd"], "nearest: nvme-gen5"),
        (["nvme-gen9", "sata-ssd"], "sata-ssd: nothing to fit"),
        (["dram-pcie5"], "--data: copies over PCIe 5: needs storage/"),
        (["dram-pcie5", "--data", "nowhere"], "microbench.csv: copies over PCIe 5: not found"),
        (["dram-pcie4", "-o", "pyproject.toml"], "pyproject.toml: is no folder"),
        (["all", "--check", "--in-place"], "not allowed with"),
        (["--from", "absent.csv", "-o", "mine.yaml"], "absent.csv: no such file"),
        (["--from", "absent.csv"], "--from needs -o"),
        (["a40", "--from", "absent.csv", "-o", "mine.yaml"], "no NAME"),
        (["--from", MEASUREMENTS / "cpu_step.csv", "-o", "mine.yml"], "is called NAME.yaml"),
        (["--from", MEASUREMENTS / "cpu_step.csv", "--name", "me", "-o", "mine.yaml"], "is called me.yaml"),
        (["--from", MEASUREMENTS / "cpu_step.csv", "-o", "mine.yaml"], "no rows of gemm"),
        (["--from", MEASUREMENTS / "cpu_step.csv", "--model", "x", "-o", "mine.yaml"], "no steps of 'x'"),
        (["--from", MEASUREMENTS / "cpu_sr.csv", "-o", "mine.yaml"], "exactly one device"),
    ],
)
def test_bad_input(arguments: list[object], message: str, fit: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    status, _, err = fit(*arguments)
    assert status == BAD_INPUT
    assert message in err
    assert not (PROJECT / "mine.yaml").exists()


def test_help_of_calibrate_mentions_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--help"]) == OK
    text = " ".join(capsys.readouterr().out.split())
    assert "calibrate fit --help" in text
    assert "calibrate read --help" in text
    assert main(["calibrate", "fit", "--help"]) == OK
    assert "usage: hetsim calibrate fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gemm", "--device-file", "mine.yaml"], "needs the benchmarks attention, step, copy as well"),
        (["all", "--device-file", "mine.yaml", "--precision", "fp32,bf16"], "takes one precision"),
        (["all", "--device-file", "mine.txt"], "is called NAME.yaml"),
        (["all", "--device-file", "mine.yaml", "--name", "me"], "is called me.yaml"),
        (["all", "--device-file", "devices/catalog/a40.yaml"], "exists already"),
    ],
)
def test_a_device_file_is_refused_before_measuring(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    assert main(["calibrate", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_what_was_measured_is_fitted_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="extra `calibrate` is not installed")
    rows = [
        row
        for name in ("kernels", "step", "copy_network")
        for row in read_measurements(MEASUREMENTS / f"cpu_{name}.csv").rows
    ]
    monkeypatch.setattr("calibration.commands.run", lambda *_, **__: Outcome(rows))
    monkeypatch.setattr("calibration.measured_device.BOOTSTRAPS", 1)
    output = tmp_path / "mine.yaml"
    command = ["calibrate", "gemm", "attention", "step", "copy", "--device", "cpu", "--quiet"]
    assert main([*command, "--device-file", str(output)]) == OK
    assert "mine gemm: 60 points" in capsys.readouterr().out
    assert load_sourced(output, GpuProfile, also=("kind",)).name == "mine"
    assert read_measurements(tmp_path / "mine.csv").rows == rows
