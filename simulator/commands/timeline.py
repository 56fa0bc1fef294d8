"""``hetsim timeline``."""

from __future__ import annotations

import sys
from argparse import Namespace

from simulator.timeline import write_timeline


def timeline(arguments: Namespace) -> int:
    """Write the timeline of a run into a file."""
    write_timeline(arguments.folder, arguments.output)
    if not arguments.quiet:
        print(f"written: {arguments.output}", file=sys.stderr)
    return 0
