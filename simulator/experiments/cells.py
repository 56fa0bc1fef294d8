"""CSV files of cells: rows of a published or measured table, and what is asked of us for each."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from devices.errors import Fault, InputError
from devices.files import read_text, reading
from devices.sourced import unknown_name
from simulator.scenario.spec import Scenario
from simulator.serving.memory import memory_shortfall_bytes
from simulator.serving.models import load_model

Column = Callable[[str], Any]
"""Turns a field's text into its value; raises ValueError that says what is allowed."""


def number(low: float, high: float) -> Column:
    """Return a reader of finite numbers from `low` to `high`."""

    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"{text!r} is out of range; allowed: {low:g} to {high:g}")
        return value

    return read


def whole(high: int) -> Column:
    """Return a reader of whole numbers from 1 to `high`."""

    def read(text: str) -> int:
        value = float(text)
        if not 1 <= value <= high or value != int(value):
            raise ValueError(f"{text!r} is out of range; allowed: whole numbers from 1 to {high:,}")
        return int(value)

    return read


MEASURED = number(1e-9, 1e9)
"""Reads a published or measured figure: a speed-up, seconds, tokens per second."""

GPUS, TOKENS = whole(1024), whole(10_000_000)
"""Read a number of GPUs in a group, and of tokens in a prompt or an answer."""


def one_of(what: str, known: Iterable[str]) -> Column:
    """Return a reader of one of several names; the message for another one has the nearest."""
    names = list(known)

    def read(text: str) -> str:
        if text not in names:
            raise ValueError(unknown_name(what, text, names))
        return text

    return read


def placement_fault(scenario: Scenario) -> str | None:
    """Return why the model of a cell's one LLM service cannot be served on its GPUs; None where it can."""
    (service,) = scenario.llm_services.values()
    (device,) = (scenario.devices[name] for name in service.pool)
    model, gpus = load_model(service.model), service.tensor_parallel
    if model.attention_heads % gpus:
        return f"{model.attention_heads} attention heads of {model.name} cannot be shared by {gpus} GPUs"
    short = memory_shortfall_bytes(service, device)
    if short > 0:
        return (
            f"{model.name} does not fit on {gpus} x {device.profile}: {short / 2**30:.1f} GiB per GPU short"
        )
    return None


def as_number(text: str) -> int | float | str:
    """Return the number that a text is in decimal notation, such as 8, -0.5 or 1e-3; any other text as it is.

    A number that starts with a needless zero, such as 007, is a label.
    """
    match = re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?", text)
    if match is None:
        return text
    if match[2] or match[3]:
        value = float(text)
        return value if math.isfinite(value) else text
    return int(text)


def read_cells(
    path: Path,
    columns: Mapping[str, Column],
    optional: Mapping[str, Column] = MappingProxyType({}),
    check: Callable[[Mapping[str, Any]], str | None] = lambda row: None,
) -> list[dict[str, Any]]:
    """Read a CSV of cells; columns that are not named are passed through, numbers as numbers, else as text.

    Parameters
    ----------
    path
        The file, with a header.
    columns
        Columns that every row must have.
    optional
        Columns whose fields may be empty, which leaves them out of the row.
    check
        Says what is wrong with a row whose columns are all right; None where nothing is.

    Raises
    ------
    InputError
        With every fault, by line: missing columns, values that are not allowed, no rows.
    """
    faults: list[Fault] = []
    rows: list[dict[str, Any]] = []
    with reading(path):
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            message = f"no column {', '.join(missing)}; required: {', '.join(columns)}"
            raise InputError(Fault(message, file=str(path), line=1, column=1))
        for record in reader:
            row: dict[str, Any] = {}
            wrong: list[tuple[str, str]] = []
            for key, field in cast(dict[Any, Any], record).items():
                if key is None:  # with a list, where a row is longer than the header
                    wrong.append(("", f"has more fields than the header: {field}"))
                    continue
                name = str(key)
                reads = columns.get(name) or optional.get(name)
                text = (field or "").strip()
                if reads is None:
                    row[name] = as_number(text)
                elif text or name in columns:
                    try:
                        row[name] = reads(text)
                    except ValueError as error:
                        wrong.append((name, str(error)))
            if not wrong and (fault := check(row)):
                wrong.append(("", fault))
            faults += [Fault(message, where, str(path), reader.line_num, 1) for where, message in wrong]
            rows.append(row)
    if not rows and not faults:
        faults.append(Fault("has no rows", file=str(path)))
    if faults:
        raise InputError(faults)
    return rows
