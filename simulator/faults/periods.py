"""When faults come: from the scenario's faults to periods of each unit, the same whatever else happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from math import inf, prod
from typing import NamedTuple

from devices.errors import Fault, InputError
from simulator.core import Streams
from simulator.scenario.fault_spec import FaultSpec

MOST_FAULTS = 1_000_000
"""How often one fault may come in a run, all units together: each time costs tens of microseconds and a row."""


def too_many(name: str, time_s: float) -> InputError:
    """Return the error that a fault comes more often than `MOST_FAULTS` by `time_s`."""
    return InputError(
        Fault(
            f"comes more than {MOST_FAULTS:,} times within {time_s:g} s of simulated time; allowed: a longer mtbf or "
            "mttr, or a shorter run",
            f"faults.{name}.mtbf",
        )
    )


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

        Raises
        ------
        InputError
            Once there were `MOST_FAULTS` of them.
        """
        spec = self.specs[name]
        if spec.at is not None:
            yield Period(spec.at, inf if spec.duration is None else spec.at + spec.duration)
            return
        assert spec.mtbf is not None
        assert spec.mttr is not None
        rng = self._streams.stream(f"faults/{name}/{unit}{occasion}")
        end_s = 0.0
        for _ in range(MOST_FAULTS):
            start_s = end_s + rng.exponential(spec.mtbf)
            end_s = start_s + rng.exponential(spec.mttr)
            yield Period(start_s, end_s)
        raise too_many(name, end_s)

    def expected(self, name: str, until_s: float) -> float:
        """Return how often a fault that comes at random comes to one unit until then, on average; 0 for others."""
        spec = self.specs[name]
        return 0.0 if spec.mtbf is None or spec.mttr is None else until_s / (spec.mtbf + spec.mttr)

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
