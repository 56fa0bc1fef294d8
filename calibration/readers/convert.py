"""A published table turned into a file of this project's schema: ``hetsim calibrate read KIND PATH``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from calibration.readers import READERS, read_table
from calibration.table import Measurement, format_measurements, write_measurements

PROGRESS_ROWS = 20_000
"""Progress is told after this many rows."""


def convert(
    kind: str, path: Path, output: Path | None = None, progress: Callable[[int], None] = lambda rows: None
) -> int:
    """Read a published table and write it in the schema of `calibration.table`; return how many rows.

    Parameters
    ----------
    kind
        A key of `calibration.readers.READERS`.
    output
        New CSV file; None: standard output.
    progress
        Told how many rows there have been, every `PROGRESS_ROWS`.

    Raises
    ------
    InputError
        Where the kind is unknown, the file is malformed, or `output` exists.
    """
    rows = list(_counted(read_table(kind, path), progress))
    header = {"source": READERS[kind].source, "table": path.name, "command": f"hetsim calibrate read {kind}"}
    if output is None:
        sys.stdout.write(format_measurements(header, rows))
    else:
        write_measurements(output, header, rows)
    return len(rows)


def _counted(rows: Iterator[Measurement], progress: Callable[[int], None]) -> Iterator[Measurement]:
    for number, row in enumerate(rows, start=1):
        if number % PROGRESS_ROWS == 0:
            progress(number)
        yield row
