"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from devices.errors import Fault, InputError

UNFINISHED_MARK = ".unfinished-"
"""In the name of a folder that is being written; where no process writes it, its run was killed."""
REPLACED_MARK = ".replaced-"
"""In the name of a folder that a newer one has replaced and that is about to be deleted."""

_ATTEMPTS = 10


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Give a folder to write into that becomes `final` when the block ends well.

    It stands beside `final` under a hidden name, so that the last step is one rename. A folder that is
    already at `final` is renamed away first and then deleted: at every moment `final` is the old folder, the
    new one, or absent for the blink between two renames. Where the block fails nothing is left, nor are
    parents that had to be made; another process that is still writing below it can write there no more, and no
    folder can be made below it any longer.

    Raises
    ------
    InputError
        Where the folder cannot be made, or it was to be made below one that has been given up.
    """
    missing = [parent for parent in final.parents if not parent.exists()]
    if given_up := next((it for it in missing if UNFINISHED_MARK in it.name), None):
        raise InputError(Fault("is there no more: what writes it has stopped", file=str(given_up)))
    unfinished = _sibling(final, UNFINISHED_MARK)
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(
            Fault(f"no folder can be made here: {error.strerror}", file=str(final.parent))
        ) from error
    try:
        yield unfinished
        _move_in(unfinished, final)
    except BaseException:
        away = _sibling(final, REPLACED_MARK)
        with suppress(FileNotFoundError):
            os.rename(unfinished, away)  # first, for whoever is still writing below it
        shutil.rmtree(away, ignore_errors=True)
        _remove_empty(missing)
        raise


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """Give a path to write to whose file becomes `final` when the block ends well.

    It is in the same folder, under a hidden name. Where the block fails nothing is left, nor are folders that had to
    be made, and a file that is already at `final` stays.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    if final.is_dir():
        raise InputError(Fault("is a folder, not a file to write", file=str(final)))
    missing = [parent for parent in final.parents if not parent.exists()]
    unfinished = _sibling(final, UNFINISHED_MARK)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(final)
    except BaseException as error:
        with suppress(OSError):  # there may be none
            unfinished.unlink()
        _remove_empty(missing)
        if isinstance(error, OSError):
            raise InputError(Fault(f"cannot be written: {error.strerror}", file=str(final))) from error
        raise


def is_leftover(folder: Path) -> bool:
    """Tell whether a folder was left by a run that was killed."""
    return folder.name.startswith(".") and (UNFINISHED_MARK in folder.name or REPLACED_MARK in folder.name)


def slug(text: str) -> str:
    """Return `text` as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "run"


def _sibling(final: Path, mark: str) -> Path:
    return final.with_name(f".{final.name}{mark}{secrets.token_hex(4)}")


def _move_in(unfinished: Path, final: Path) -> None:
    for attempt in range(_ATTEMPTS):
        replaced = _sibling(final, REPLACED_MARK)
        with suppress(FileNotFoundError):
            os.rename(final, replaced)
        try:
            os.rename(unfinished, final)
        except OSError:  # another process has put its folder there between the two renames
            if attempt == _ATTEMPTS - 1 or not final.exists():
                raise
        else:
            return
        finally:
            shutil.rmtree(replaced, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:  # the innermost comes first
        with suppress(OSError):
            folder.rmdir()
