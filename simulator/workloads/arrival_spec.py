"""Arrival processes of a scenario as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from devices.quantity import Count, NonNegative, Period, Seconds, Tagged


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent exponential gaps."""

    process: Literal["poisson"] = "poisson"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class Gamma:
    """Independent gamma-distributed gaps; a `cv` above 1 is burstier than Poisson."""

    cv: float
    """Coefficient of variation of the gaps; above 0."""
    process: Literal["gamma"] = "gamma"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class OnOff:
    """Poisson arrivals during exponential on periods, none during exponential off periods.

    The workload's `rate` is the long-run mean, so the rate while on is higher.
    """

    on: Seconds
    """Mean length of an on period."""
    off: Seconds
    """Mean length of an off period."""
    process: Literal["on_off"] = "on_off"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class ReplayedRate:
    """Poisson arrivals whose rate follows a CSV (columns ``start_s,rate_rps``) and repeats when that ends.

    The workload's `rate`, where it is given, is the mean over the whole file, which is scaled to it.
    """

    path: str
    """The CSV file, relative to the scenario's folder."""
    select: Mapping[str, str] | None = None
    """Keep only the rows in which these columns have these values, such as ``{model: m-small}``."""
    process: Literal["replay"] = "replay"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class Cyclic:
    """Poisson arrivals whose rate follows a shape and repeats: a day, a flash crowd.

    The workload's `rate` is the mean over the whole period.
    """

    shape: tuple[NonNegative, ...]
    """Relative rates of equal parts of the period, not all 0."""
    period: Period
    """Length of the whole shape."""
    process: Literal["cyclic"] = "cyclic"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One request every 1/rate seconds, the first one at time 0."""

    process: Literal["fixed"] = "fixed"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """All requests at time 0."""

    process: Literal["at_once"] = "at_once"
    """Arrival process."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop: the next request arrives when one of the `concurrency` in flight has finished."""

    concurrency: Count
    """Requests kept in flight."""
    process: Literal["closed"] = "closed"
    """Arrival process."""


Arrivals = Annotated[
    Poisson | Gamma | OnOff | ReplayedRate | Cyclic | Fixed | AtOnce | Closed,
    Tagged("process", shorthand=True),
]
