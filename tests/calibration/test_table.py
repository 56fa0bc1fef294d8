"""The measurement schema: what is written reads back, and what would not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.table import Measurement, format_measurements, read_measurements, write_measurements
from devices.errors import InputError

HEADER = {"device": "h200-sxm", "hardware": "NVIDIA H200, driver 1: x", "source": "measured", "note": ""}
ROWS = [
    Measurement.of_repeats(
        "gemm", "h200-sxm", {"m": 1, "n": 4096, "dtype": "bfloat16"}, "latency", "s", [2e-5, 1e-5, 4e-5], "measured"
    ),
    Measurement("copy", "h200-sxm", {"direction": "h2d", "block_bytes": 4096}, "bandwidth", "B/s", 5.1e10,
                source="measured"),
]  # fmt: skip
COLUMNS = "bench,device,metric,unit,value,spread,repeats,m\n"


def test_a_table_reads_back_as_written(tmp_path):
    write_measurements(tmp_path / "t.csv", HEADER, ROWS)
    table = read_measurements(tmp_path / "t.csv")
    assert table.header == HEADER
    assert table.rows == ROWS


def test_repeats_become_median_and_half_interquartile_range():
    row = Measurement.of_repeats("gemm", "d", {}, "latency", "s", [1.0, 2.0, 3.0, 4.0, 100.0], "s")
    assert (row.value, row.spread, row.repeats) == (3.0, 1.0, (1.0, 2.0, 3.0, 4.0, 100.0))
    assert Measurement.of_repeats("gemm", "d", {}, "latency", "s", [7.0], "s").spread == 0


def test_sources_that_differ_by_row_are_kept(tmp_path):
    rows = [Measurement("copy", "d", {}, "bandwidth", "B/s", 1.0, source=source) for source in ("a", "b")]
    write_measurements(tmp_path / "t.csv", {"source": "a"}, rows)
    assert [row.source for row in read_measurements(tmp_path / "t.csv").rows] == ["a", "b"]


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.floats(0, 1e9), max_size=4),
    st.dictionaries(
        st.from_regex(r"p_[a-z]{1,8}", fullmatch=True),
        st.floats(allow_nan=False, allow_infinity=False) | st.from_regex(r"[a-z][ -~]{0,20}", fullmatch=True),
        max_size=4,
    ),
)
def test_any_value_reads_back_exactly(tmp_path_factory, value, repeats, parameters):
    row = Measurement("b", "d", parameters, "m", "s", value, 0.5, tuple(repeats), 'here, "there"')
    path = tmp_path_factory.mktemp("t") / "t.csv"
    write_measurements(path, {"source": row.source}, [row])
    assert read_measurements(path).rows == [row]


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        write_measurements(path, HEADER, ROWS)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Measurement("b", "d", {"kernel": "1.5"}, "m", "s", 1.0), "would not read back"),
        (Measurement("b", "d", {"kernel": ""}, "m", "s", 1.0), "would not read back"),
        (Measurement("b", "d", {"spread": 1}, "m", "s", 1.0), "cannot name a parameter"),
        (Measurement("b", "d", {}, "m", "ms", 1.0), "unit 'ms'"),
        (Measurement("b", "d", {}, "m", "s", float("nan")), "finite"),
    ],
)
def test_what_would_not_read_back_is_refused(row, message):
    with pytest.raises(InputError, match=message):
        format_measurements({}, [row])


def test_a_header_entry_must_fit_one_line():
    with pytest.raises(InputError, match="one line"):
        format_measurements({"note": "a\nb"}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column names"),
        ("# device h100\n" + COLUMNS, r"t\.csv:1:.*key: value"),
        ("# device: h100\nbench,device\n", r"t\.csv:2:.*columns missing: metric"),
        (COLUMNS + "gemm,d,latency,s,1,0,,1,2\n", r"t\.csv:2:.*9 cells, 8 columns"),
        (COLUMNS + "gemm,d,latency,s,1,0,,1\ngemm,d,latency,s,fast,0,,1\n", r"t\.csv:3:.*fast"),
        (COLUMNS + "gemm,d,latency,s,inf,0,,1\n", r"t\.csv:2:.*finite"),
        (COLUMNS + "gemm,d,latency,ms,1,0,,1\n", r"t\.csv:2:.*unit 'ms'"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_measurements(tmp_path / "t.csv")


def test_an_absent_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_measurements(tmp_path / "none.csv")


def test_a_parameter_that_must_be_a_number():
    assert ROWS[0].number("m") == 1
    with pytest.raises(InputError, match="dtype"):
        ROWS[0].number("dtype")
    with pytest.raises(InputError, match="found nothing"):
        ROWS[0].number("absent")
