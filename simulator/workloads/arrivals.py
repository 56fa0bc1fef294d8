"""Arrival processes: a stream of unit-rate gaps, and a clock that turns their running sum into seconds.

Every open process is the same two steps. The gaps (exponential, gamma, constant) have mean 1, so that their
running sum counts expected arrivals; the clock is the inverse of the expected number of arrivals until a
time: a division for a constant rate, a walk over pieces for a rate that changes. The same seed gives the same
gaps at any rate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.arrival_spec import Cyclic, Fixed, Gamma, OnOff, Poisson, ReplayedRate
from simulator.workloads.sources import LATEST_S, SourceFile, nearest, shorten
from simulator.workloads.window import Window

Floats = NDArray[np.float64]

MOST_PER_S = 1e9
"""Highest rate of arrivals that a file may say: that of `devices.quantity.PerSecond`."""


class Clock(Protocol):
    """Turns expected arrivals into times."""

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals per second in the long run."""

    def times_s(self, expected: Floats) -> Floats:
        """Return when that many arrivals are expected, for ascending `expected`, shape (n,), n at least 1."""


class ConstantRate:
    """The clock of a process that never changes."""

    def __init__(self, rate_per_s: float) -> None:
        self.mean_rate_per_s = rate_per_s

    def times_s(self, expected: Floats) -> Floats:
        return expected / self.mean_rate_per_s


class OnOffRate:
    """On and off periods of exponential length, drawn as they are needed; at time 0 in the long-run state."""

    def __init__(self, spec: OnOff, rate_per_s: float, random: np.random.Generator) -> None:
        self.mean_rate_per_s = rate_per_s
        self._spec = spec
        self._random = random
        self._rate_on = rate_per_s * (spec.on + spec.off) / spec.on
        starts_on = random.random() * (spec.on + spec.off) < spec.on
        self._on_s: Floats = np.empty(0)
        self._off_s: Floats = np.empty(0)
        # exponential periods have no memory: a first off period under way is as long as any other
        self._begin_s = 0.0 if starts_on else float(random.exponential(spec.off))

    def times_s(self, expected: Floats) -> Floats:
        while self._on_s.sum() * self._rate_on < expected[-1]:
            cycles = max(16, len(self._on_s))
            periods = self._random.standard_exponential((cycles, 2))
            self._on_s = np.concatenate((self._on_s, periods[:, 0] * self._spec.on))
            self._off_s = np.concatenate((self._off_s, periods[:, 1] * self._spec.off))
        begin = self._begin_s + np.concatenate(([0.0], np.cumsum(self._on_s + self._off_s)[:-1]))
        return _walk(expected, begin, self._on_s, np.full(len(begin), self._rate_on))


class RepeatedRate:
    """A rate that changes at given times and repeats when it ends."""

    def __init__(self, start_s: Floats, length_s: Floats, rate_per_s: Floats) -> None:
        self._period_s = float(start_s[-1] + length_s[-1])
        self._start_s, self._length_s, self._rate_per_s = start_s, length_s, rate_per_s
        self._per_period = float((length_s * rate_per_s).sum())
        self.mean_rate_per_s = self._per_period / self._period_s

    def times_s(self, expected: Floats) -> Floats:
        rounds = np.floor(expected / self._per_period)
        rest = expected - rounds * self._per_period
        times_s = rounds * self._period_s + _walk(rest, self._start_s, self._length_s, self._rate_per_s)
        return np.maximum.accumulate(times_s)  # rounding at a period's end must not turn two arrivals round


def cyclic_rate(spec: Cyclic, rate_per_s: float) -> RepeatedRate:
    """Return the rate that repeats the shape of `spec` with a mean of `rate_per_s`."""
    shape = np.array(spec.shape)
    part_s = spec.period / len(shape)
    starts_s: Floats = part_s * np.arange(len(shape), dtype=np.float64)
    return RepeatedRate(starts_s, np.full(len(shape), part_s), shape * (rate_per_s / shape.mean()))


