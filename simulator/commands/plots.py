"""``hetsim plot``."""

from __future__ import annotations

import sys
from argparse import Namespace

from devices.errors import Fault, InputError
from devices.sourced import unknown_name

ENDINGS = (".png", ".svg", ".pdf")
"""Formats, by the file's ending."""


def plot(arguments: Namespace) -> int:
    """Draw a run or a comparison into a file."""
    from simulator.viz import PLOT_KINDS  # noqa: PLC0415 (brings matplotlib)
    from simulator.viz import plot as draw  # noqa: PLC0415

    faults = []
    if arguments.kind not in PLOT_KINDS:
        faults.append(Fault(unknown_name("plot", arguments.kind, PLOT_KINDS)))
    if arguments.output.suffix.lower() not in ENDINGS:
        faults.append(
            Fault(f"unknown format; allowed endings: {', '.join(ENDINGS)}", file=str(arguments.output))
        )
    if not arguments.output.absolute().parent.is_dir():
        faults.append(Fault("there is no such folder", file=str(arguments.output.parent)))
    if not arguments.folder.is_dir():
        faults.append(Fault("there is no such folder", file=str(arguments.folder)))
    if faults:
        raise InputError(faults)
    draw(arguments.folder, arguments.kind, arguments.output)
    print(f"written: {arguments.output}", file=sys.stderr)
    return 0
