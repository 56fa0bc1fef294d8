"""The folder of a sweep: its plan, what has been done, and the table at the end.

``plan.jsonl`` stands there before the first run starts: one line per run with its point, replication and key. Each
process appends to a results file of its own, one line per run that has ended, written at once; a line that a kill has
cut short does not count. A key tells all that a run depends on, so that whatever has been done once need not be done
again.

``results.parquet`` has a row per run in the order of the plan, and nothing that depends on who ran it or when. It is
always that of the plan beside it: one of another plan is deleted before a new plan is written.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from filecmp import cmp
from functools import cache
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from devices.files import read_bytes
from simulator.experiments.comparison import flatten
from simulator.experiments.folders import whole_file

PLAN = "plan.jsonl"
RESULTS = "results.parquet"
_WORKER = "results-*.jsonl"


@dataclass(frozen=True, slots=True)
class Planned:
    """One run of a sweep."""

    number: int
    """Place in the plan."""
    point: Mapping[str, str]
    """YAML text by path."""
    replication: int
    """Number of the replication."""
    key: str
    """Hash of all that the run depends on, the version of hetsim included."""


class Writer:
    """A results file; it is made with the first line.

    Parameters
    ----------
    folder
        The sweep's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = self._new()

    def append(self, result: Mapping[str, Any]) -> None:
        """Append one line; it is there whole once this returns.

        Raises
        ------
        InputError
            Where it cannot be written, for instance because the disk is full.
        """
        line = (json.dumps(result, separators=(",", ":"), allow_nan=False) + "\n").encode()
        path = self._path
        try:
            with path.open("ab", buffering=0) as file:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._path = self._new()  # nothing may follow half a line
            raise InputError(Fault(f"cannot be written: {error.strerror}", file=str(path))) from error

    def _new(self) -> Path:
        return self._folder / f"results-{os.getpid()}-{secrets.token_hex(4)}.jsonl"


def writer(folder: Path) -> Writer:
    """Return this process's results file of a sweep."""
    return _writer(folder, os.getpid())  # a process that was forked off has another number


@cache
def _writer(folder: Path, pid: int) -> Writer:
    return Writer(folder)


def write_plan(folder: Path, plan: Iterable[Planned]) -> None:
    """Write the plan, whole or not at all; the table of another plan goes before.

    Raises
    ------
    InputError
        Where the folder cannot be written to.
    """
    file = folder / PLAN
    with whole_file(file) as unfinished:
        with unfinished.open("w", encoding="utf-8") as lines:
            for run in plan:
                line = {
                    "number": run.number,
                    "point": run.point,
                    "replication": run.replication,
                    "key": run.key,
                }
                lines.write(json.dumps(line, separators=(",", ":")) + "\n")
        if not (file.is_file() and cmp(file, unfinished, shallow=False)):
            (folder / RESULTS).unlink(missing_ok=True)


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what has been done, by key; of a run that was done twice, a success goes before a failure."""
    done: dict[str, dict[str, Any]] = {}
    for result in _lines(folder):
        key = result["key"]
        if key not in done or done[key]["status"] != "succeeded":
            done[key] = result
    return done


def read_ended(folder: Path, driver: str) -> set[str]:
    """Return the keys of the runs that a driver need not give out: they have succeeded, or failed since it began."""
    return {
        result["key"]
        for result in _lines(folder)
        if result["status"] == "succeeded" or result.get("driver") == driver
    }


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob(_WORKER)):
        for line in read_bytes(path, maximum_bytes=None).split(b"\n")[
            :-1
        ]:  # what follows the last end of line was cut short
            try:
                yield json.loads(line)
            except ValueError:
                continue  # cut short, and then appended to


def forget_results(folder: Path) -> None:
    """Delete what has been done."""
    for path in (*folder.glob(_WORKER), folder / RESULTS):
        path.unlink(missing_ok=True)


def write_table(
    folder: Path, axes: Sequence[str], plan: Sequence[Planned], done: Mapping[str, Mapping[str, Any]]
) -> Path:
    """Write ``results.parquet``: axes, replication, status, failure, then every figure of the summaries.

    An axis whose values are all numbers is a column of numbers; else its values stand there as they were written.
    """
    import pyarrow  # noqa: PLC0415 (slow import)
    from pyarrow import parquet  # noqa: PLC0415

    columns: dict[str, list[Any]] = {path: _numbers([run.point[path] for run in plan]) for path in axes}
    columns["replication"] = [run.replication for run in plan]
    columns["status"] = [done[run.key]["status"] for run in plan]
    columns["failure"] = [done[run.key].get("failure") for run in plan]
    flat = [flatten(done[run.key].get("summary")) for run in plan]
    for name in dict.fromkeys(name for figures in flat for name in figures):
        values = [figures.get(name) for figures in flat]
        columns[name] = [None if value is None else float(value) for value in values]
    types = {"status": pyarrow.string(), "failure": pyarrow.string(), "replication": pyarrow.int64()}
    table = pyarrow.table({name: pyarrow.array(values, types.get(name)) for name, values in columns.items()})
    with whole_file(folder / RESULTS) as unfinished:
        parquet.write_table(table, unfinished)
    return folder / RESULTS


def _numbers(texts: list[str]) -> list[Any]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return list(texts)
