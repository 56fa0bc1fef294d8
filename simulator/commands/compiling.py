"""``hetsim compile``."""

from __future__ import annotations

import sys
from argparse import Namespace

from simulator.compiled import MODULES, compile_engine, remove


def compiling(arguments: Namespace) -> int:
    """Compile the engine's inner modules, or remove the compiled ones."""
    if arguments.remove:
        said = "removed" if remove() else "there was nothing to remove"
    else:
        if not arguments.quiet:
            print(f"compiling {len(MODULES)} modules; this takes about a minute", file=sys.stderr)
        compile_engine()
        said = f"compiled: {len(MODULES)} modules"
    print(said)
    return 0
