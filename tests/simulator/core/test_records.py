"""Columnar records: cheap rows in, columns out."""

import numpy as np
import pytest

from simulator.core import CoreError, Table

SCHEMA = {"time_s": "d", "request": "q", "replica": "i", "hit": "B", "tier": "text", "kind": "text"}
ROWS = [
    (0.5, 1, -3, 1, "disk", "a"),
    (1.5, 2**40, 4, 0, "dram", "a"),
    (2.5, -7, 5, True, "disk", "b"),
]


def filled() -> Table:
    table = Table(SCHEMA)
    for row in ROWS:
        table.append(*row)
    return table


def test_columns_are_what_was_appended() -> None:
    table = filled()
    assert len(table) == 3
    columns = [table.column(name).tolist() for name in SCHEMA]
    assert list(zip(*columns, strict=True)) == ROWS
    assert table.column("time_s").dtype == np.float64
    assert table.column("request").dtype == np.int64


def test_an_empty_table_has_empty_columns() -> None:
    table = Table(SCHEMA)
    assert [len(table.column(name)) for name in SCHEMA] == [0] * 6
    assert table.to_arrow().num_rows == 0


def test_a_column_is_a_read_only_view_and_the_table_grows_again_once_it_is_gone() -> None:
    table = filled()
    view = table.column("time_s")
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 9.0
    with pytest.raises(CoreError, match="copy the column"):
        table.append(*ROWS[0])
    copy = view.copy()
    del view
    table.append(*ROWS[0])
    assert (len(copy), len(table)) == (3, 4)


@pytest.mark.parametrize(
    "row",
    [
        ROWS[0][:-1],
        (*ROWS[0], 1),
        (),
        ("late", 1, 1, 1, "disk", "a"),
        (0.5, 1.5, 1, 1, "disk", "a"),
        (0.5, 1, 2**40, 1, "disk", "a"),
        (0.5, 1, 1, 256, "disk", "a"),
        (0.5, 1, 1, 1, None, "a"),
        (0.5, 1, 1, 1, ["disk"], "a"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_whole(row: tuple[object, ...]) -> None:
    table = filled()
    with pytest.raises(CoreError):
        table.append(*row)  # type: ignore[arg-type]
    assert len(table) == 3
    assert table.column("time_s").tolist() == [0.5, 1.5, 2.5]


def test_unknown_types_and_columns_are_named() -> None:
    with pytest.raises(CoreError, match=r"'x': unknown type 'f'; allowed: d, q, B, i, text"):
        Table({"x": "f"})
    with pytest.raises(CoreError, match="no column 'tme_s'; there are: time_s, request"):
        filled().column("tme_s")


def test_to_arrow_keeps_types_and_encodes_text_once() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    arrow = filled().to_arrow()
    assert arrow.column_names == list(SCHEMA)
    assert arrow.schema.field("tier").type == pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    assert arrow.schema.field("hit").type == pyarrow.uint8()
    assert arrow.column("tier").to_pylist() == ["disk", "dram", "disk"]
    assert arrow.column("request").to_pylist() == [1, 2**40, -7]
