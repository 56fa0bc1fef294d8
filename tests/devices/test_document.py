"""YAML 1.2 documents with positions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.document import MAXIMUM_BYTES, dotted, dump_yaml, read_document
from devices.errors import InputError


def faults_of(source, name="f.yaml"):
    with pytest.raises(InputError) as caught:
        read_document(source, name)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25e9", 25e9),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("off", "off"),
        ("true", True),
        ("FALSE", False),
        ("0o17", 15),
        ("0x1F", 31),
        ("012", 12),
        ("-7", -7),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("null", None),
        ("", None),
        ("'5'", "5"),
        ('"on"', "on"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("32 Gbit/s", "32 Gbit/s"),
        ("!", None),
    ],
)
def test_scalars_of_the_core_schema(text, value):
    if text == "!":
        assert "tags are not allowed" in faults_of(f"a: {text} x")[0]
        return
    data = read_document(f"a: {text}").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_not_a_number_is_read():
    assert math.isnan(read_document(".nan").data)


def test_positions_of_keys_and_values():
    document = read_document("a: 1\nb:\n  é: [x, {c: 2}]\n", "f.yaml")
    assert document.position(("a",)) == (1, 4)
    assert document.position(("b", "é")) == (3, 6)
    assert document.position(("b", "é"), key=True) == (3, 3)
    assert document.position(("b", "é", 1, "c")) == (3, 14)
    assert document.position(("b", "missing")) == (2, 1), "the key of what is around it"
    assert str(document.fault(("b", "é", 0), "wrong")) == "f.yaml:3:7: b.é.0: wrong"
    assert document.at(("b", "é", 1, "c")) == 2
    assert dotted(("a", 0, "b")) == "a.0.b"


def test_byte_order_mark_and_windows_line_ends_shift_nothing():
    document = read_document("\ufeffa: 1\r\nb: 2\r\n")
    assert document.data == {"a": 1, "b": 2}
    assert document.position(("a",), key=True) == (1, 1)
    assert document.position(("b",)) == (2, 4)


def test_all_breaches_are_reported_at_once():
    text = "a: 1\na: 2\nb: &x 1\nc: *x\n<<: {d: 1}\n1: 2\n~: 3\n? [a]\n: 4\nd: !!str 5\ne: {f: 1, f: 2}\n"
    places = [fault.split(": ")[0] for fault in faults_of(text)]
    assert places == [
        f"f.yaml:{place}" for place in ("2:1", "3:4", "4:4", "5:1", "6:1", "7:1", "8:3", "10:4", "11:11")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c\n", "f.yaml:1:5: not YAML: "),
        ("a: 'x\n\n", "f.yaml:1:4: not YAML: "),
        ("a: @x\n", "f.yaml:1:4: not YAML: "),
        ("a:\n\t- b\n", "f.yaml:2:1: not YAML: "),
        ("a: 1\n- b\n", "f.yaml:2:1: not YAML: "),
        ("a: 1\n---\nb: 1\n", "f.yaml:2:1: only one document per file is allowed"),
        ("a: *x\n", "f.yaml:1:4: a: aliases are not allowed (*x)"),
        ("a: b\nc: \0\n", "f.yaml:2:4: character U+0000 is not allowed"),
        ("a: \ud800\n", "f.yaml:1:4: character U+D800 is not allowed"),
        ("a: " + "1" * 5000, "f.yaml:1:4: a: a number of this many digits is not allowed"),
        ("a: " + "[" * 100, "f.yaml:1:67: a.0.0: nested deeper than 64 levels"),
        ("a: " + "[" * 100_000, "f.yaml:1:"),  # of our limit or PyYAML's: its version says which comes first
        ("%YAML 3.0\n---\na: 1\n", "f.yaml:1:1: not YAML: "),
        ("x" * (MAXIMUM_BYTES + 1), "f.yaml: longer than 16 MiB"),
    ],
)
def test_bad_text_is_an_input_error_with_its_place(text, expected):
    assert faults_of(text)[0].startswith(expected)


def test_files(tmp_path):
    good = tmp_path / "good.yaml"
    good.write_bytes("\ufeffa: é\r\n".encode())
    assert read_document(good).data == {"a": "é"}
    assert read_document(good).name == str(good)
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"a: 1\nb: \xc3\xa9\xff\n")
    assert faults_of(bad) == ["f.yaml:2:5: byte 0xff is not UTF-8 text"]
    assert "no such file" in faults_of(tmp_path / "none.yaml")[0]
    assert "is a folder, not a file" in faults_of(tmp_path)[0]
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(MAXIMUM_BYTES + 1)
    assert faults_of(tmp_path / "huge.yaml") == ["f.yaml: larger than 16 MiB"]


def test_replaced_parts_name_their_origin():
    document = read_document("a: {b: 1}\nc: 2\n", "f.yaml").replaced(
        ("a", "b"), {"a": {"b": 5}, "c": 2}, "--set"
    )
    assert str(document.fault(("a", "b"), "wrong")) == "--set: a.b: wrong"
    assert str(document.fault(("c",), "wrong")) == "f.yaml:2:4: c: wrong"


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
scalars |= st.sampled_from(
    ["on", "1e3", "0o17", "~", "", "<<", "- a", "a: b", "1_000", ".inf", "\x85", "\ufeff", "\0"]
)
plain_data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(plain_data)
def test_what_is_dumped_reads_back_equal(data):
    again = read_document(dump_yaml(data)).data
    assert again == data
    assert repr(again) == repr(data), "types and the order of keys too"


@given(st.text(alphabet="ab:{}[]-?&*!|>'\"%@` \t\n\r#,.~<1e\0\ufeff"))
def test_any_text_reads_or_is_an_input_error(text):
    try:
        read_document(text)
    except InputError as error:
        assert error.faults
        assert all(fault.line >= 1 for fault in error.faults)
