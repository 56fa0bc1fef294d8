"""A workload file under scrutiny: its text, its rows, and every fault found in it."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from devices.files import NO_FILE, file_fault, nearest_file, read_text
from devices.quantity import NUMBER

FAULTS_LISTED = 20
"""Faults listed per file; the rest is only counted."""

LARGEST = 1e15
"""Larger numbers are taken for slips: their sums and products would leave what a float holds."""

LATEST_S = 1e12
"""So are later times, some 30,000 years; a trace may count from the epoch of its clock."""

MAX_TOKENS = 100_000_000
"""Longest prompt or answer that is taken for a number of tokens and not for a slip."""


_WHOLE = re.compile(
    r"\s*\+?0*[0-9]{1,18}\s*", re.ASCII
)  # not what else Python reads, such as 3_7 or Arabic digits
_NUMBER = re.compile(rf"\s*{NUMBER}\s*", re.ASCII)


class SourceFile:
    """A text file of rows that collects its faults until `check` raises them together.

    Parameters
    ----------
    path
        The file.
    shown
        The file as the user named it; it stands in messages. Empty: `path`.
    key
        Dotted path of the scenario field that names the file; empty where there is none.
    """

    def __init__(self, path: Path, shown: str = "", key: str = "") -> None:
        self.path = path
        self._shown = shown or str(path)
        self._key = key
        self._faults: list[Fault] = []
        self._unlisted = 0

    def fault(self, message: str, line: int = 0, column: int = 1) -> None:
        """Note one fault at the 1-based `line`; 0 stands for the whole file."""
        if len(self._faults) < FAULTS_LISTED:
            self._faults.append(Fault(message, self._key, self._shown, line, column if line else 0))
        else:
            self._unlisted += 1

    def check(self) -> None:
        """Raise `InputError` with every fault noted so far, if there is one."""
        if self._unlisted:
            self._faults.append(Fault(f"and {self._unlisted:,} more faults", self._key, self._shown))
        if self._faults:
            raise InputError(self._faults)

    def fail(self, message: str, line: int = 0, column: int = 1) -> InputError:
        """Return the error to raise for a fault after which nothing more can be read."""
        return InputError(Fault(message, self._key, self._shown, line, column if line else 0))

    def text(self) -> str:
        """Return the whole file as text.

        Raises
        ------
        InputError
            Where the file cannot be read, is not UTF-8 or is empty.
        """
        fault = file_fault(self.path)
        if fault == NO_FILE:
            raise self.fail(f"{fault}{nearest_file(self.path)}")
        text = read_text(self.path, self._shown, self._key)
        if not text.strip():
            raise self.fail("the file is empty")
        return text

    def table(self, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of a CSV file with a header; cells in the order asked for.

        An absent optional column is not in `cells`. Rows with too few or too many cells are noted as faults
        and skipped, as are blank lines (those silently).

        Raises
        ------
        InputError
            Where the file is no CSV with these columns; all missing ones are named with the nearest match.
        """
        rows = csv.reader(io.StringIO(self.text(), newline=""), strict=True)
        try:
            header = [cell.strip() for cell in next(row for row in rows if row)]
            head = rows.line_num
            for name in columns:
                if name not in header:
                    found = shorten(", ".join(header), 300)
                    self.fault(f"column {name!r} is missing{nearest(name, header)}; found: {found}", head)
                elif header.count(name) > 1:
                    self.fault(f"column {name!r} stands {header.count(name)} times in the header", head)
            self.check()
            places = [header.index(name) for name in (*columns, *optional) if name in header]
            for row in rows:
                if len(row) == len(header):
                    yield rows.line_num, [row[place] for place in places]
                elif row and not (len(row) == 1 and not row[0].strip()):
                    self.fault(f"row has {len(row)} cells; the header has {len(header)}", rows.line_num)
        except csv.Error as error:
            raise self.fail(f"not a CSV row: {error}", rows.line_num) from None

    def json_rows(self, keys: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (line, row) of a file with one JSON object per line; each row has all `keys` and perhaps others.

        Lines that are no such object are noted as faults and skipped, blank lines silently.
        """
        for line, text in enumerate(self.text().split("\n"), start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text, object_pairs_hook=_object)
            except json.JSONDecodeError as error:
                self.fault(f"not a JSON object: {error.msg}", line, error.colno)
                continue
            except _RepeatedKeyError as error:
                self.fault(f"key {shorten(error.args[0])} stands twice in one object", line)
                continue
            except (ValueError, RecursionError):  # a number of thousands of digits, brackets without end
                self.fault("not a JSON object that can be read", line)
                continue
            if not isinstance(row, dict):
                self.fault(f"is {shorten(row)}; allowed: a JSON object with {', '.join(keys)}", line)
                continue
            missing = [f"{key!r}{nearest(key, list(row))}" for key in keys if key not in row]
            if missing:
                self.fault(f"key is missing: {', '.join(missing)}", line)
                continue
            yield line, row

    def count(self, value: object, what: str, line: int) -> int | None:
        """Return `value`, a whole number or its text, as tokens; else None, and note a fault."""
        number: int | None = None
        if isinstance(value, str):
            number = int(value) if _WHOLE.fullmatch(value) else None
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        if number is None or not 1 <= number <= MAX_TOKENS:
            self.fault(f"{what} is {shorten(value)}; allowed: whole numbers from 1 to {MAX_TOKENS:,}", line)
            return None
        return number

    def number(self, value: object, what: str, line: int, most: float = LARGEST) -> float | None:
        """Return `value`, a number or its text, if it is from 0 to `most`; else None, and note a fault."""
        number = math.nan
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            try:
                number = math.nan if isinstance(value, str) and not _NUMBER.fullmatch(value) else float(value)
            except OverflowError:  # a whole number that no float holds
                number = math.inf
        if not 0 <= number <= most:
            self.fault(f"{what} is {shorten(value)}; allowed: finite numbers from 0 to {most:g}", line)
            return None
        return number


class _RepeatedKeyError(Exception):
    """A JSON object has a key twice, of which Python would silently keep the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return found


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ``; nearest: X`` for the best match of `name` among `known`, or nothing."""
    folded = {other.lower(): other for other in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"; nearest: {folded[near[0]]}" if near else ""


def shorten(value: object, length: int = 60) -> str:
    """Return `value` as it is shown in a message, cut to a readable length."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of {value.bit_length()} bits"  # Python refuses to print very long ones
    shown = repr(value)
    return shown if len(shown) <= length else shown[: length - 3] + "..."
