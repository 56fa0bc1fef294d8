"""A published table turned into a file of this project's schema: ``hetsim calibrate read KIND PATH``."""

from __future__ import annotations

import sys
from pathlib import Path

from calibration.readers import READERS, read_table
from calibration.table import format_measurements, write_measurements


def convert(kind: str, path: Path, output: Path | None = None) -> int:
    """Read a published table and write it in the schema of `calibration.table`; return how many rows.

    Parameters
    ----------
    kind
        A key of `calibration.readers.READERS`.
    output
        New CSV file; None: standard output.

    Raises
    ------
    InputError
        Where the kind is unknown, the file is malformed, or `output` exists.
    """
    rows = list(read_table(kind, path))
    header = {"source": READERS[kind].source, "table": path.name, "command": f"hetsim calibrate read {kind}"}
    if output is None:
        sys.stdout.write(format_measurements(header, rows))
    else:
        write_measurements(output, header, rows)
    return len(rows)
