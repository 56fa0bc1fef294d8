"""Plots of a folder, embedded: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from devices.errors import InputError, UnreadableFileError
from simulator.viz import PLOT_KINDS, plot

MOST_SVG_BYTES = 1_000_000
"""A plot that is larger as SVG, because it has too many points, is embedded as PNG."""

_TYPES = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, slots=True)
class Plot:
    """An embedded plot."""

    kind: str
    """As in `hetsim plot`."""
    what: str
    """What it shows."""
    address: str
    """The image itself, as a ``data:`` address."""


@dataclass(frozen=True, slots=True)
class Plots:
    """The plots of a folder."""

    drawn: list[Plot]
    """Those that the folder has data for."""
    refused: list[tuple[str, str]]
    """Kind of each other one, and why it was not drawn."""


def draw(folder: Path, kinds: Iterable[str] = PLOT_KINDS) -> Plots:
    """Draw every kind of plot that a folder has data for.

    What a plot needs, only its drawing knows: it says so of folders that lack it, and that is passed on.

    Raises
    ------
    UnreadableFileError
        Where a table that a plot needs is damaged.
    """
    found = Plots([], [])
    with TemporaryDirectory() as place:
        for kind in kinds:
            try:
                address = _address(folder, kind, Path(place))
            except UnreadableFileError:
                raise  # not a plot that the folder has no data for
            except InputError as error:
                found.refused.append((kind, "; ".join(fault.message for fault in error.faults)))
            else:
                found.drawn.append(Plot(kind, PLOT_KINDS[kind], address))
    return found


def _address(folder: Path, kind: str, place: Path) -> str:
    ending = "svg"
    plot(folder, kind, place / f"{kind}.svg")
    if (place / f"{kind}.svg").stat().st_size > MOST_SVG_BYTES:
        ending = "png"
        plot(folder, kind, place / f"{kind}.png")
    data = base64.b64encode((place / f"{kind}.{ending}").read_bytes()).decode("ascii")
    return f"data:{_TYPES[ending]};base64,{data}"
