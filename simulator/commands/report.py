"""``hetsim report``."""

from __future__ import annotations

import sys
from argparse import Namespace

from simulator.html_report import write_report


def report(arguments: Namespace) -> int:
    """Write one self-contained HTML page of a folder."""
    write_report(arguments.folder, arguments.output)
    if not arguments.quiet:
        print(f"written: {arguments.output}", file=sys.stderr)
    return 0
