"""The canonical text of device files: read back equal, formatted again the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.device_file import LINE_WIDTH, Entry, format_device_file, with_entries
from calibration.recipes.recipe import profile_of, shipped_names, shipped_path
from devices.document import read_document
from devices.quantity import parse_quantity

DOCUMENT = {
    "kind": "link",
    "name": "wire",
    "title": "A wire: 10 Gbit/s",
    "duplex": "full",
    "sources": {"sheet": {"title": "A datasheet", "url": "https://example.org/sheet"}},
    "values": {
        "bandwidth_bytes_per_s": {"value": "10 Gbit/s", "source": "sheet", "kind": "datasheet"},
        "latency_s": {"value": 5e-6, "source": "sheet", "kind": "assumed", "note": "Guess, # of hops: 2"},
    },
    "engines": {},
}


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_file_is_canonical(name: str) -> None:
    path = shipped_path(name)
    assert format_device_file(read_document(path).data) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_file_describes_a_profile(name: str) -> None:
    assert profile_of(read_document(shipped_path(name)).data, name).name == name


def test_an_entry_stands_on_one_line_where_it_fits() -> None:
    text = format_device_file(DOCUMENT)
    assert "  bandwidth_bytes_per_s: {value: 10 Gbit/s, source: sheet, kind: datasheet}\n" in text
    assert "engines: {}\n" in text
    long = {
        **DOCUMENT,
        "values": {"latency_s": {"value": 1, "source": "s", "kind": "assumed", "note": "n" * LINE_WIDTH}},
    }
    assert "  latency_s:\n    value: 1\n    source: s\n" in format_device_file(long)


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cn", "Co"]), max_size=40))
def test_any_text_reads_back(text: str) -> None:
    document = {"title": text, "values": {"x": {"value": text, "kind": text}}}
    assert read_document(format_device_file(document)).data == document


@given(st.floats(1e-15, 1e18), st.sampled_from(["B/s", "s", "FLOP/s", "W", "J", ""]))
def test_a_quantity_keeps_four_digits(value: float, unit: str) -> None:
    shown = Entry(value, unit, "sheet", "fitted").as_document()["value"]
    assert parse_quantity(shown, unit) == pytest.approx(value, rel=6e-4)


def test_a_rate_of_whole_numbers_is_not_called_flop() -> None:
    assert Entry(8.268e13, "OP/s", "sheet", "fitted").as_document()["value"] == "82.68 TOP/s"


def test_entries_replace_exactly_their_place() -> None:
    entry = Entry(2e-6, "s", "sheet", "fitted", "Found", low=1e-6, high=3e-6, valid="short", error=0.0471)
    found = with_entries(DOCUMENT, {("values", "latency_s"): entry, ("engines", "one", "share"): entry})
    assert found["values"]["latency_s"] == {
        "value": "2 us",
        "source": "sheet",
        "kind": "fitted",
        "low": "1 us",
        "high": "3 us",
        "error": 0.047,
        "valid": "short",
        "note": "Found",
    }
    assert found["values"]["bandwidth_bytes_per_s"] == DOCUMENT["values"]["bandwidth_bytes_per_s"]  # type: ignore[index]
    assert found["engines"]["one"]["share"]["value"] == "2 us"
    assert DOCUMENT["engines"] == {}
    assert math.isclose(DOCUMENT["values"]["latency_s"]["value"], 5e-6)  # type: ignore[index]
