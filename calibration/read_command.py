"""``hetsim calibrate read KIND PATH``: a published table in the schema of this project."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from calibration.readers.convert import convert
from devices.errors import Fault, InputError


def read(arguments: Namespace) -> int:
    """Read a table and write it to ``-o``, else to stdout."""
    output: Path | None = arguments.output
    if output is not None and output.exists():
        raise InputError(Fault("exists already; measurements are never overwritten", file=str(output)))
    if output is not None and not output.absolute().parent.is_dir():
        raise InputError(Fault("its folder does not exist", file=str(output)))

    def progress(rows: int) -> None:
        if not arguments.quiet:
            print(f"{arguments.path.name}: {rows:,} rows", file=sys.stderr)

    rows = convert(arguments.kind, arguments.path, output, progress)
    if output is not None:
        print(f"{output}: {rows} rows")
    return 0
