"""What the modules share that are run as ``python -m calibration...``: one folder of tables, one way to say a fault.

The folder is that of all published tables, as ``hetsim calibrate fit --data`` takes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from devices.errors import Fault, InputError

OK, BAD_INPUT = 0, 2
"""Exit status, as that of ``hetsim``."""

KERNELS = "gpu_microbench"
"""Folder of the kernel tables, below that of all published tables."""


def data_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser whose first argument is the folder of published tables, as ``data``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "data", type=Path, metavar="FOLDER", help="folder of the published tables, as of fit --data"
    )
    return parser


def kernel_tables(data: Path) -> Path:
    """Return the folder of the kernel tables.

    Raises
    ------
    InputError
        Where `data` has none.
    """
    folder = data / KERNELS
    if not folder.is_dir():
        message = f"has no folder {KERNELS}; the folder of all published tables is wanted"
        raise InputError(Fault(message, file=str(data)))
    return folder


def run(
    body: Callable[[argparse.Namespace], int | None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None = None,
) -> int:
    """Parse the arguments, run `body` and return the exit status: that of `body`, `BAD_INPUT` for bad input.

    A fault, and a file that cannot be read or written, is said in one line on stderr, as ``hetsim`` does.
    """
    arguments = parser.parse_args(argv)
    try:
        return body(arguments) or OK
    except InputError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
    except OSError as error:
        print(Fault(error.strerror or str(error), file=str(error.filename or "")), file=sys.stderr)
    return BAD_INPUT
