"""Bandwidth as a function of time: constant, following a trace, or drawn at random.

All are right-continuous: at a change point the new value holds. A transfer is timed by the integral and its
inverse, so that a change of bandwidth costs no event and no error.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import ceil, floor, inf, nextafter, ulp
from typing import Protocol

import numpy as np

from simulator.core.errors import CoreError


class Bandwidth(Protocol):
    """Bytes per second as a function of simulated time, from 0 on."""

    @property
    def mean_bytes_per_s(self) -> float:
        """Average over a long time: what a fixed cost in seconds is converted to bytes with. Above 0."""
        ...

    @property
    def peak_bytes_per_s(self) -> float:
        """Least upper bound."""
        ...

    def rate(self, time_s: float) -> float:
        """Return the bandwidth at `time_s`, in bytes per second."""
        ...

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the bytes that pass from `start_s` to `end_s`, where 0 <= `start_s` <= `end_s`."""
        ...

    def time_for(self, start_s: float, n_bytes: float) -> float:
        """Return the first time at which `n_bytes` >= 0 have passed since `start_s`; always finite."""
        ...


class ConstantBandwidth:
    """The same bandwidth for ever.

    Raises
    ------
    CoreError
        Where it is not above 0 and finite.
    """

    __slots__ = ("mean_bytes_per_s", "peak_bytes_per_s")

    def __init__(self, bytes_per_s: float) -> None:
        if not 0.0 < bytes_per_s < inf:
            raise CoreError(f"a constant bandwidth must be above 0 and finite, not {bytes_per_s!r} bytes/s")
        self.mean_bytes_per_s = self.peak_bytes_per_s = float(bytes_per_s)

    def rate(self, time_s: float) -> float:
        """Return the bandwidth, in bytes per second."""
        return self.mean_bytes_per_s

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the bytes that pass from `start_s` to `end_s`."""
        return (end_s - start_s) * self.mean_bytes_per_s

    def time_for(self, start_s: float, n_bytes: float) -> float:
        """Return the time at which `n_bytes` have passed since `start_s`."""
        return start_s + n_bytes / self.mean_bytes_per_s


class TraceBandwidth:
    """Piecewise constant bandwidth that repeats.

    Parameters
    ----------
    times_s
        Change points, ascending, the first one 0.
    values_bytes_per_s
        Bandwidth from each change point on; as many. Stretches of 0 are fine.
    period_s
        When it starts over; after the last change point.

    Raises
    ------
    CoreError
        Where those conditions are broken, or all values are 0.
    """

    __slots__ = (
        "_prefix",
        "_starts",
        "_total",
        "_values",
        "mean_bytes_per_s",
        "peak_bytes_per_s",
        "period_s",
    )

    def __init__(
        self, times_s: Sequence[float], values_bytes_per_s: Sequence[float], period_s: float
    ) -> None:
        starts = [float(time) for time in times_s]
        values = [float(value) for value in values_bytes_per_s]
        if not starts or len(starts) != len(values):
            raise CoreError(
                f"a trace needs as many times as values, at least one: {len(starts)} and {len(values)}"
            )
        ends = [*starts[1:], float(period_s)]
        if starts[0] != 0.0 or not ends[-1] < inf:
            raise CoreError(
                f"a trace must start at 0 s and have a finite period: {starts[0]!r}, {period_s!r}"
            )
        for index, (start, end, value) in enumerate(zip(starts, ends, values, strict=True)):
            if not start < end:
                raise CoreError(f"times of a trace must ascend: entry {index} is {start!r} s, then {end!r} s")
            if not 0.0 <= value < inf:
                raise CoreError(
                    f"a bandwidth must be at least 0 and finite: entry {index} is {value!r} bytes/s"
                )
        self._starts, self._values = starts, values
        self._prefix = _Sums()  # bytes from the start of a period to each change point, and to its end
        for start, end, value in zip(starts, ends, values, strict=True):
            self._prefix.add((end - start) * value)
        self._total = self._prefix[-1]
        if not 0.0 < self._total < inf:
            raise CoreError(
                f"a trace must carry some bytes per period, and finitely many, not {self._total!r}"
            )
        self.period_s = float(period_s)
        self.mean_bytes_per_s = self._total / self.period_s
        self.peak_bytes_per_s = max(values)

    def rate(self, time_s: float) -> float:
        """Return the bandwidth at `time_s`, in bytes per second."""
        return self._values[self._locate(time_s)[1]]

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the bytes that pass from `start_s` to `end_s`."""
        cycle, index = self._locate(start_s)
        last_cycle, last = self._locate(end_s)
        if index == last and cycle == last_cycle:
            return (end_s - start_s) * self._values[index]
        head = (self._end(cycle, index) - start_s) * self._values[index]
        tail = (end_s - (last_cycle * self.period_s + self._starts[last])) * self._values[last]
        between = (last_cycle - cycle) * self._total + (self._prefix[last] - self._prefix[index + 1])
        return head + between + tail

    def time_for(self, start_s: float, n_bytes: float) -> float:
        """Return the first time at which `n_bytes` have passed since `start_s`.

        Work that ends just where a pause begins must not wait for the end of the pause because of a last bit:
        what passes within the rounding of time is not waited for.
        """
        slack = 16.0 * ulp(start_s) * self.peak_bytes_per_s + 1e-14 * n_bytes
        if n_bytes <= slack:
            return start_s
        cycle, index = self._locate(start_s)
        end_s = self._end(cycle, index)
        value = self._values[index]
        head = (end_s - start_s) * value
        if n_bytes <= head + slack:
            return min(start_s + n_bytes / value, end_s)
        needed = n_bytes - head  # from the end of this stretch on
        prefix, total = self._prefix, self._total
        passed = prefix[index + 1]
        if passed == total:  # nothing more passes in this period
            cycle += 1
            passed = 0.0
        rest = _beyond(passed, needed - slack)  # from the start of the period on
        whole = ceil(rest / total) - 1 if rest > total else 0
        rest -= whole * total
        if rest <= 0.0:  # by rounding: the end of the period before
            whole -= 1
            rest = total
        index = bisect_left(prefix, min(rest, total)) - 1  # a stretch in which bytes pass
        cycle += whole
        last = max(needed - (whole * total + (prefix[index] - passed)), 0.0)
        time_s = cycle * self.period_s + self._starts[index] + last / self._values[index]
        return min(time_s, self._end(cycle, index))

    def _end(self, cycle: int, index: int) -> float:
        """Return when a stretch ends: the very float at which the next one starts."""
        index += 1
        if index == len(self._starts):
            return (cycle + 1) * self.period_s
        return cycle * self.period_s + self._starts[index]

    def _locate(self, time_s: float) -> tuple[int, int]:
        """Return the period and the stretch that hold `time_s`.

        A change point is the float ``cycle * period_s + start`` everywhere, and `time_s` is compared with
        that: the remainder of a division would put a time at a change point now on one side and now on the
        other.
        """
        cycle = _cell(time_s, self.period_s)
        base = cycle * self.period_s
        starts = self._starts
        index = bisect_right(starts, time_s - base) - 1
        while base + starts[index] > time_s:
            index -= 1
        while index + 1 < len(starts) and base + starts[index + 1] <= time_s:
            index += 1
        return cycle, index


