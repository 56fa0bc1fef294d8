"""Which part of a workload is used, and when it arrives: the same rules for every kind of workload."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.requests import Requests


@dataclass(frozen=True, slots=True)
class Window:
    """A cut through a workload: first cut in the trace's own time, then scale the rate, then delay."""

    start_s: float = 0.0
    """Begin of the cut; it becomes simulated time 0 (plus the delay)."""
    stop_s: float = np.inf
    """End of the cut, itself left out."""
    count: int | None = None
    """At most this many requests from `start_s` on; None: all."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast; above 0."""
    delay_s: float = 0.0
    """Simulated time at which the workload begins."""

    def rows(self, arrival_s: NDArray[np.float64]) -> slice:
        """Return which of the ascending `arrival_s`, shape (n,), lie in the cut."""
        low, high = (int(place) for place in np.searchsorted(arrival_s, (self.start_s, self.stop_s)))
        return slice(low, high if self.count is None else min(high, low + self.count))

    def filled_by(self, arrival_s: NDArray[np.float64]) -> bool:
        """Tell whether arrivals after the last one of `arrival_s` can no longer lie in the cut."""
        rows = self.rows(arrival_s)
        full = self.count is not None and rows.stop - rows.start >= self.count
        return full or (len(arrival_s) > 0 and bool(arrival_s[-1] >= self.stop_s))

    def simulated_s(self, arrival_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the simulated times of arrivals in the trace's time, both of shape (n,)."""
        return (arrival_s - self.start_s) / self.rate_scale + self.delay_s

    def cut(self, requests: Requests) -> Requests:
        """Return the part of independent `requests` (no closed loop, no `after`) that lies in the cut."""
        rows = self.rows(requests.arrival_s)
        ids, offsets = requests.hash_ids, requests.hash_offsets
        if ids is not None and offsets is not None:
            offsets = offsets[rows.start : rows.stop + 1]
            ids = ids[offsets[0] : offsets[-1]]
            offsets = offsets - offsets[0]
        return replace(
            requests,
            arrival_s=self.simulated_s(requests.arrival_s[rows]),
            input_tokens=requests.input_tokens[rows],
            output_tokens=requests.output_tokens[rows],
            hash_ids=ids,
            hash_offsets=offsets,
            graphs=None if requests.graphs is None else requests.graphs.rows(rows),
        )
