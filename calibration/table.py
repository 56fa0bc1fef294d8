"""One table of measurements: what every benchmark writes, every reader yields and every fit takes.

A file is CSV. It opens with a header of comment lines, ``# key: value`` (device, hardware, software
versions, date, command, source, licence), then has one row per measured point. The columns `FIXED` stand
first; every other column is one parameter of the measured point, named with its unit
(``message_bytes``, ``input_tokens``). An empty cell means that the point has no such parameter.

Names are shared, so that a fit takes our own measurements and published ones alike:

===================  ===================================================================================
bench                parameters
===================  ===================================================================================
gemm                 m, n, k, precision (m: tokens, n: output width, k: input width)
attention_prefill    batch, new_tokens and prefix_tokens of each sequence, heads, kv_heads, head_dim,
                     precision, kv_precision, window_tokens (sliding window only)
attention_decode     batch, context_tokens of each sequence, the new one among them; the rest as above
attention_mixed      as attention_prefill, with decode_batch and decode_context_tokens
layer                layer, model, tokens, tensor_parallel: other operations of a step
moe                  tokens, hidden, intermediate, top_k, experts, tensor_parallel, expert_parallel
step                 model, batch, context_tokens, chunk_tokens, prefix_tokens: one step of a transformer
collective           operation (all_reduce, all_gather...), message_bytes, gpus, precision
copy                 direction (h2d, d2h, both), block_bytes
storage              direction (read, write), block_bytes, queue_depth
network              direction, message_bytes
sr                   network, input_width_px, input_height_px, precision, runtime, processor
inference            network or model, precision, runtime, processor: other nets on phones
serving              model, batch, input_tokens, output_tokens, gpus: a serving engine end to end
engine               model, tensor_parallel: settings of a serving engine
playback             height_px, width_px, bitrate_bits_per_s, frames_per_s: a phone playing video
component            component, voltage_v: a part of a phone
real_cake            policy, bandwidth_bytes_per_s, prompt_tokens, chunk_tokens, io_chunk_tokens, model: a request
                     of `calibration.validation`, whose rows also have role and threads
===================  ===================================================================================

Everywhere: ``backend`` is the software with its version, ``tensor_parallel`` the number of GPUs that share
a layer, ``precision`` a number format (bf16, fp16, fp8, int8; our own benchmarks give torch's name as
``dtype``); ``suspect`` is 1 where the value cannot be right (see `calibration.readers.suspects`).
"""

from __future__ import annotations

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from devices.errors import Fault, InputError
from devices.files import reading

FIXED = ("bench", "device", "metric", "unit", "value", "spread", "repeats")
"""Columns that every file has, in this order; ``source`` joins them where rows differ in it."""

UNITS = frozenset({"s", "B", "B/s", "FLOP/s", "OP/s", "1/s", "tokens/s", "W", "J", "A", "V", "Hz", "K", ""})
"""Units a value may have: SI without prefixes; empty for a ratio or a count."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"# ?([^:]+?): ?(.*)")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured point."""

    bench: str
    """What was measured, such as ``gemm``, ``attention_decode`` or ``copy``."""
    device: str
    """Catalogue name of the device where there is one, else the name that the source gives."""
    parameters: Mapping[str, float | str]
    """The point itself: every setting that the value depends on, units in the names."""
    metric: str
    """Which quantity: ``latency``, ``bandwidth``, ``power``, ``energy`` and so on."""
    unit: str
    """One of `UNITS`."""
    value: float
    """Median over the repeats, in `unit`."""
    spread: float = 0.0
    """Half of the interquartile range, in `unit`; 0 also where a published table names none."""
    repeats: tuple[float, ...] = ()
    """Raw values in `unit`, in the order measured; empty for published tables."""
    source: str = ""
    """Where the value comes from."""

    @classmethod
    def of_repeats(
        cls,
        bench: str,
        device: str,
        parameters: Mapping[str, float | str],
        metric: str,
        unit: str,
        repeats: Sequence[float],
        source: str,
    ) -> Measurement:
        """Summarise raw repeats (at least one, in `unit`) by their median and half interquartile range."""
        spread = 0.0
        if len(repeats) > 1:
            first, _, third = statistics.quantiles(repeats, n=4, method="inclusive")
            spread = (third - first) / 2
        return cls(
            bench,
            device,
            parameters,
            metric,
            unit,
            statistics.median(repeats),
            spread,
            tuple(repeats),
            source,
        )

    def number(self, parameter: str) -> float:
        """A parameter that must be a number; raises `InputError` where it is absent or text."""
        value = self.parameters.get(parameter)
        if value is None or isinstance(value, str):
            found = "nothing" if value is None else repr(value)
            message = f"parameter {parameter} of a {self.bench} row must be a number, found {found}"
            raise InputError(Fault(message))
        return value


@dataclass(frozen=True, slots=True)
class Table:
    """A file of measurements."""

    header: dict[str, str] = field(default_factory=dict)
    """What holds for all rows: device, hardware, software versions, date, command, source, licence."""
    rows: list[Measurement] = field(default_factory=list)
    """The measured points in file order."""


