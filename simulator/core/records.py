"""Tables that grow row by row during a run and are read column by column after it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.core.errors import CoreError

if TYPE_CHECKING:
    import pyarrow

TEXT: Final = "text"
"""Column type: text, kept once per distinct value."""

_DTYPES: Final = {"d": "<f8", "q": "<i8", "B": "<u1", "i": "<i4", TEXT: "<i4"}


class _Codes(dict[str, int]):
    """Code of each distinct text, in order of first appearance."""

    def __missing__(self, text: str) -> int:
        if not isinstance(text, str):
            raise CoreError(f"{text!r} is no text")
        code = self[text] = len(self)
        return code


class Table:
    """Rows of a fixed schema, packed.

    A row is packed by one call into C (0.5 us for a dozen columns, a fifth of the memory of Python objects)
    and goes in whole or not at all. Columns are strided views of the packed rows, not copies.

    Parameters
    ----------
    schema
        Column name -> type: ``"d"`` float, ``"q"`` 64-bit integer, ``"i"`` 32-bit integer, ``"B"`` 0 to 255
        (flags), ``"text"`` dictionary-encoded text.

    Raises
    ------
    CoreError
        For a type that does not exist.
    """

    __slots__ = ("_dtype", "_pack", "_rows", "_texts", "schema")

    def __init__(self, schema: Mapping[str, str]) -> None:
        for name, kind in schema.items():
            if kind not in _DTYPES:
                raise CoreError(f"column {name!r}: unknown type {kind!r}; allowed: {', '.join(_DTYPES)}")
        self.schema: dict[str, str] = dict(schema)
        """Column types by name, in the order of `append`."""
        self._dtype = np.dtype([(name, _DTYPES[kind]) for name, kind in schema.items()])
        self._pack = struct.Struct(
            "<" + "".join("i" if kind == TEXT else kind for kind in schema.values())
        ).pack
        self._rows = bytearray()
        self._texts: list[tuple[int, _Codes]] = [
            (position, _Codes()) for position, kind in enumerate(schema.values()) if kind == TEXT
        ]

    def append(self, *values: float | str) -> None:
        """Append one row, values in the order of the schema.

        Raises
        ------
        CoreError
            Where the row does not fit the schema, or a view of a column is still held (see `column`). The
            table is unchanged then.
        """
        try:
            if self._texts:
                row: list[Any] = list(values)
                for position, codes in self._texts:
                    row[position] = codes[row[position]]
                self._rows += self._pack(*row)
            else:
                self._rows += self._pack(*values)
        except (struct.error, IndexError, TypeError) as error:
            raise CoreError(f"row {values!r} does not fit {self.schema!r}: {error}") from error
        except BufferError as error:
            raise CoreError(
                "the table cannot grow while a view of a column is held: copy the column"
            ) from error

    def extend(self, other: Table) -> None:
        """Append all rows of a table of the same schema.

        Raises
        ------
        CoreError
            Where its schema is another one.
        """
        if other.schema != self.schema:
            raise CoreError(f"cannot append rows of {other.schema!r} to {self.schema!r}")
        rows = np.frombuffer(bytes(other._rows), dtype=self._dtype).copy()
        names = list(self.schema)
        for (position, codes), (_, others) in zip(self._texts, other._texts, strict=True):
            if others:
                column = rows[names[position]]
                column[:] = np.array([codes[text] for text in others], "<i4")[column]
        self._rows += rows.tobytes()

    def __len__(self) -> int:
        return len(self._rows) // self._dtype.itemsize

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, shape (rows,).

        Numbers come as a read-only view; while it is held the table cannot grow (copy it if it is to grow).
        Texts come as an array of str objects.
        """
        view = self._view(name)
        if self.schema[name] != TEXT:
            return view
        return np.array(self._values(name), dtype=object)[view] if len(view) else np.empty(0, dtype=object)

    def to_arrow(self) -> pyarrow.Table:
        """Return the rows as a pyarrow table (a copy); text columns have dictionary type."""
        import pyarrow  # noqa: PLC0415 (slow import, needed only to write files)

        arrays = []
        for name, kind in self.schema.items():
            array = pyarrow.array(np.ascontiguousarray(self._view(name)))
            if kind == TEXT:
                texts = pyarrow.array(self._values(name), pyarrow.string())
                array = pyarrow.DictionaryArray.from_arrays(array, texts)
            arrays.append(array)
        return pyarrow.Table.from_arrays(arrays, names=list(self.schema))

    def _view(self, name: str) -> NDArray[Any]:
        """Column as packed: codes where the column is text."""
        if name not in self.schema:
            raise CoreError(f"no column {name!r}; there are: {', '.join(self.schema)}")
        view: NDArray[Any] = np.frombuffer(self._rows, dtype=self._dtype)[name]
        view.flags.writeable = False
        return view

    def _values(self, name: str) -> list[str]:
        """Return the distinct texts of a column, in the order of their codes."""
        position = list(self.schema).index(name)
        return next(list(codes) for where, codes in self._texts if where == position)
