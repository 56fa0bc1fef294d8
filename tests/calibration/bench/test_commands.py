"""``hetsim calibrate``: what it writes and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from calibration.commands import shape_of
from calibration.table import read_measurements
from devices.errors import InputError
from simulator.cli import BAD_INPUT, OK, main
from simulator.serving.models import load_model


def test_it_writes_a_table_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "copy.csv"
    assert main(["calibrate", "copy", "--quick", "--device", "cpu", "--name", "mine", "-o", str(path)]) == OK
    table = read_measurements(path)
    assert table.header["command"] == "hetsim calibrate copy --quick --device cpu --name mine -o copy.csv"
    assert {row.device for row in table.rows} == {"mine"}
    assert all(row.repeats for row in table.rows)
    out, err = capsys.readouterr()
    assert out == f"{path}: {len(table.rows)} rows\n"
    assert "copy direction=h2h" in err


def test_without_a_file_the_table_is_all_there_is_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "copy", "--quick", "--device", "cpu", "--quiet"]) == OK
    out, err = capsys.readouterr()
    assert err == ""
    (tmp_path / "out.csv").write_text(out)
    assert read_measurements(tmp_path / "out.csv").rows


def test_it_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "old.csv"
    path.write_text("kept")
    assert main(["calibrate", "network", "-o", str(path)]) == BAD_INPUT
    assert path.read_text() == "kept"
    assert "exists already" in capsys.readouterr().err


def test_a_folder_that_is_absent_is_said_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "network", "-o", str(tmp_path / "no" / "a.csv")]) == BAD_INPUT
    assert "folder does not exist" in capsys.readouterr().err


def test_missing_torch_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["calibrate", "gemm", "--quick"]) == BAD_INPUT
    assert "torch is not installed" in (err := capsys.readouterr().err)
    assert "hetsim[calibrate]" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gem"], "nearest: gemm"),
        (["copy", "--precision", "fp64"], "fp64 is not one of"),
        (["copy", "--shape", "layer=2"], "nearest: layers"),
        (["copy", "--shape", "layers=0,hidden=8,heads=2,ffn=8"], "layers must be"),
        (["copy", "--model", "llama-9"], "llama"),
        (["copy", "--model", "mixtral-8x7b"], "mixtures of experts"),
        (["storage", "--quick", "--dir", "not-there"], "not-there"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", *arguments, "--device", "cpu", "--quiet"]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_cuda_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="extra `calibrate` is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main(["calibrate", "copy", "--device", "cuda"]) == BAD_INPUT
    assert "no CUDA device" in capsys.readouterr().err


def test_a_shape_of_a_catalogue_model_has_that_models_sizes() -> None:
    known = load_model("llama-3.1-8b")
    shape = shape_of("layers=32,hidden=4096,heads=32,kv_heads=8,ffn=14336,vocabulary=128256")
    assert shape.parameters == known.parameters
    assert shape.kv_bytes_per_token == known.kv_bytes_per_token


def test_a_shape_tells_all_that_is_wrong_at_once() -> None:
    with pytest.raises(InputError) as caught:
        shape_of("layers=2,hidden=x,colour=3")
    assert len(caught.value.faults) == 5


def test_storage_runs_whatever_processor_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibrate", "storage", "--quick", "--device", "cuda", "--quiet", "--buffered"]
    assert main([*command, "--dir", str(tmp_path), "--file-mib", "4"]) == OK
    assert "storage," in capsys.readouterr().out
