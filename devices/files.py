"""Reading files that users name: what is no file, what fails in mid-file and what is no text is bad input.

Every reader of the project goes through here, so that one fault has one message, whoever meets it.
"""

from __future__ import annotations

import csv
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from devices.quantity import nearest, shown

MAXIMUM_BYTES = 256 * 2**20
"""Larger files are refused unless a reader says otherwise: what they hold takes more memory than most machines have."""

NO_FILE = "no such file"
"""What `file_fault` says where there is nothing."""

_MALFORMED: tuple[type[Exception], ...] = (
    OSError,  # also of a damaged gzip file
    EOFError,  # one that is cut short
    zlib.error,
    UnicodeDecodeError,
    json.JSONDecodeError,
    csv.Error,
)

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a pipe, not a file"),  # it would be waited for
    (stat.S_ISCHR, "is a device, not a file"),  # some have no end
    (stat.S_ISBLK, "is a device, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
)


def file_fault(path: Path) -> str | None:
    """Return why there is no regular file at `path`; None where there is one. Nothing is opened."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return NO_FILE
    except (OSError, ValueError) as error:
        return f"cannot be read: {_reason(error)}"
    return next((message for is_kind, message in _KINDS if is_kind(mode)), None)


def named_fault(path: Path, written: str, where: str, folder: Path | None = None) -> str | None:
    """Return the `file_fault` of a file that a document names.

    Parameters
    ----------
    path
        The file.
    written
        What the document calls it.
    where
        Where it was looked for, in words.
    folder
        Where one of a similar name may lie; None: beside `path`.
    """
    fault = file_fault(path)
    if fault == NO_FILE:
        return f"there is no file {shown(written)} {where}{nearest_file(path, folder)}"
    return f"{shown(written)} {fault}" if fault else None


def nearest_file(path: Path, folder: Path | None = None) -> str:
    """Return ``; nearest: X`` for the file of `folder` (None: beside `path`) of the most similar name, or nothing."""
    folder = path.parent if folder is None else folder
    try:
        near = nearest(path.name, [entry.name for entry in folder.iterdir()])
    except FileNotFoundError:
        return f" (nor is there a folder {folder.name!r})"
    except (OSError, ValueError):
        return ""
    return f"; nearest: {near}" if near else ""


@contextmanager
def reading(
    path: Path,
    name: str = "",
    key: str = "",
    *,
    also: tuple[type[Exception], ...] = (),
    as_: type[InputError] = InputError,
) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read, at its beginning or later, into bad input that names it.

    Parameters
    ----------
    path
        The file; it is looked at before anything is opened.
    name
        What messages call it; empty: the path.
    key
        Dotted path of the scenario field that names it; empty where there is none.
    also
        Exceptions that a reader's library raises of malformed content.
    as_
        What is raised.

    Raises
    ------
    InputError
        Where `path` is no regular file, the system refuses to read on, compressed data are damaged, or the content is
        no UTF-8, JSON or CSV.
    """
    name = name or str(path)
    if fault := file_fault(path):
        raise as_(Fault(fault, key, name))
    try:
        yield
    except (*_MALFORMED, *also) as error:
        raise as_(Fault(f"cannot be read: {_reason(error)}", key, name)) from error


def read_bytes(
    path: Path,
    name: str = "",
    key: str = "",
    *,
    maximum_bytes: int | None = MAXIMUM_BYTES,
    as_: type[InputError] = InputError,
) -> bytes:
    """Return what a file holds; the parameters are those of `reading`, and `maximum_bytes`, without bound where None.

    Raises
    ------
    InputError
        As `reading` says, and where it is larger than `maximum_bytes`.
    """
    with reading(path, name, key, as_=as_), path.open("rb") as file:
        content = file.read(-1 if maximum_bytes is None else maximum_bytes + 1)
    if maximum_bytes is not None and len(content) > maximum_bytes:
        raise as_(Fault(f"larger than {maximum_bytes // 2**20} MiB", key, name or str(path)))
    return content


def read_text(
    path: Path,
    name: str = "",
    key: str = "",
    *,
    maximum_bytes: int | None = MAXIMUM_BYTES,
    as_: type[InputError] = InputError,
) -> str:
    """Return what a UTF-8 file holds, without a byte order mark; the parameters are those of `read_bytes`.

    Raises
    ------
    InputError
        As `read_bytes` says, and with line and column of the first byte that is no UTF-8.
    """
    content = read_bytes(path, name, key, maximum_bytes=maximum_bytes, as_=as_)
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8").removeprefix("\ufeff")) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8 text"
        raise as_(Fault(message, key, name or str(path), before.count(b"\n") + 1, column)) from None


def read_json(path: Path, *, as_: type[InputError] = InputError) -> Any:
    """Return the data of a JSON file that this project has written.

    Raises
    ------
    InputError
        As `read_text` says, and where it is no JSON, with line and column.
    """
    text = read_text(path, as_=as_)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise as_(Fault(f"is not JSON: {error.msg}", "", str(path), error.lineno, error.colno)) from None
    except (ValueError, RecursionError) as error:  # thousands of digits, brackets without end
        raise as_(Fault(f"is not JSON that can be read: {error}", file=str(path))) from None


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without its name, which stands before."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
