"""What a number stands on: its source, its kind and the range in which it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["datasheet", "measured", "fitted", "assumed"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One value of a catalogue file with its provenance."""

    value: float
    """The value in SI base units."""
    unit: str
    """SI unit of `value`, such as ``B/s``; empty for a ratio."""
    kind: Kind
    """How the value came about."""
    source: str
    """Title of the source, resolved from the file's ``sources`` section."""
    url: str = ""
    """Where the source can be read; empty when it is this project or a paper named in `source`."""
    note: str = ""
    """Anything a reader must know, such as how a fit was done."""
    low: float | None = None
    """Lower end of the published or fitted interval, in `unit`."""
    high: float | None = None
    """Upper end of the interval, in `unit`."""
    valid: str = ""
    """Range in which the value holds, in words; empty when unrestricted."""
    error: float | None = None
    """Median relative error of the fit that the value is from on points that it has not seen (cross-validated)."""
