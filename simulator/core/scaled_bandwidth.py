"""A bandwidth that falls to a share of itself for a while: a slow disk, a link that drops and comes back."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from math import inf, ulp

from simulator.core.bandwidth import Bandwidth


class ScaledBandwidth:
    """Another bandwidth times a factor that changes at given times.

    Parameters
    ----------
    base
        The bandwidth as it would be.
    changes
        (time in s, factor from then on), times rising and factors from 0 to 1, the last factor above 0; without end
        where the changes go on for ever, and then a factor above 0 must come again and again. They are asked for as
        far as they are needed.
    """

    __slots__ = ("_base", "_changes", "_factors", "_times", "mean_bytes_per_s", "peak_bytes_per_s")

    def __init__(self, base: Bandwidth, changes: Iterable[tuple[float, float]]) -> None:
        self._base = base
        self._changes: Iterator[tuple[float, float]] = iter(changes)
        self._times = [0.0]
        self._factors = [1.0]
        self.mean_bytes_per_s = base.mean_bytes_per_s
        """That of the undisturbed bandwidth: the overhead of an operation is the same work, and takes longer."""
        self.peak_bytes_per_s = base.peak_bytes_per_s

    def rate(self, time_s: float) -> float:
        """Return the bandwidth at `time_s`, in bytes per second."""
        return self._factors[self._locate(time_s)] * self._base.rate(time_s)

    def integral(self, start_s: float, end_s: float) -> float:
        """Return the bytes that pass from `start_s` to `end_s`."""
        index, last = self._locate(start_s), self._locate(end_s)
        n_bytes = 0.0
        while index < last:
            n_bytes += self._factors[index] * self._base.integral(start_s, self._times[index + 1])
            index += 1
            start_s = self._times[index]
        return n_bytes + self._factors[last] * self._base.integral(start_s, end_s)

    def time_for(self, start_s: float, n_bytes: float) -> float:
        """Return the first time at which `n_bytes` have passed since `start_s`.

        Work that ends just where an outage begins must not wait for its end because of a last bit: what passes within
        the rounding of time is not waited for.
        """
        slack = 16.0 * ulp(start_s) * self.peak_bytes_per_s + 1e-14 * n_bytes
        if n_bytes <= slack:
            return start_s
        index = self._locate(start_s)
        while True:
            end_s = self._end(index)  # asks for all that happens at the start of the stretch
            factor = self._factors[index]
            if end_s == inf:
                return self._base.time_for(start_s, n_bytes / factor)
            if factor:
                passed = factor * self._base.integral(start_s, end_s)
                if n_bytes <= passed + slack:
                    return min(self._base.time_for(start_s, n_bytes / factor), end_s)
                n_bytes -= passed
            index += 1
            start_s = end_s

    def _locate(self, time_s: float) -> int:
        """Return the stretch that holds `time_s`."""
        times = self._times
        while times[-1] <= time_s and self._ask():
            pass
        return bisect_right(times, time_s) - 1

    def _end(self, index: int) -> float:
        """Return when a stretch ends."""
        if index + 1 < len(self._times) or self._ask():
            return self._times[index + 1]
        return inf

    def _ask(self) -> bool:
        """Ask for the next change; False where there is none."""
        for time_s, factor in self._changes:
            if time_s > self._times[-1]:
                self._times.append(time_s)
                self._factors.append(factor)
                return True
            self._factors[-1] = factor  # several at one instant, or at the start
        return False
