"""``hetsim reproduce``."""

from __future__ import annotations

import sys
from argparse import Namespace

from devices.errors import Fault, InputError
from simulator.cli import STUDIES
from simulator.experiments.run_store import to_json


def reproduce(arguments: Namespace) -> int:
    """Print a published table beside ours."""
    if arguments.study not in STUDIES:
        message = f"{arguments.study!r} is not part of this version; there is: {', '.join(STUDIES)}"
        raise InputError(Fault(message, file="STUDY"))
    from simulator.experiments.cake_cases import report_cake  # noqa: PLC0415 (slow imports)
    from simulator.experiments.reproduce_cake import reproduce_cake  # noqa: PLC0415

    rows = reproduce_cake(arguments.cells)
    sys.stdout.write(to_json(rows) if arguments.json else report_cake(rows).rstrip("\n") + "\n")
    return 0
