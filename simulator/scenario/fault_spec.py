"""The faults of a scenario file: what fails, drops or slows down, and when.

As in `simulator.scenario.spec`, field names are the keys of the YAML file and types carry the unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from devices.quantity import NonNegativeCount, Ratio, Seconds


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault: once, at a given time (`at`), or again and again at random times (`mtbf` and `mttr`)."""

    kind: Literal["failure", "outage", "slowdown"]
    """``failure``: a GPU or a storage device loses all that it holds, a phone is gone; ``outage``: a link or a storage
    device moves nothing, and goes on where it was; ``slowdown``: a share of the speed is left."""
    device: str | None = None
    """Name of the device; this or `link`."""
    link: str | None = None
    """Name of the link."""
    unit: NonNegativeCount | None = None
    """Which of several, from 0: the number of the replica among all that the GPU device serves, of the phone, or of the
    GPU that helps phones. None:
    all; with `at` at once, with `mtbf` each for itself."""
    at: Seconds | None = None
    """When it begins; this or `mtbf`."""
    duration: Seconds | None = None
    """With `at`: how long it lasts; None: for ever."""
    mtbf: Seconds | None = None
    """Mean time between a repair and the next fault, exponentially distributed."""
    mttr: Seconds | None = None
    """With `mtbf`: mean time to repair, exponentially distributed."""
    factor: Ratio | None = None
    """Of a slowdown: share of the speed or bandwidth that is left."""
