"""Our own measurements: every file reads, and says what was measured with what."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration.table import read_measurements

FOLDER = Path(__file__).parents[2] / "calibration" / "measurements"
FILES = sorted(FOLDER.glob("*.csv"))


def test_there_are_measurements() -> None:
    assert {path.stem for path in FILES} >= {
        "cpu_kernels",
        "cpu_step",
        "cpu_copy_network",
        "cpu_storage",
        "cpu_sr",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_header_and_rows(path: Path) -> None:
    table = read_measurements(path)
    assert {"device", "hardware", "software", "date", "command"} <= table.header.keys()
    assert "/" not in table.header["command"]  # no folders of the machine
    for row in table.rows:
        assert row.value > 0 and row.spread >= 0
        assert not row.repeats or min(row.repeats) <= row.value <= max(row.repeats)
