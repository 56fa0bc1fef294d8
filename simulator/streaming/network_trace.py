"""A recorded network: bandwidth and latency over time, repeated for ever."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from devices.errors import Fault, InputError
from simulator.core import TraceBandwidth


@dataclass(frozen=True, slots=True)
class NetworkTrace:
    """Periods of constant bandwidth and latency; after the last one it starts over, as in Sabre.

    It has no state: where a download stands is a time, and every question is a function of that time.

    Raises
    ------
    InputError
        Where a duration is not above 0, a bandwidth or latency is negative or not finite, every bandwidth is 0, or
        lengths differ; every fault at once.
    """

    name: str
    """What reports call it."""
    durations_s: tuple[float, ...]
    """Length of each period, in s."""
    bandwidths_bps: tuple[float, ...]
    """Bandwidth in each period, in bit/s. Stretches of 0 are fine."""
    latencies_s: tuple[float, ...] = ()
    """Round trip of a request in each period, in s. Empty: 0 throughout."""
    notes: tuple[str, ...] = ()
    """What a reader of results must know, such as an assumed latency."""
    bandwidth: TraceBandwidth = field(init=False, repr=False, compare=False)
    """The same bandwidth as the event core's channels take it."""
    _starts_s: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.latencies_s:
            object.__setattr__(self, "latencies_s", (0.0,) * len(self.durations_s))
        if faults := self._faults():
            raise InputError(faults)
        *starts, end = accumulate(self.durations_s, initial=0.0)
        values = [bandwidth / 8.0 for bandwidth in self.bandwidths_bps]
        object.__setattr__(self, "_starts_s", tuple(starts))
        object.__setattr__(self, "bandwidth", TraceBandwidth(starts, values, end))

    def _faults(self) -> list[Fault]:
        lengths = (len(self.durations_s), len(self.bandwidths_bps), len(self.latencies_s))
        if not self.durations_s or len(set(lengths)) > 1:
            return [Fault(f"a trace needs as many durations as bandwidths and latencies, not {lengths}")]
        faults = [
            Fault(message, f"period {index}")
            for index, period in enumerate(
                zip(self.durations_s, self.bandwidths_bps, self.latencies_s, strict=True)
            )
            if (message := period_fault(*period))
        ]
        if not faults and (wrong := whole_fault(self.durations_s, self.bandwidths_bps)):
            index, message = wrong
            faults.append(Fault(message, f"period {index}"))
        return faults

    @property
    def duration_s(self) -> float:
        """Time after which it starts over, in s."""
        return self.bandwidth.period_s

    @property
    def mean_bps(self) -> float:
        """Average bandwidth over time, in bit/s."""
        return 8.0 * self.bandwidth.mean_bytes_per_s

    def first_byte_s(self, start_s: float) -> float:
        """Return when the first byte of a request made at `start_s` arrives, in s.

        Where the latency changes on the way, each period consumes the share of the request's latency that its length
        is of its own latency.
        """
        time_s, share = start_s, 1.0
        cycle = math.floor(start_s / self.duration_s)
        index = bisect_right(self._starts_s, start_s - cycle * self.duration_s) - 1
        while True:
            latency_s = self.latencies_s[index]
            index += 1
            if index == len(self._starts_s):
                cycle, index = cycle + 1, 0
            end_s = cycle * self.duration_s + self._starts_s[index]
            if time_s + share * latency_s <= end_s:
                return time_s + share * latency_s
            share -= max(end_s - time_s, 0.0) / latency_s
            time_s = end_s

    def last_byte_s(self, start_s: float, bits: float) -> float:
        """Return when `bits` have passed since `start_s` with the whole bandwidth to themselves, in s."""
        return self.bandwidth.time_for(start_s, bits / 8.0)

    def starting_at(self, start_s: float) -> NetworkTrace:
        """Return the trace whose time 0 is `start_s` of this one, which may be before 0; it repeats all the same."""
        if len(self.durations_s) == 1:
            return self
        start_s %= self.duration_s
        index = bisect_right(self._starts_s, start_s) - 1
        into_s = start_s - self._starts_s[index]
        if not into_s and not index:
            return self
        order = [*range(index, len(self.durations_s)), *range(index)]
        durations_s = [self.durations_s[place] for place in order]
        durations_s[0] -= into_s
        if into_s:
            order.append(index)
            durations_s.append(into_s)
        return NetworkTrace(
            self.name,
            tuple(durations_s),
            tuple(self.bandwidths_bps[place] for place in order),
            tuple(self.latencies_s[place] for place in order),
            self.notes,
        )

    def scaled(self, factor: float) -> NetworkTrace:
        """Return the trace with every bandwidth times `factor`.

        Raises
        ------
        InputError
            Where `factor` is not above 0 and finite.
        """
        if not 0.0 < factor < math.inf:
            raise InputError(Fault(f"a factor of bandwidth must be above 0 and finite, not {factor!r}"))
        values = tuple(factor * bandwidth for bandwidth in self.bandwidths_bps)
        return NetworkTrace(self.name, self.durations_s, values, self.latencies_s, self.notes)


ALL_ZERO = "every bandwidth is 0, so that nothing could ever be downloaded"
"""What is said of a trace without bandwidth."""

LEAST_BPS = 8e-3
"""Mean bandwidth below which nothing would ever arrive: that of `devices.quantity.BytesPerSecond`."""


def period_fault(duration_s: float, bandwidth_bps: float, latency_s: float = 0.0) -> str | None:
    """Return what is wrong with one period of a trace; None where nothing is."""
    if not 0.0 < duration_s < math.inf:
        return f"a duration must be above 0 and finite, not {duration_s:g} s"
    if not 0.0 <= bandwidth_bps < math.inf:
        return f"a bandwidth must be at least 0 and finite, not {bandwidth_bps:g} bit/s"
    if not 0.0 <= latency_s < math.inf:
        return f"a latency must be at least 0 and finite, not {latency_s:g} s"
    return None


def whole_fault(durations_s: Sequence[float], bandwidths_bps: Sequence[float]) -> tuple[int, str] | None:
    """Return what is wrong with periods that are sound one by one, as (index, message); None where nothing is.

    Each must end later than it begins in the sum of all before it, in floating point.
    """
    if not any(bandwidths_bps):
        return 0, ALL_ZERO
    end_s = bits = 0.0
    for index, (duration_s, bandwidth_bps) in enumerate(zip(durations_s, bandwidths_bps, strict=True)):
        start_s, end_s = end_s, end_s + duration_s
        bits += duration_s * bandwidth_bps
        if not start_s < end_s < math.inf:
            return index, f"{duration_s:g} s after {start_s:g} s cannot be told from nothing or has no end"
    if not LEAST_BPS <= bits / end_s < math.inf:
        return 0, f"the mean bandwidth is {bits / end_s:g} bit/s; allowed: {LEAST_BPS:g} bit/s and more"
    return None