def write_measurements(path: Path, header: Mapping[str, str], rows: Iterable[Measurement]) -> None:
    """Write a table to a new file.

    Raises
    ------
    InputError
        When `path` exists, or a row would not read back as it is.
    """
    if path.exists():  # looked at first, so that a long table is not formatted in vain
        raise InputError(_exists(path))
    text = format_measurements(header, rows)
    try:
        with path.open("x", encoding="utf-8", newline="") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(_exists(path)) from None
    except OSError as error:
        raise InputError(Fault(f"cannot write: {error.strerror}", file=str(path))) from error


def format_measurements(header: Mapping[str, str], rows: Iterable[Measurement]) -> str:
    """The text of a table file; see `write_measurements`."""
    rows = list(rows)
    parameters = list(dict.fromkeys(name for row in rows for name in row.parameters))
    shared_source = header.get("source", "")
    columns = [*FIXED, *(("source",) if any(row.source != shared_source for row in rows) else ())]
    for name in parameters:
        if name in {*FIXED, "source"} or not _NAME.fullmatch(name):
            raise InputError(Fault(f"{name!r} cannot name a parameter"))
    stream = io.StringIO()
    for key, value in header.items():
        if ":" in key or not _KEY.fullmatch(line := f"# {key}: {value}"):
            raise InputError(Fault(f"header entry {key!r} must fit one line and have no colon in its key"))
        stream.write(line + "\n")
    writer = csv.DictWriter(stream, [*columns, *parameters], restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {name: _cell(name, value) for name, value in row.parameters.items()}
        cells |= {"bench": row.bench, "device": row.device, "metric": row.metric, "unit": _unit(row.unit)}
        cells |= {"value": _cell("value", row.value), "spread": _cell("spread", row.spread)}
        cells["repeats"] = " ".join(_cell("repeats", value) for value in row.repeats)
        if "source" in columns:
            cells["source"] = row.source
        writer.writerow(cells)
    return stream.getvalue()


def read_measurements(path: Path) -> Table:
    """Read a table file; raises `InputError` naming file and line where it is malformed."""
    with reading(path), path.open(encoding="utf-8", newline="") as stream:
        return _read(stream, str(path))


def _read(stream: TextIO, file: str) -> Table:
    header: dict[str, str] = {}
    number = 0
    for number, line in enumerate(stream, start=1):
        if not line.startswith("#"):
            columns = next(csv.reader([line]))
            break
        entry = _KEY.fullmatch(line.rstrip("\r\n"))
        if entry is None:
            raise InputError(
                Fault("a header line must read '# key: value'", file=file, line=number, column=1)
            )
        header[entry[1]] = entry[2]
    else:
        raise InputError(Fault("no column names", file=file, line=number, column=1))
    missing = [name for name in FIXED if name not in columns]
    if missing:
        raise InputError(Fault(f"columns missing: {', '.join(missing)}", file=file, line=number, column=1))
    return Table(header, list(_rows(csv.reader(stream), columns, header.get("source", ""), file, number)))


def _rows(
    lines: Iterator[list[str]], columns: Sequence[str], source: str, file: str, before: int
) -> Iterator[Measurement]:
    parameters = [name for name in columns if name not in {*FIXED, "source"}]
    for number, cells in enumerate(lines, start=before + 1):
        if len(cells) != len(columns):
            message = f"{len(cells)} cells, {len(columns)} columns"
            raise InputError(Fault(message, file=file, line=number, column=1))
        row = dict(zip(columns, cells, strict=True))
        try:
            yield Measurement(
                bench=row["bench"],
                device=row["device"],
                parameters={name: _value(row[name]) for name in parameters if row[name] != ""},
                metric=row["metric"],
                unit=_unit(row["unit"]),
                value=_finite(row["value"]),
                spread=_finite(row["spread"]),
                repeats=tuple(_finite(text) for text in row["repeats"].split()),
                source=row.get("source", source),
            )
        except ValueError as error:
            raise InputError(Fault(str(error), file=file, line=number, column=1)) from error
        except InputError as error:
            raise InputError(Fault(error.faults[0].message, file=file, line=number, column=1)) from error


def _value(text: str) -> float | str:
    return float(text) if _NUMBER.fullmatch(text) else text


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _unit(unit: str) -> str:
    if unit not in UNITS:
        raise InputError(Fault(f"unit {unit!r} is not one of {', '.join(sorted(UNITS - {''}))} or empty"))
    return unit


def _cell(name: str, value: float | str) -> str:
    """A cell that reads back as the same value: text must not look like a number, nor be empty."""
    if isinstance(value, str):
        if value == "" or "\n" in value or "\r" in value or _NUMBER.fullmatch(value):
            raise InputError(Fault(f"{name}: text {value!r} would not read back as text"))
        return value
    if not math.isfinite(value):
        raise InputError(Fault(f"{name}: {value} is not a finite number"))
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _exists(path: Path) -> Fault:
    return Fault("exists already; measurements are never overwritten, name another file", file=str(path))
