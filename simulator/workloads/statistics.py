"""What a workload looks like: rate, burstiness, lengths, and how much of its prompts repeats."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.requests import Requests


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and quantiles of one column."""

    mean: float
    """Arithmetic mean."""
    p50: float
    """Median."""
    p90: float
    """90th percentile, linearly interpolated."""
    p99: float
    """99th percentile, linearly interpolated."""

    @classmethod
    def of(cls, values: NDArray[np.int64] | NDArray[np.float64]) -> Spread:
        """Summarise `values`, shape (n,), n at least 1."""
        p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99))
        return cls(float(values.mean()), float(p50), float(p90), float(p99))


@dataclass(frozen=True, slots=True)
class WorkloadStatistics:
    """Figures of a workload, from its columns alone."""

    requests: int
    """Number of requests, whenever they arrive."""
    rate_per_s: float
    """Arrivals per second between the first and the last known one; NaN with fewer than two."""
    gap_cv: float
    """Coefficient of variation of the gaps between known arrivals (1: Poisson); NaN with fewer than two."""
    input_tokens: Spread
    """Prompt lengths."""
    output_tokens: Spread
    """Answer lengths."""
    prefix_hit_rate: float
    """Share of prompt blocks that an unlimited cache would hold (see `prefix_hit_rate`)."""


def describe(requests: Requests) -> WorkloadStatistics:
    """Return the figures of `requests`, which must not be empty."""
    known = requests.arrival_s[~np.isnan(requests.arrival_s)]
    gaps = np.diff(known)
    mean_gap = float(gaps.mean()) if len(gaps) else 0.0
    return WorkloadStatistics(
        requests=len(requests),
        rate_per_s=1 / mean_gap if mean_gap > 0 else np.nan,
        gap_cv=float(gaps.std()) / mean_gap if len(gaps) > 1 and mean_gap > 0 else np.nan,
        input_tokens=Spread.of(requests.input_tokens),
        output_tokens=Spread.of(requests.output_tokens),
        prefix_hit_rate=prefix_hit_rate(requests),
    )


def prefix_hit_rate(requests: Requests, capacity_blocks: int | None = None) -> float:
    """Return the share of prompt blocks that a prefix cache holds when their request arrives.

    A block hits when it and all blocks before it are held. Requests are taken in their order, each one
    finished before the next: that is a property of the workload, and no simulation.

    Parameters
    ----------
    requests
        The workload; without block ids the rate is 0.
    capacity_blocks
        Size of a cache that evicts the least recently used block, the deepest one first among those of one
        request; None: unlimited.

    Returns
    -------
    float
        Hits per prompt block, 0 to 1.
    """
    ids, offsets = requests.hash_ids, requests.hash_offsets
    if ids is None or offsets is None or len(ids) == 0:
        return 0.0
    # the ids of a request may go on over its answer; only those of the prompt are looked up
    blocks = np.minimum(-(-requests.input_tokens // requests.hash_block_tokens), np.diff(offsets))
    if capacity_blocks is None:
        hits = _unlimited_hits(ids, offsets, blocks)
    else:
        hits = _lru_hits(ids, offsets, blocks, capacity_blocks)
    return hits / int(blocks.sum())


def _unlimited_hits(ids: NDArray[np.int64], offsets: NDArray[np.int64], blocks: NDArray[np.int64]) -> int:
    """Count leading blocks that an earlier request has had."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    new = np.flatnonzero(first[inverse] >= np.repeat(offsets[:-1], np.diff(offsets)))
    # the first new block at or after each request's begin; a request without one hits throughout
    ends = np.append(new, len(ids))[np.searchsorted(new, offsets[:-1])]
    return int(np.minimum(ends - offsets[:-1], blocks).sum())


def _lru_hits(
    ids: NDArray[np.int64], offsets: NDArray[np.int64], blocks: NDArray[np.int64], capacity: int
) -> int:
    """Count leading blocks held by an LRU cache of `capacity` blocks."""
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    flat = ids.tolist()
    for begin, end, looked_up in zip(
        offsets[:-1].tolist(), offsets[1:].tolist(), blocks.tolist(), strict=True
    ):
        for block in flat[begin : begin + looked_up]:
            if block not in held:
                break
            hits += 1
        for block in reversed(flat[begin:end]):  # the front is touched last, so that it outlives what follows
            held[block] = None
            held.move_to_end(block)
        while len(held) > capacity:
            held.popitem(last=False)
    return hits
