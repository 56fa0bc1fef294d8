"""Readers of published measurement tables, all into the schema of `calibration.table`.

None of the tables is part of this project: the user names a file. Each reader takes one file and yields
its rows in SI units; a malformed file raises `InputError` with file and line (for parquet: row).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from calibration.readers import (
    aiconfigurator,
    aihub,
    android_power,
    llmservingsim,
    power,
    splitwise,
    transfers,
    vidur,
)
from calibration.table import Measurement
from devices.catalogue import unknown_name
from devices.errors import Fault, InputError
from devices.files import file_fault


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads one kind of published table."""

    read: Callable[[Path], Iterator[Measurement]]
    """Yields the rows of one file."""
    source: str
    """Title and licence of the source."""


READERS: Mapping[str, Reader] = {
    "aiconfigurator": Reader(aiconfigurator.read, aiconfigurator.SOURCE),
    "vidur": Reader(vidur.read, vidur.SOURCE),
    "frontier": Reader(vidur.read_frontier, vidur.FRONTIER_SOURCE),
    "splitwise": Reader(splitwise.read, splitwise.SOURCE),
    "llmservingsim": Reader(llmservingsim.read, llmservingsim.SOURCE),
    "aihub-sr": Reader(aihub.read_sr, aihub.SOURCE),
    "aihub-networks": Reader(aihub.read_networks, aihub.SOURCE),
    "aihub-llm": Reader(aihub.read_llm, aihub.SOURCE),
    "ml-energy": Reader(power.read_ml_energy, power.ML_ENERGY_SOURCE),
    "greenabr": Reader(power.read_greenabr, power.GREENABR_SOURCE),
    "android-power": Reader(android_power.read, android_power.SOURCE),
    "transfers": Reader(transfers.read, transfers.SOURCE),
}
"""Reader by the kind of table."""


def read_table(kind: str, path: Path) -> Iterator[Measurement]:
    """Yield the rows of the published table at `path`.

    Parameters
    ----------
    kind
        A key of `READERS`.

    Raises
    ------
    InputError
        Where there is no such kind or file, or the file is not such a table.
    """
    if kind not in READERS:
        raise InputError(Fault(unknown_name("kind of table", kind, READERS)))
    if fault := file_fault(path):
        raise InputError(Fault(fault, file=str(path)))
    return READERS[kind].read(path)
