"""The exception tree of the whole project.

It stands on the ground floor because every package above raises from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_PATH = 300
"""Characters of a path inside a document that a message shows: a key may be as long as its file."""


def printable(text: str) -> str:
    """Return a text as one line of a message shows it: control characters, odd bytes and the like as escapes.

    Names of files and keys are the user's, or somebody else's: what they hold shall neither end a line nor steer the
    terminal.
    """
    if text.isprintable():
        return text
    return "".join(it if it.isprintable() else ascii(it)[1:-1] for it in text)


class SimulatorError(Exception):
    """Root of every error that the project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input, and where it stands."""

    message: str
    """What is wrong, with the value and what is allowed."""
    path: str = ""
    """Dotted path inside the document, such as ``services.chat.model``; empty for a whole file."""
    file: str = ""
    """File as the user named it; empty where no file is involved (``--set``)."""
    line: int = 0
    """1-based line; 0 when unknown."""
    column: int = 0
    """1-based column; 0 when unknown."""

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        path = self.path if len(self.path) <= _LONGEST_PATH else f"{self.path[:_LONGEST_PATH]}..."
        return printable(": ".join(part for part in (place, path, self.message) if part))


class InputError(SimulatorError):
    """Bad input: every fault found, at once. The command line turns it into exit status 2."""

    def __init__(self, faults: Sequence[Fault] | Fault) -> None:
        self.faults: tuple[Fault, ...] = (faults,) if isinstance(faults, Fault) else tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Fault, ...]]]:
        """Travel between processes by the faults; what is passed on by default is the message alone."""
        return type(self), (self.faults,)


class UnreadableFileError(InputError):
    """A file of results that is there no longer, or is damaged: what it held is not known, rather than absent."""
