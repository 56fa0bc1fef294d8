"""Folders of results that nobody has asked to keep: they go with what is in them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Kept:
    """A folder, and who it goes with."""

    def __init__(self, asked: str | Path | None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="hetsim-") if asked is None else asked)
        self._temporary = asked is None

    def given_to(self, owner: T) -> T:
        """Return `owner`; a temporary folder is deleted with it, or when the process ends."""
        if self._temporary:
            weakref.finalize(owner, _remove, self.path, os.getpid())
            self._temporary = False
        return owner

    def close(self) -> None:
        """Delete a temporary folder that was given to nobody."""
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def result_folder(asked: str | Path | None = None) -> Iterator[Kept]:
    """Give the folder that was asked for, or a temporary one where none was."""
    kept = Kept(asked)
    try:
        yield kept
    finally:
        kept.close()


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not where a worker was forked while the owner lived
        shutil.rmtree(folder, ignore_errors=True)
