"""``hetsim calibrate read``: published tables into our schema, faults with file and line, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.arguments import TABLE_KINDS
from calibration.readers import READERS
from calibration.table import read_measurements
from simulator.cli import BAD_INPUT, OK, main

DATA = Path(__file__).parents[3] / "shared" / "data"

SMALL = {
    "aiconfigurator": "gpu_microbench/aiconfigurator/a100_sxm/comm_custom_allreduce_perf.parquet",
    "vidur": "gpu_microbench/vidur/network_a100_dgx_send_recv.csv.gz",
    "frontier": "gpu_microbench/frontier/a800_llama2-7b_attention.csv.gz",
    "splitwise": "gpu_microbench/splitwise/perf_model_tp4_tp8.csv",
    "llmservingsim": "gpu_microbench/llmservingsim/RTX4090_meta-llama_Llama-3.1-8B_bf16_tp1_per_sequence.csv",
    "aihub-sr": "phone/aihub_sr_latency_by_device.csv",
    "aihub-networks": "phone/aihub_other_models_latency.csv",
    "aihub-llm": "phone/aihub_llm_by_device.csv",
    "ml-energy": "power/ml_energy_qwen3_dense_dev.csv",
    "greenabr": "power/greenabr_playback_power_galaxy.csv",
    "android-power": "power/android_power_profiles.json",
    "transfers": "storage/transfer_bandwidth_microbench.csv",
}

TRANSFERS = (
    "source,path,mechanism,block_KB,GBps\nA blog,GPU->CPU H100,DMA,4,0.9\nA blog,CPU->GPU H100,DMA,4,1.1\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TRANSFERS)
    return path


def test_the_command_line_knows_every_reader() -> None:
    assert set(TABLE_KINDS) == set(READERS) == set(SMALL)


@pytest.mark.parametrize("kind", SMALL)
def test_a_small_table_of_each_kind(kind: str, tmp_path: Path) -> None:
    path = DATA / SMALL[kind]
    if not path.is_file():
        pytest.skip(f"no table at {path}")
    output = tmp_path / "out.csv"
    assert main(["calibrate", "read", kind, str(path), "-o", str(output), "--quiet"]) == OK
    found = read_measurements(output)
    assert found.rows
    assert found.header["source"] == READERS[kind].source
    assert found.header["table"] == path.name
    assert str(path.parent) not in output.read_text().split("\nbench,")[0]


def test_rows_go_to_stdout(table: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["calibrate", "read", "transfers", str(table)]) == OK
    out, err = capsys.readouterr()
    assert err == ""
    (tmp_path / "out.csv").write_text(out)
    assert [row.value for row in read_measurements(tmp_path / "out.csv").rows] == [0.9e9, 1.1e9]


def test_progress_of_a_long_table(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.readers.convert.PROGRESS_ROWS", 2)
    assert main(["calibrate", "read", "transfers", str(table)]) == OK
    assert capsys.readouterr().err == "table.csv: 2 rows\n"
    assert main(["calibrate", "read", "transfers", str(table), "--quiet"]) == OK
    assert capsys.readouterr().err == ""


def test_it_never_overwrites(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "old.csv"
    output.write_text("kept")
    assert main(["calibrate", "read", "transfers", str(table), "-o", str(output)]) == BAD_INPUT
    assert output.read_text() == "kept"
    assert "exists already" in capsys.readouterr().err


def test_a_malformed_row_names_its_line(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(TRANSFERS + "A blog,CPU->GPU H100,DMA,4,fast\n")
    output = tmp_path / "out.csv"
    assert main(["calibrate", "read", "transfers", str(table), "-o", str(output)]) == BAD_INPUT
    assert f"{table}:4:1: column GBps: 'fast' is not a number" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "x.csv"], "nearest: transfers"),
        (["transfers", "absent.csv"], "absent.csv: no such file"),
        (["vidur", "absent.csv"], "absent.csv: no such file"),
        (["transfers", "absent.csv", "-o", "not-there/out.csv"], "folder does not exist"),
        (["transfers"], "PATH"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "read", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err
