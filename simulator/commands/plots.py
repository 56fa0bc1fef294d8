"""``hetsim plot``."""

from __future__ import annotations

import sys
from argparse import Namespace

from simulator import viz


def plot(arguments: Namespace) -> int:
    """Draw what a folder holds into a file."""
    viz.plot(
        arguments.folder,
        arguments.kind,
        arguments.output,
        arguments.service,
        session=arguments.session,
        window_s=tuple(arguments.window) if arguments.window else None,
        request=arguments.request,
        x=arguments.x,
        y=arguments.y,
    )
    print(f"written: {arguments.output}", file=sys.stderr)
    return 0
