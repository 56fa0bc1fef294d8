"""When faults come: from the scenario's faults to periods of each unit, the same whatever else happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from math import inf, prod
from typing import NamedTuple

from simulator.core import Streams
from simulator.scenario.fault_spec import FaultSpec


class Period(NamedTuple):
    """One occurrence of a fault."""

    start_s: float
    """When it begins."""
    end_s: float
    """When it is over; infinity: never."""


class Change(NamedTuple):
    """A fault that begins or ends."""

    time_s: float
    """When."""
    begins: bool
    """Whether it begins."""
    period: Period
    """The occurrence."""
    fault: str
    """Name of the fault in the scenario."""
    unit: int
    """What it strikes: number of a replica or phone, 0 where there is one."""


class Faults:
    """The faults of one replication.

    Every fault has a random stream of its own for each unit, so that policies under comparison see the same faults.

    Parameters
    ----------
    specs
        The scenario's faults by name.
    streams
        Random streams of the replication.
    """

    def __init__(self, specs: Mapping[str, FaultSpec], streams: Streams) -> None:
        self.specs = specs
        self._streams = streams

    def periods(self, name: str, unit: int, occasion: str = "") -> Iterator[Period]:
        """Yield the periods of a fault in order, for one unit; without end where they come at random.

        `occasion` tells clocks of their own apart, such as ``/3`` for a session.
        """
        spec = self.specs[name]
        if spec.at is not None:
            yield Period(spec.at, inf if spec.duration is None else spec.at + spec.duration)
            return
        assert spec.mtbf is not None
        assert spec.mttr is not None
        rng = self._streams.stream(f"faults/{name}/{unit}{occasion}")
        end_s = 0.0
        while True:
            start_s = end_s + rng.exponential(spec.mtbf)
            end_s = start_s + rng.exponential(spec.mttr)
            yield Period(start_s, end_s)

    def changes(self, name: str, unit: int) -> Iterator[Change]:
        """Yield the beginnings and ends of a fault in order, for one unit."""
        for period in self.periods(name, unit):
            yield Change(period.start_s, True, period, name, unit)
            if period.end_s < inf:
                yield Change(period.end_s, False, period, name, unit)

    def bandwidth_factors(self, *, device: str = "", link: str = "") -> Iterator[tuple[float, float]] | None:
        """Return (time in s, share of the bandwidth that is left from then on); None where it is never less."""
        names = [
            name
            for name, spec in self.specs.items()
            if spec.kind != "failure" and (spec.device or "", spec.link or "") == (device, link)
        ]
        return self._factors(names) if names else None

    def _factors(self, names: list[str]) -> Iterator[tuple[float, float]]:
        present: dict[str, float] = {}
        for change in merge(*(self.changes(name, 0) for name in names), key=lambda it: it.time_s):
            if change.begins:
                present[change.fault] = self.specs[change.fault].factor or 0.0
            else:
                del present[change.fault]
            yield change.time_s, prod(present.values(), start=1.0)
