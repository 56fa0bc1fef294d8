"""Rows of published tables, CSV or parquet: every cell is checked when it is read, and a fault says where."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from devices.files import reading

HALF_IQR_PER_STD = 0.674
"""Half of the interquartile range of a normal distribution, in standard deviations; for tables that
publish only those."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    file: str
    """File name as the user gave it."""
    number: int
    """1-based line of a text file, or row of a parquet file."""
    cells: Mapping[str, Any]
    """Cell by column name."""

    def text(self, column: str) -> str:
        """A cell that must not be empty."""
        value = self.cells.get(column)
        if value is None or str(value).strip() == "":
            raise self.fault(f"column {column} is empty")
        return str(value).strip()

    def real(self, column: str) -> float:
        """A cell that must be a finite number."""
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            raise self.fault(f"column {column}: {text!r} is not a number") from None
        if not math.isfinite(value):
            raise self.fault(f"column {column}: {text} is not a finite number")
        return value

    def amount(self, column: str) -> float:
        """A cell that must be a number of at least 0: a size, a count."""
        value = self.real(column)
        if value < 0:
            raise self.fault(f"column {column}: {value:g} is negative")
        return value

    def positive(self, column: str) -> float:
        """A cell that must be a number above 0: a time, a power."""
        value = self.real(column)
        if value <= 0:
            raise self.fault(f"column {column}: {value:g} is not above 0")
        return value

    def has(self, column: str) -> bool:
        """Whether the row has a non-empty cell in `column`."""
        value = self.cells.get(column)
        return value is not None and str(value).strip() != ""

    def fault(self, message: str) -> InputError:
        """The error that says what is wrong with this row."""
        return InputError(Fault(message, file=self.file, line=self.number, column=1))


def csv_rows(path: Path, required: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file, gzipped or not, with one line of column names."""
    file = str(path)
    with (
        reading(path),
        (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="")
        ) as stream,
    ):
        reader = csv.reader(stream)
        columns = next(reader, [])
        require(columns, required, file)
        for cells in reader:
            row = Row(file, reader.line_num, dict(zip(columns, cells, strict=False)))
            if len(cells) != len(columns):
                raise row.fault(f"{len(cells)} cells, {len(columns)} columns")
            yield row


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a parquet file."""
    import pyarrow  # noqa: PLC0415 - slow to import, and needed for these tables only
    import pyarrow.parquet  # noqa: PLC0415

    number = 0
    with reading(path, also=(pyarrow.ArrowException,)), pyarrow.parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=8192):
            for cells in batch.to_pylist():
                number += 1
                yield Row(str(path), number, cells)


def require(columns: Sequence[str], required: Sequence[str], file: str) -> None:
    """Raise `InputError` where one of the required columns is absent."""
    missing = [name for name in required if name not in columns]
    if missing:
        raise InputError(Fault(f"columns missing: {', '.join(missing)}", file=file, line=1, column=1))
