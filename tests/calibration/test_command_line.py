"""Modules that are run by themselves take one folder and say what is wrong in one line, without a traceback."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from calibration.command_line import data_parser, run
from devices.errors import Fault, InputError

MODULES = ("gemm", "attention", "allreduce", "experts", "power", "phone_power", "residual_plots")


@pytest.mark.parametrize("name", MODULES)
def test_a_folder_without_tables_is_bad_input(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(f"calibration.fits.{name}")
    output = [str(tmp_path / "plots")] if name == "residual_plots" else []
    for folder in (tmp_path, tmp_path / "absent"):
        assert module.main([str(folder), *output]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(str(folder))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["gemm", "attention", "allreduce", "experts"])
def test_a_folder_that_lacks_a_table_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gpu_microbench").mkdir()
    assert importlib.import_module(f"calibration.fits.{name}").main([str(tmp_path)]) == 2
    assert "no table " in capsys.readouterr().err


@pytest.mark.parametrize(("text", "message"), [("model,gpu\n", "no column num_gpus"), (None, "no such file")])
def test_engine_overheads_name_what_is_wrong_with_cells(
    text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cells.csv"
    if text is not None:
        path.write_text(text)
    assert importlib.import_module("calibration.engine_overheads").main(["vllm-0.6", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_faults_go_to_stderr_one_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    def body(arguments: object) -> None:
        raise InputError([Fault("first"), Fault("second", file="a.csv")])

    assert run(body, data_parser("Try."), ["folder"]) == 2
    assert capsys.readouterr().err == "first\na.csv: second\n"
    assert run(lambda arguments: None, data_parser("Try."), ["folder"]) == 0
    assert run(lambda arguments: 1, data_parser("Try."), ["folder"]) == 1


def test_a_file_that_cannot_be_written_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    def body(arguments: object) -> None:
        Path("/absent/folder/file").write_text("")

    assert run(body, data_parser("Try."), ["folder"]) == 2
    assert capsys.readouterr().err == "/absent/folder/file: No such file or directory\n"
