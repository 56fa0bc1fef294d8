"""``hetsim plot``."""

from __future__ import annotations

import sys
from argparse import Namespace

from simulator import viz


def plot(arguments: Namespace) -> int:
    """Draw a run or a comparison into a file."""
    viz.plot(
        arguments.folder,
        arguments.kind,
        arguments.output,
        arguments.service,
        session=arguments.session,
        window_s=tuple(arguments.window) if arguments.window else None,
        request=arguments.request,
    )
    print(f"written: {arguments.output}", file=sys.stderr)
    return 0