class UniformBandwidth:
    """Bandwidth drawn anew from a uniform distribution every `period_s`.

    Values are drawn when first needed, in the order of time, whatever the order of questions; the generator
    must not be used by anyone else.

    Parameters
    ----------
    low_bytes_per_s, high_bytes_per_s
        Ends of the distribution; the high one above 0.
    period_s
        Time between two draws.
    rng
        Random stream.

    Raises
    ------
    CoreError
        Where low <= high, high > 0 or period > 0 is broken.
    """

    __slots__ = (
        "_low",
        "_prefix",
        "_rng",
        "_values",
        "mean_bytes_per_s",
        "peak_bytes_per_s",
        "period_s",
    )

    def __init__(
        self, low_bytes_per_s: float, high_bytes_per_s: float, period_s: float, rng: np.random.Generator
    ) -> None:
        if not 0.0 <= low_bytes_per_s <= high_bytes_per_s < inf or high_bytes_per_s == 0.0:
            raise CoreError(
                f"a uniform bandwidth needs 0 <= low <= high, high above 0 and finite, not "
                f"{low_bytes_per_s!r} to {high_bytes_per_s!r} bytes/s"
            )
        if not 0.0 < period_s < inf:
            raise CoreError(f"the time between two draws must be above 0 and finite, not {period_s!r} s")
        self._low, self.peak_bytes_per_s = float(low_bytes_per_s), float(high_bytes_per_s)
        self.mean_bytes_per_s = (self._low + self.peak_bytes_per_s) / 2.0
        self.period_s = float(period_s)
        self._rng = rng
        self._values: list[float] = []
        self._prefix = _Sums()

    def rate(self, time_s: float) -> float:
        """Return the bandwidth at `time_s`, in bytes per second."""
        return self._value(_cell(time_s, self.period_s))

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the bytes that pass from `start_s` to `end_s`."""
        period = self.period_s
        first, last = _cell(start_s, period), _cell(end_s, period)
        final = self._value(last)
        if first == last:
            return (end_s - start_s) * final
        head = ((first + 1) * period - start_s) * self._values[first]
        return head + (self._prefix[last] - self._prefix[first + 1]) + (end_s - last * period) * final

    def time_for(self, start_s: float, n_bytes: float) -> float:
        """Return the first time at which `n_bytes` have passed since `start_s`."""
        if n_bytes <= 0.0:
            return start_s
        period, prefix = self.period_s, self._prefix
        index = _cell(start_s, period)
        value = self._value(index)
        end_s = (index + 1) * period
        head = (end_s - start_s) * value
        if n_bytes <= head:
            return min(start_s + n_bytes / value, end_s)
        needed = n_bytes - head  # from the end of this period on
        passed = prefix[index + 1]
        rest = _beyond(passed, needed)
        while prefix[-1] < rest:
            self._draw()
        index = bisect_left(prefix, rest, lo=index + 1) - 1  # a period in which bytes pass
        last = max(needed - (prefix[index] - passed), 0.0)
        return min(index * period + last / self._values[index], (index + 1) * period)

    def _value(self, index: int) -> float:
        while len(self._values) <= index:
            self._draw()
        return self._values[index]

    def _draw(self) -> None:
        for value in self._rng.uniform(self._low, self.peak_bytes_per_s, size=64).tolist():
            self._values.append(value)
            self._prefix.add(value * self.period_s)


class _Sums(list[float]):
    """Running sums from 0, with compensation (Neumaier): the error does not grow with their number."""

    __slots__ = ("_lost", "_sum")

    def __init__(self) -> None:
        super().__init__((0.0,))
        self._sum = self._lost = 0.0

    def add(self, value: float) -> None:
        total = self._sum + value
        # Every value is at least 0, yet the sum may be the smaller one at first.
        if self._sum >= value:
            self._lost += (self._sum - total) + value
        else:
            self._lost += (value - total) + self._sum
        self._sum = total
        # A sum that a zero stretch leaves as it is must stay so bit for bit; rounding must not make it fall.
        self.append(max(total + self._lost, self[-1]))


def _cell(time_s: float, width_s: float) -> int:
    """Return k with ``k * width_s <= time_s < (k + 1) * width_s``, judged by those floats."""
    k = floor(time_s / width_s)
    if k * width_s > time_s:
        return k - 1
    if (k + 1) * width_s <= time_s:
        return k + 1
    return k


def _beyond(n_bytes: float, more_bytes: float) -> float:
    """Add, where the sum must exceed `n_bytes` even if rounding swallows `more_bytes` > 0."""
    return max(n_bytes + more_bytes, nextafter(n_bytes, inf))
