"""Reading files: what is no file, what fails in mid-file and what is no text is bad input that names the file."""

import gzip
import os

import pytest

from devices import files
from devices.errors import InputError, UnreadableFileError
from devices.files import file_fault, named_fault, read_bytes, read_json, read_text, reading


def said(call, *arguments, **options):
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_what_is_no_file_is_told_apart(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    assert file_fault(tmp_path / "file") is None
    assert file_fault(tmp_path / "none") == "no such file"
    assert file_fault(tmp_path) == "is a folder, not a file"
    assert file_fault(tmp_path / "pipe") == "is a pipe, not a file"
    assert "symbolic links" in file_fault(tmp_path / "loop")
    assert "null byte" in file_fault(tmp_path / "a\0b")
    assert "too long" in file_fault(tmp_path / ("x" * 999))


def test_a_file_that_is_named_is_looked_for_somewhere(tmp_path):
    (tmp_path / "trace.csv").touch()
    where = "beside it"
    assert named_fault(tmp_path / "trace.csv", "trace.csv", where) is None
    near = named_fault(tmp_path / "trce.csv", "trce.csv", where)
    assert near == "there is no file 'trce.csv' beside it; nearest: trace.csv"
    assert named_fault(tmp_path, ".", where) == "'.' is a folder, not a file"


@pytest.mark.parametrize("read", [read_bytes, read_text, read_json])
def test_a_read_error_in_mid_file_names_the_file(tmp_path, monkeypatch, read):
    class Breaks:
        def __enter__(self):
            return self

        def __exit__(self, *exception):
            return None

        def read(self, size):
            raise OSError(5, "Input/output error")

    path = tmp_path / "it"
    path.write_text("[]")
    monkeypatch.setattr(files.Path, "open", lambda *arguments, **options: Breaks())
    assert said(read, path) == f"{path}: cannot be read: Input/output error"


def test_what_is_no_text_is_found_at_its_place(tmp_path):
    path = tmp_path / "it"
    path.write_bytes("\ufeffé\né".encode() + b"\xff")
    assert said(read_text, path, "shown", "a.b") == "shown:2:2: a.b: byte 0xff is not UTF-8 text"
    path.write_bytes(b"\xef\xbb\xbfab\n")
    assert read_text(path) == "ab\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", ":1:1: is not JSON"),
        ('{"a": 1,\n]', ":2:1: is not JSON"),
        ("[" * 10**5, "is not JSON"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_what_is_no_json_is_found_at_its_place(tmp_path, text, part):
    path = tmp_path / "it"
    path.write_text(text)
    assert part in said(read_json, path)


def test_size_is_bounded_where_a_reader_says_so(tmp_path):
    path = tmp_path / "it"
    with path.open("wb") as file:
        file.truncate(2**40)
    assert said(read_bytes, path) == f"{path}: larger than 256 MiB"
    assert said(read_bytes, path, maximum_bytes=2**20) == f"{path}: larger than 1 MiB"


@pytest.mark.parametrize(
    "spoil", [lambda it: it[: len(it) // 2], lambda it: it[:-9] + b"\0" * 9, lambda it: b"no" + it]
)
def test_a_gzip_file_that_is_damaged_later_names_the_file(tmp_path, spoil):
    path = tmp_path / "it.gz"
    path.write_bytes(spoil(gzip.compress(os.urandom(100_000))))

    def read():
        with reading(path), gzip.open(path, "rb") as file:
            while file.read(1000):
                pass

    assert said(read).startswith(f"{path}: cannot be read: ")


def test_a_reader_chooses_what_is_raised(tmp_path):
    with pytest.raises(UnreadableFileError, match="no such file"):
        read_json(tmp_path / "none", as_=UnreadableFileError)
