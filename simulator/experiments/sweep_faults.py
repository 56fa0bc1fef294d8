"""Faults of the scenarios that a sweep makes, at the place of the sweep file that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from devices.document import Document, Path_
from devices.errors import Fault, InputError
from simulator.scenario.load import load
from simulator.scenario.overrides import ORIGIN

MOST_TRIED = 1000
"""Values that are tried alone at most: each costs some milliseconds."""


def own_overrides(document: Document) -> tuple[str, ...]:
    """Return the ``PATH=VALUE`` texts that stand in a sweep file; none where it has something else there."""
    texts = document.data.get("set") if isinstance(document.data, dict) else None
    return tuple(texts) if isinstance(texts, list) and all(isinstance(it, str) for it in texts) else ()


def placed(document: Document, overrides: Sequence[str], fault: Fault) -> Fault:
    """Return a fault of an overridden value at the place of the sweep file that says the value; others as they are.

    Parameters
    ----------
    document
        The sweep file.
    overrides
        ``PATH=VALUE`` texts that hold for every run: those of the file, then those that were typed.
    """
    if fault.file != ORIGIN:
        return fault
    own, axes = own_overrides(document), document.data.get("axes")
    # what is applied last counts, so that it is looked at first
    origins: list[tuple[str, Path_ | None]] = [(path, ("axes", path)) for path in axes or ()]
    for number, text in reversed([*enumerate(overrides)]):
        path, equals, _ = text.partition("=")
        origins.append((path.strip() if equals else "", ("set", number) if number < len(own) else None))
    touching = [it for it in origins if f"{fault.path}.".startswith(f"{it[0]}.")]  # the value or a part of it
    touching += [it for it in origins if it[0].startswith(f"{fault.path}.")]  # what had to be made around it
    for path, place in touching:
        if place is None:
            return fault
        return document.fault(
            place, fault.message if fault.path == path else f"{fault.path}: {fault.message}"
        )
    return fault


def faults_of_values(
    document: Document, base: Path, axes: Mapping[str, Sequence[str]], overrides: Sequence[str]
) -> list[Fault]:
    """Return the faults of the base, and of each value of each axis (the first `MOST_TRIED`) where it alone varies.

    For a sweep file with faults of its own, so that all are said at once although it has no design.
    """
    faults: list[Fault] = []
    values = (f"{path}={text}" for path, texts in axes.items() for text in texts if text)
    for value in ("", *islice(values, MOST_TRIED)):
        try:
            load(base, (*overrides, value) if value else overrides)
        except InputError as error:
            faults += [placed(document, overrides, fault) for fault in error.faults]
    return faults
