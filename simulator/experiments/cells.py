"""CSV files of cells: rows of a published or measured table, and what is asked of us for each."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devices.errors import Fault, InputError
from devices.sourced import unknown_name

Column = Callable[[str], Any]
"""Turns a field's text into its value; raises ValueError that says what is allowed."""


def positive(text: str) -> float:
    """Read a finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(f"{text!r}; allowed: numbers above 0")
    return number


def whole(text: str) -> int:
    """Read a whole number above 0."""
    number = positive(text)
    if number != int(number):
        raise ValueError(f"{text!r}; allowed: whole numbers above 0")
    return int(number)


def share(text: str) -> float:
    """Read a share above 0, up to 1."""
    number = positive(text)
    if number > 1:
        raise ValueError(f"{text!r}; allowed: above 0, at most 1")
    return number


def one_of(what: str, known: Iterable[str]) -> Column:
    """Return a reader of one of several names; the message for another one has the nearest."""
    names = list(known)

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(unknown_name(what, text, names))
        return text

    return read


def read_cells(
    path: Path,
    columns: Mapping[str, Column],
    optional: Mapping[str, Column] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns that are not named are passed through as text.

    Parameters
    ----------
    path
        The file, with a header.
    columns
        Columns that every row must have.
    optional
        Columns whose fields may be empty, which leaves them out of the row.

    Raises
    ------
    InputError
        With every fault, by line: missing columns, values that are not allowed, no rows.
    """
    faults: list[Fault] = []
    rows: list[dict[str, Any]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                message = f"no column {', '.join(missing)}; required: {', '.join(columns)}"
                raise InputError(Fault(message, file=str(path), line=1, column=1))
            for record in reader:
                row: dict[str, Any] = {}
                for name, text in record.items():
                    reads = columns.get(name) or optional.get(name)
                    if reads is None:
                        row[name] = text
                    elif text or name in columns:
                        try:
                            row[name] = reads(text.strip())
                        except ValueError as error:
                            faults.append(Fault(str(error), name, str(path), reader.line_num, 1))
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(Fault(f"cannot be read: {error}", file=str(path))) from error
    if not rows and not faults:
        faults.append(Fault("has no rows", file=str(path)))
    if faults:
        raise InputError(faults)
    return rows
