"""How far something has come, as one line of text."""

from __future__ import annotations

import sys

from simulator.experiments.sweep import Progress

BAR = 24
"""Characters of the bar."""


def said(done: int, total: int | None, text: str) -> str:
    """Return how many have ended, of how many where that is known, and a word on it."""
    return f"{done:,}{'' if total is None else f'/{total:,}'} {text}".rstrip()


def line_of(done: int, total: int | None, text: str) -> str:
    """Return a bar and what is said beside it; no bar where it is not known how many there are."""
    full = 0 if total is None else BAR * done // max(total, 1)
    bar = "" if total is None else f"[{'#' * full}{'.' * (BAR - full)}] "
    return bar + said(done, total, text)


def rate_of(now: Progress) -> str:
    """Return what is said beside the bar of a sweep: rate and time left."""
    left = "" if now.left_s is None else f", {now.left_s:,.0f} s left"
    return f"runs, {now.per_s:,.1f}/s{left}"


class TerminalLine:
    """A line of stderr that is redrawn."""

    def __init__(self) -> None:
        self._width = 0

    def draw(self, done: int, total: int | None, text: str, last: bool) -> None:
        """Draw it anew; after the last time the next line begins."""
        line = line_of(done, total, text)
        end = "\n" if last else ""
        print(f"\r{line.ljust(self._width)}", end=end, file=sys.stderr, flush=True)
        self._width = len(line)
