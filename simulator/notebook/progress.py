"""How far a study has come: a line that is redrawn, in Jupyter or on a terminal; nothing elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from simulator.experiments.progress_bar import TerminalLine, said

INTERVAL_S = 0.1
"""The line is redrawn no more often; its last state always is."""

Show = Callable[[int, str], None]
"""Takes how many of the whole have ended, and a word on the last one."""


@contextmanager
def progress(total: int | None, wanted: bool = True) -> Iterator[Show]:
    """Give a function that shows how far something has come.

    Parameters
    ----------
    total
        How many there are; None: not known, then there is no bar.
    wanted
        False: nothing is shown, wherever this runs.
    """
    draw = _drawer() if wanted else None
    state: tuple[int, str] | None = None
    drawn_s = 0.0

    def show(done: int, text: str) -> None:
        nonlocal state, drawn_s
        state = done, text
        if draw is not None and time.monotonic() - drawn_s >= INTERVAL_S:
            draw(done, total, text, False)
            drawn_s = time.monotonic()

    try:
        yield show
    finally:
        if draw is not None and state is not None:
            draw(state[0], total, state[1], True)


_Draw = Callable[[int, int | None, str, bool], None]
"""Takes done, total, text, and whether this is the last time."""


def _drawer() -> _Draw | None:
    # IPython is looked up, never imported: where it is not loaded, this does not run inside it
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _in_jupyter()
    return TerminalLine().draw if sys.stderr.isatty() else None


def _in_jupyter() -> _Draw:
    """Return what draws into one output of the cell."""
    ipython: Any = sys.modules["IPython"].display  # untyped
    handle: Any = None

    def draw(done: int, total: int | None, text: str, last: bool) -> None:
        nonlocal handle
        bar = "" if total is None else f'<progress value="{done}" max="{max(total, 1)}"></progress> '
        line = ipython.HTML(f"<div>{bar}{html.escape(said(done, total, text))}</div>")
        if handle is None:
            handle = ipython.display(line, display_id=True)
        else:
            handle.update(line)

    return draw