def _walk(expected: Floats, start_s: Floats, length_s: Floats, rate_per_s: Floats) -> Floats:
    """Invert the expected arrivals of pieces of constant rate; none of the pieces without arrivals is met."""
    some = rate_per_s * length_s > 0
    start_s, rate_per_s, arrivals = start_s[some], rate_per_s[some], (rate_per_s * length_s)[some]
    until = np.cumsum(arrivals)
    piece = np.minimum(np.searchsorted(until, expected, "right"), len(until) - 1)
    return start_s[piece] + (expected - (until - arrivals)[piece]) / rate_per_s[piece]


def open_arrivals(
    process: Poisson | Gamma | OnOff | ReplayedRate | Cyclic | Fixed,
    clock: Clock,
    window: Window,
    random: np.random.Generator,
) -> Floats:
    """Return ascending arrival times from time 0 on, until `window` is filled.

    The first n times are the same for every window: a longer run sees the same arrivals, and more.
    """
    gaps = _gaps(process, random)
    likely = np.inf if window.count is None else clock.mean_rate_per_s * window.start_s + window.count
    size = int(min(likely, clock.mean_rate_per_s * window.stop_s)) + 16
    drawn = gaps(size, True)
    while not window.filled_by(times_s := clock.times_s(np.cumsum(drawn))):
        drawn = np.concatenate((drawn, gaps(len(drawn), False)))
    return times_s


def _gaps(
    process: Poisson | Gamma | OnOff | ReplayedRate | Cyclic | Fixed, random: np.random.Generator
) -> Callable[[int, bool], Floats]:
    """Return a source of gaps with mean 1: (how many, whether they are the first) -> gaps."""
    match process:
        case Gamma():
            variance = process.cv**2
            return lambda n, first: random.gamma(1 / variance, variance, n)
        case Fixed():
            return lambda n, first: np.concatenate(([0.0 if first else 1.0], np.ones(n - 1)))
        case _:
            return lambda n, first: random.standard_exponential(n)


def read_rate(source: SourceFile, spec: ReplayedRate, rate_per_s: float | None) -> RepeatedRate:
    """Read a rate over time (CSV: start_s, rate_rps, and the columns that `spec` selects by).

    A rate holds until the next row's time; the last one as long as the one before it. Before the first row
    nothing arrives.

    Parameters
    ----------
    source
        The file.
    spec
        Says which rows to keep.
    rate_per_s
        Mean rate over the whole file to scale to; None: the file's own.

    Raises
    ------
    InputError
        With every faulty row; where no row is left or no rate is above 0.
    """
    select = dict(spec.select or {})
    starts: list[float] = []
    rates: list[float] = []
    seen: dict[str, dict[str, None]] = {column: {} for column in select}
    for line, cells in source.table(("start_s", "rate_rps", *select)):
        start = source.number(cells[0], "start_s", line, LATEST_S)
        rate = source.number(cells[1], "rate_rps", line, MOST_PER_S)
        for column, cell in zip(select, cells[2:], strict=True):
            seen[column][cell] = None
        if start is None or rate is None or cells[2:] != list(select.values()):
            continue
        if starts and start <= starts[-1]:
            source.fault(
                f"start_s is {start:.9g}, not above that of the row before ({starts[-1]:.9g}); "
                "where the file holds several series, choose one with select",
                line,
            )
        starts.append(start)
        rates.append(rate)
    for column, value in select.items():
        if value not in seen[column]:
            some = ", ".join(list(seen[column])[:10])
            near = nearest(value, list(seen[column]))
            source.fault(f"no row has {shorten(value)} in column {column!r}{near}; there is: {some}")
    if not starts:
        source.fault("no row is left to take a rate from")
    elif not any(rates):
        source.fault("no rate is above 0")
    source.check()
    start_s, rates_per_s = np.array(starts), np.array(rates)
    length_s = np.diff(start_s)
    length_s = np.append(length_s, length_s[-1] if len(length_s) else 3600.0)  # one row: a constant rate
    clock = RepeatedRate(start_s, length_s, rates_per_s)
    if rate_per_s is None:
        return clock
    return RepeatedRate(start_s, length_s, rates_per_s * (rate_per_s / clock.mean_rate_per_s))
