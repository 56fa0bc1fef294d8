"""The tables of a run folder: records to parquet and back, without loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.core import TEXT, Table
from simulator.serving import pointers
from simulator.serving.build import INTERVALS, replica_devices
from simulator.totals import DeviceTotals
from simulator.world import RunResult

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from simulator.streaming.group import GroupResult

REQUESTS = "requests.parquet"
DEVICES = "devices.parquet"
POINTERS = "pointers.parquet"
GENERATIONS = "generations.parquet"
FAULT_ROWS = "faults.parquet"
TOTALS = "totals.parquet"
ASKS = "asks.parquet"
VIEWERS = "viewers.parquet"
CHUNKS = "chunks.parquet"
VIEWING = "viewing.parquet"
PHONES = "phones.parquet"


def write_tables(folder: Path, result: RunResult) -> None:
    """Write the tables of a run into `folder`."""
    import pyarrow  # noqa: PLC0415 (slow import)
    from pyarrow import parquet  # noqa: PLC0415

    services = result.scenario.llm_services
    requests = [_labelled(table, service=name) for name, table in result.requests.items()]
    intervals = [
        _labelled(
            table,
            service=name,
            device=_by_replica(table, replica_devices(services[name], result.scenario.devices)),
        )
        for name, table in result.intervals.items()
    ] or [_labelled(Table(INTERVALS), service="", device="")]
    phases = [_labelled(table, service=name) for name, table in result.pointers.items()] or [
        _labelled(Table(pointers.POINTERS), service="")
    ]
    totals = pyarrow.Table.from_pylist(
        [{"device": name, **asdict(it)} for name, it in result.devices.items()]
    )
    files = {TOTALS: totals}
    if requests:
        files[REQUESTS] = pyarrow.concat_tables(requests, promote_options="default")
        files[DEVICES] = pyarrow.concat_tables(intervals)
        files[POINTERS] = _several(phases)
    if result.generations:
        files[GENERATIONS] = _several(
            [_labelled(table, service=name) for name, table in result.generations.items()]
        )
    if result.faults is not None:
        files[FAULT_ROWS] = result.faults.to_arrow()
    if result.asks:
        files[ASKS] = _several([_labelled(table, service=name) for name, table in result.asks.items()])
    if result.viewers:
        files[VIEWERS] = _several([_labelled(it, service=name) for name, it in result.viewers.items()])
        sessions = [
            (name, number, session)
            for name, several in result.sessions.items()
            for number, session in sorted(several.items())
        ]
        for file, table_of in _OF_SESSION.items():
            files[file] = _several(
                [_labelled(table_of(it), service=name, session=number) for name, number, it in sessions]
            )
    for file, table in files.items():
        parquet.write_table(table, folder / file)


_OF_SESSION: Mapping[str, Callable[[GroupResult], Table]] = {
    CHUNKS: lambda session: session.chunks,
    VIEWING: lambda session: session.viewing,
    PHONES: lambda session: session.intervals,
}
"""Tables of every session of a streaming service, by file."""


def _several(tables: list[pyarrow.Table]) -> pyarrow.Table:
    import pyarrow  # noqa: PLC0415 (slow import)

    return pyarrow.concat_tables(tables).unify_dictionaries()


def _by_replica(table: Table, devices: list[str]) -> pyarrow.Array:
    """Return the device of each row's replica."""
    import pyarrow  # noqa: PLC0415 (slow import)

    names = list(dict.fromkeys(devices))
    codes = [names.index(device) for device in devices]
    rows = [codes[replica] for replica in table.column("replica").tolist()]
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(rows, pyarrow.int32()), names)


def _labelled(table: Table, **labels: str | int | pyarrow.Array) -> pyarrow.Table:
    """Return the rows with leading columns, given as a whole or by what they say everywhere."""
    import pyarrow  # noqa: PLC0415 (slow import)

    arrow = table.to_arrow()
    for name, label in reversed(labels.items()):
        if isinstance(label, str):
            codes = pyarrow.array([0] * len(table), pyarrow.int32())
            column = pyarrow.DictionaryArray.from_arrays(codes, [label])
        elif isinstance(label, int):
            column = pyarrow.array([label] * len(table), pyarrow.int32())
        else:
            column = label
        arrow = arrow.add_column(0, name, column)
    return arrow


def service_rows(frame: pandas.DataFrame, service: str, schema: dict[str, str]) -> Table:
    """Return the rows of one service as the table that they came from."""
    return table_rows(frame[frame["service"] == service], schema)


def table_rows(frame: pandas.DataFrame, schema: dict[str, str]) -> Table:
    """Return the rows of a frame as a table of `schema`."""
    table = Table(schema)
    columns = [
        frame[name].astype(str if kind == TEXT else float if kind == "d" else int).tolist()
        for name, kind in schema.items()
    ]
    for row in zip(*columns, strict=True):
        table.append(*row)
    return table


def device_totals(frame: pandas.DataFrame) -> dict[str, DeviceTotals]:
    """Return the totals by device."""
    names = [field.name for field in fields(DeviceTotals) if field.name in frame]  # older runs have fewer
    return {
        str(device): DeviceTotals(*row) for device, *row in frame[["device", *names]].itertuples(index=False)
    }
