"""Finding scenario files."""

from __future__ import annotations

from pathlib import Path

from devices.errors import Fault, InputError
from devices.files import NO_FILE, file_fault
from devices.sourced import unknown_name

FOLDER = Path("scenarios")
"""Where scenarios with a name lie, below the working directory."""

SHIPPED = Path(__file__).parents[2] / "scenarios"
"""The shipped scenario files, beside the packages of a checkout."""


SWEEPS = "sweeps"
"""Folder of sweep files, beside those of scenarios."""


def find_scenario(text: str, *, sweep: bool = False) -> Path:
    """Return the file that `text` means: a path, or the name of a scenario below ``./scenarios`` or a shipped one.

    Names of sweeps begin with ``sweeps/``.

    Parameters
    ----------
    sweep
        Whether a sweep is meant, for the message.

    Raises
    ------
    InputError
        Where there is none; the message names the nearest.
    """
    path = Path(text)
    fault = file_fault(path)
    if fault is None:
        return path
    for folder in (FOLDER, SHIPPED):
        named = folder / f"{text}.yaml"
        if file_fault(named) is None:
            return named
    if fault != NO_FILE:
        raise InputError(Fault(fault, file=text))
    of_kind = sweep_names if sweep else scenario_names
    known = of_kind(FOLDER) or of_kind(SHIPPED)
    names = [str(FOLDER / f"{name}.yaml") for name in known] if path.suffix else known
    what, command = ("sweep", "") if sweep else ("scenario", "hetsim list scenarios")
    message = unknown_name(what, text, names, command) if known else NO_FILE
    raise InputError(Fault(message, file=text))


def scenario_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of the scenarios below a folder, in alphabetical order; sweeps have a folder of their own."""
    return [name for name in _names(folder) if not name.startswith(f"{SWEEPS}/")]


def sweep_names(folder: Path = FOLDER) -> list[str]:
    """Return the names of the sweeps below a folder, in alphabetical order."""
    return [name for name in _names(folder) if name.startswith(f"{SWEEPS}/")]


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
