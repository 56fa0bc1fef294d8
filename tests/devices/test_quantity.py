"""Quantities: text with units to SI, and back to text that people read."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.quantity import UNITS, Quantity, format_quantity, nearest, parse_quantity


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("80 GiB", "B", 80 * 2**30),
        ("3 TB", "B", 3e12),
        ("16 Mbit", "B", 2e6),
        ("32 Gbit/s", "B/s", 4e9),
        ("32 Gibit/s", "B/s", 4 * 2**30),
        ("10 Gbps", "B/s", 1.25e9),
        ("2039 GB/s", "B/s", 2.039e12),
        ("40 ms", "s", 0.04),
        ("5 us", "s", 5e-6),
        ("5 µs", "s", 5e-6),
        ("600 s", "s", 600),
        ("10 min", "s", 600),
        ("24 h", "s", 86400),
        ("312 TFLOP/s", "FLOP/s", 3.12e14),
        ("1979 TOP/s", "FLOP/s", 1.979e15),
        ("400 W", "W", 400),
        ("1.4 pJ", "J", 1.4e-12),
        ("4/s", "1/s", 4),
        ("240/min", "1/s", 4),
        ("50 %", "", 0.5),
        ("12.5%", "", 0.125),
        ("0.5", "", 0.5),
        ("  1e3  kB ", "B", 1e6),
        ("5EB", "B", 5e18),
        (25, "s", 25),
        (2.5e9, "B/s", 2.5e9),
    ],
)
def test_reads_numbers_and_texts_with_units(text, unit, expected):
    assert parse_quantity(text, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        ("32 GB", "B/s", "is an amount of data, not a bandwidth; allowed: B/s, .*; nearest: GB/s"),
        ("80 Gib", "B", "unknown unit 'Gib'.*nearest: GiB"),
        ("32 gbit/s", "B/s", "unknown unit 'gbit/s'.*nearest: Gbit/s"),
        ("5", "s", "has no unit; allowed: s, ms"),
        ("fast", "B/s", "not a quantity; expected a bandwidth such as '32 Gbit/s'"),
        ("", "s", "not a quantity"),
        ("1 2 s", "s", "unknown unit '2 s'"),
        ("nan", "s", "not a quantity"),
        (math.nan, "s", "not a finite number"),
        (math.inf, "B", "not a finite number"),
        ("1e999 s", "s", "not a finite number"),
        ("1e99999999999999999999 s", "s", "not a finite number"),
        (10**400, "s", "not a finite number"),
        (True, "s", "true is not a quantity"),
        (None, "s", "an empty value is not a quantity"),
        ([1], "s", "a list is not a quantity"),
    ],
)
def test_refuses_with_what_is_allowed(value, unit, said):
    with pytest.raises(ValueError, match=said):
        parse_quantity(value, unit)


@given(
    unit=st.sampled_from(sorted(UNITS)),
    value=st.floats(min_value=1e-9, max_value=1e20),
)
def test_what_is_written_reads_back_to_three_digits(unit, value):
    assert parse_quantity(format_quantity(value, unit), unit) == pytest.approx(value, rel=6e-3)


@given(st.text(), st.sampled_from(sorted(UNITS)))
def test_any_text_is_a_number_or_a_value_error(text, unit):
    try:
        assert math.isfinite(parse_quantity(text, unit))
    except ValueError as error:
        assert len(str(error)) < 400


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2**32, "B/s", "4.29 GB/s"),
        (0.0388, "s", "38.8 ms"),
        (0, "s", "0 s"),
        (90, "s", "90 s"),
        (600, "s", "10 min"),
        (86400, "s", "24 h"),
        (999.9e6, "B", "1 GB"),
        (1.4e-12, "J", "1.4 pJ"),
        (0.125, "", "12.5 %"),
        (4, "1/s", "4/s"),
        (-2e-3, "s", "-2 ms"),
        (math.inf, "s", "inf s"),
    ],
)
def test_writes_for_people(value, unit, text):
    assert format_quantity(value, unit) == text


def test_bounds_and_whole_numbers():
    share, count = Quantity("", high=1.0), Quantity("", low=1, high=1e9, whole=True)
    assert share.parse("50 %") == 0.5
    assert count.parse(1e6) == 1_000_000
    assert isinstance(count.parse(1e6), int)
    for marker, value, said in [
        (share, 1.5, "1.5 is out of range; allowed: 0 to 1"),
        (share, "150 %", "out of range"),
        (count, 0, "out of range; allowed: a whole number, at least 1"),
        (count, True, "true is not a whole number"),
        (count, 1.5, "1.5 is not a whole number"),
        (count, "5", "'5' is not a whole number"),
        (Quantity("B/s", above_low=True), 0, "allowed: above 0 B/s"),
        (Quantity("s", high=1e12), "1e13 s", "at most 1e\\+12 s"),
        (Quantity("s", high=1e12), -1, "out of range"),
    ]:
        with pytest.raises(ValueError, match=said):
            marker.parse(value)


def test_nearest_prefers_a_difference_in_case():
    assert nearest("gib", ["GiB", "gibi"]) == "GiB"
    assert nearest("zzz", ["GiB"]) is None


def test_import_is_light():
    heavy = "import sys, devices.quantity; print({'pydantic_core', 'numpy'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True).stdout
    assert output.strip() == "set()"
