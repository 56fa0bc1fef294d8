"""splitwise's measured prompt and token times and power of A100 and H100 machines (CSV).

Times are milliseconds. Power is a share of the boards' limit, as published: it is not turned into watts
here, and 0 where none was recorded (that includes all of the H100's): left out. Every repeat is a row of
its own; those of one point are joined, and a repeat that stands in several of the table's sweeps counts
once. Rows of ``h100-80gb-pcap`` are left out: they were not measured, but are those of another machine
times a constant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import Row, csv_rows
from calibration.table import Measurement

SOURCE = "splitwise-sim, performance model data (MIT)"

SYNTHETIC = "h100-80gb-pcap"
"""Machine whose rows were made up."""

_TIMES = {"prompt_time": "ttft", "token_time": "tpot"}
_POWERS = {"average_power": "average_power_share", "peak_power": "peak_power_share"}

_POINT = ("model", "hardware", "tensor_parallel", "prompt_size", "batch_size", "token_size")


def read(path: Path) -> Iterator[Measurement]:
    """Yield TTFT, TPOT and, where recorded, the shares of power of every measured point, repeats joined."""
    points: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in csv_rows(path, [*_POINT, *_TIMES, *_POWERS]):
        if row.text("hardware") != SYNTHETIC:
            points[tuple(row.text(column) for column in _POINT)].append(row)
    for repeats in points.values():
        rows = list({tuple(row.cells.values()): row for row in repeats}.values())
        first = rows[0]
        parameters: dict[str, float | str] = {
            "model": names.model(first.text("model")),
            "tensor_parallel": first.positive("tensor_parallel"),
            "batch": first.positive("batch_size"),
            "input_tokens": first.positive("prompt_size"),
            "output_tokens": first.positive("token_size"),
        }
        device = names.gpu(first.text("hardware"))
        for column, metric in _TIMES.items():
            times_s = [row.positive(column) / 1e3 for row in rows]
            yield Measurement.of_repeats("serving", device, parameters, metric, "s", times_s, SOURCE)
        for column, metric in _POWERS.items():
            if shares := [share for row in rows if (share := row.amount(column))]:
                yield Measurement.of_repeats("serving", device, parameters, metric, "", shares, SOURCE)
