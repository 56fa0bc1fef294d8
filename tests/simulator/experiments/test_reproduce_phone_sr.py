"""Published SR latencies on phones beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.cli import main
from simulator.experiments.reproduce_phone_sr import (
    latency_ms,
    notes,
    published_cells,
    read,
    report_phone_sr,
    reproduce_phone_sr,
)

HEADER = "soc,network,input_width,input_height,scale,precision\n"


def test_errors_against_what_is_published() -> None:
    rows = reproduce_phone_sr()
    errors = {
        (row["soc"], row["network"]): row["latency_ms"] / row["published_latency_ms"] - 1 for row in rows
    }
    unseen = [abs(errors[key]) for key in errors if key[1] == "edsr-f32b5"]
    assert len(unseen) == 4
    assert max(unseen) <= 0.30
    assert max(abs(error) for error in errors.values()) <= 0.30


def test_the_order_of_chips_at_540p_is_the_published_one() -> None:
    rows = [row for row in reproduce_phone_sr() if row["network"] == "edsr-f32b5"]
    by_ours = sorted(rows, key=lambda row: float(row["latency_ms"]))
    assert by_ours == sorted(rows, key=lambda row: float(row["published_latency_ms"]))


def test_outputs_do_not_come_from_the_published_numbers() -> None:
    for row in reproduce_phone_sr():
        bare = {key: value for key, value in row.items() if not key.startswith(("published", "latency"))}
        assert latency_ms(bare) == row["latency_ms"]


def test_report_and_notes() -> None:
    rows = reproduce_phone_sr()
    text = report_phone_sr(rows)
    assert len(text.splitlines()) == 1 + len(published_cells()) + 2 + text.count("\n\n")
    assert "larger inputs, in no fit: median |error|" in text
    assert any("snapdragon-7s-gen-3: assumed" in note for note in notes(rows))
    assert any("extrapolated" in note for note in notes(rows))


def test_cells_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + "snapdragon-8-gen-3,edsr-f64b16,640,360,2,int8\n")
    assert main(["reproduce", "phone_sr", "--cells", str(path), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["network"] == "edsr-f64b16"
    assert row["latency_ms"] == pytest.approx(reproduce_phone_sr(path)[0]["latency_ms"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("snapdragon-9,xlsr,128,128,4,w8a8", "unknown SoC 'snapdragon-9'; nearest"),
        ("qcs6490,xlrs,128,128,4,w8a8", "unknown SR network 'xlrs'; nearest: xlsr"),
        ("qcs6490,xlsr,128,128,7,w8a8", "xlsr has no scale 7; allowed: 2, 3, 4"),
        ("qcs6490,xlsr,12.5,128,4,w8a8", "'12.5' is out of range"),
        ("qcs6490,xlsr,128,128,4,int3", "unknown precision 'int3'; nearest: int8"),
    ],
)
def test_bad_cells(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + line + "\n")
    with pytest.raises(InputError) as caught:
        read(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2:1: ")
