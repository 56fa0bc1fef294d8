"""One pass of the search for the offline optimum: labels that grow segment by segment.

A *label* stands for all beginnings of a session that end with the same level and differ little otherwise. It has

- ``time``: when the last segment arrived, s,
- ``base``: when playback would have begun had it never stood still since: start-up plus all stalls so far, s,
- ``value``: the QoE so far with stalls left out, and start-up credited at the weight of stalls.

Segment i is due at ``base + i * segment_s``; where it arrives later, ``base`` becomes its arrival less
``i * segment_s``. The buffer is full until ``base + i * segment_s - capacity``. So all three decide all that
follows, and a label whose time and base are no higher and whose value is no lower is at least as good: later
requests never arrive earlier.

Three things keep labels few. One that another beats in this sense is dropped. Labels of one level whose base and
time fall into one cell of a grid become one that has the best of each: a label that may not exist, but is at least
as good as each. And one is dropped where even the bits that the network still carries could not lift it over a
session that is known (`ToGo`). No step loses a session that could be the best, so the highest final value is an
upper bound; the finer the grid, the closer.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_SLACK_BITS = 1e-2
_SLACK = 1e-13
"""Bits, and share of all bits since the trace began, that rounding may hide: never waited for."""

_LEAST_LATENCY_S = 1e-6
"""Shorter latencies count as none."""

ROUNDING = 1e-6
"""Error of a value per segment that comes from telling labels apart in floating point."""

_PLANS = 4
"""Plans that a pass returns at most."""

_STALL_GRID_S = (0.0, 1.0, 4.0, 16.0, 64.0, 256.0)
"""Further stalls for which the value still to come is bounded; between two of them by the worse of both ends."""


class Clock:
    """Integral over time of a rate that is constant by periods and repeats; for arrays of times.

    Parameters
    ----------
    durations_s, rates
        Length of each period in s, and the rate in it per s, at least 0 and not all 0.
    """

    def __init__(self, durations_s: Sequence[float], rates: Sequence[float]) -> None:
        self._rates = np.asarray(rates, np.float64)
        self._times_s = np.concatenate(([0.0], np.cumsum(durations_s)))
        self._sums = np.concatenate(([0.0], np.cumsum(np.asarray(durations_s) * self._rates)))
        self._inverse = 1.0 / np.where(self._rates > 0.0, self._rates, np.inf)

    def at(self, time_s: Floats) -> Floats:
        """Return the integral from 0 to `time_s`."""
        cycle = np.floor(time_s / self._times_s[-1])
        rest_s = time_s - cycle * self._times_s[-1]
        period = np.searchsorted(self._times_s[1:-1], rest_s, side="right")
        return (  # type: ignore[no-any-return]
            cycle * self._sums[-1]
            + self._sums[period]
            + (rest_s - self._times_s[period]) * self._rates[period]
        )

    def reaches(self, integral: Floats) -> Floats:
        """Return when the integral first reaches a value above 0, in s."""
        cycle = np.ceil(integral / self._sums[-1]) - 1.0
        rest = integral - cycle * self._sums[-1]
        period = np.searchsorted(self._sums[1:-1], rest, side="left")
        return (  # type: ignore[no-any-return]
            cycle * self._times_s[-1]
            + self._times_s[period]
            + (rest - self._sums[period]) * self._inverse[period]
        )


class Latency:
    """Latency of requests by periods that repeat; for arrays of times.

    It is told from an integral of 1 / latency, in which a period without latency would drown all others: where one of
    those begins, requests under way are answered at once.

    Parameters
    ----------
    durations_s, latencies_s
        Length of each period in s, and the latency in it in s; less than a microsecond counts as none.
    """

    def __init__(self, durations_s: Sequence[float], latencies_s: Sequence[float]) -> None:
        latencies = np.asarray(latencies_s, np.float64)
        self._none = latencies < _LEAST_LATENCY_S
        self._shares = Clock(durations_s, (1.0 / np.where(self._none, 1.0, latencies)).tolist())
        self._ends_s = np.cumsum(durations_s)
        starts_s = np.concatenate(([0.0], self._ends_s[:-1]))[self._none]
        self._starts_s = np.append(starts_s, self._ends_s[-1] + starts_s[:1])  # of those without latency

    def passed(self, request_s: Floats) -> Floats:
        """Return when the first byte of a request made at `request_s` arrives, in s."""
        first_byte_s = np.maximum(self._shares.reaches(self._shares.at(request_s) + 1.0), request_s)
        if not self._none.any():
            return first_byte_s
        cycle_s = np.floor(request_s / self._ends_s[-1]) * self._ends_s[-1]
        rest_s = request_s - cycle_s
        period = np.minimum(np.searchsorted(self._ends_s, rest_s, side="right"), len(self._ends_s) - 1)
        next_s = cycle_s + self._starts_s[np.searchsorted(self._starts_s[:-1], rest_s)]
        return np.where(self._none[period], request_s, np.minimum(first_byte_s, next_s))


@dataclass(frozen=True, slots=True)
class Network:
    """A trace as the search asks it. Times are in s since the session began."""

    bits: Clock
    """Integral of bandwidth."""
    latency: Latency | None
    """None: nothing to wait for."""
    start_s: float
    """Where in the trace the session begins."""
    held_s: float
    """Latency of each request during which the trace stands still."""

    def first_byte(self, request_s: Floats, segment: int) -> Floats:
        """Return the bits that the trace has carried when segment `segment`'s first byte arrives."""
        time_s = request_s + self.start_s - segment * self.held_s
        if self.latency is not None:
            time_s = self.latency.passed(time_s)
        return self.bits.at(time_s)

    def arrival_s(self, first_byte_bits: Floats, size_bits: Floats, segment: int) -> Floats:
        """Return when segment `segment` has arrived."""
        end_bits = first_byte_bits + size_bits
        time_s = self.bits.reaches(end_bits - np.minimum(_SLACK_BITS + _SLACK * end_bits, 0.5 * size_bits))
        return time_s - self.start_s + (segment + 1) * self.held_s


class ToGo:
    """Most quality that bits buy: for each segment, that and the ones after it at any levels between the given ones.

    Parameters
    ----------
    qualities
        Quality of each level, shape ``(levels,)``.
    sizes_bits
        Shape ``(segments, levels)``.
    """

    def __init__(self, qualities: Floats, sizes_bits: Floats) -> None:
        self._bits: list[Floats] = []
        self._quality: list[Floats] = []
        least_bits = least_quality = 0.0
        steps = np.empty((0, 2))  # bits and quality of each step up, the cheapest quality first
        for sizes in sizes_bits[::-1]:
            corners = _upper_hull(sizes, qualities)
            least_bits += float(corners[0, 0])
            least_quality += float(corners[0, 1])
            steps = np.concatenate((steps, np.diff(corners, axis=0)))
            steps = steps[np.argsort(-steps[:, 1] / steps[:, 0], kind="stable")]
            curve = np.concatenate(([[least_bits, least_quality]], steps)).cumsum(axis=0)
            self._bits.append(curve[:, 0])
            self._quality.append(curve[:, 1])
        self._bits.reverse()
        self._quality.reverse()

    def quality(self, bits: Floats, segment: int) -> Floats:
        """Return the most quality of segments `segment` and after; minus infinity where bits do not suffice."""
        least = self._bits[segment][0] * (1.0 - _SLACK) - _SLACK_BITS
        best = np.interp(bits, self._bits[segment], self._quality[segment])
        return np.where(bits < least, -np.inf, best)

    def most(self, segment: int) -> float:
        """Return the quality of segments `segment` and after with bits without end."""
        return float(self._quality[segment][-1])


def _upper_hull(sizes: Floats, qualities: Floats) -> Floats:
    """Return the corners of the concave hull of quality over size that rise, shape ``(corners, 2)``."""
    corners: list[tuple[float, float]] = []
    for size, quality in sorted(zip(sizes.tolist(), qualities.tolist(), strict=True)):
        if corners and quality <= corners[-1][1]:
            continue
        if corners and size == corners[-1][0]:
            corners.pop()
        while len(corners) > 1:
            (size_0, quality_0), (size_1, quality_1) = corners[-2:]
            if (quality_1 - quality_0) * (size - size_1) > (quality - quality_1) * (size_1 - size_0):
                break
            corners.pop()
        corners.append((size, quality))
    return np.array(corners)


@dataclass(frozen=True, slots=True)
class Problem:
    """What a pass is about. Values are in the figure's unit."""

    network: Network
    sizes_bits: Floats
    """Shape ``(segments, levels)``."""
    qualities: Floats
    """What a segment adds, shape ``(levels,)``."""
    switches: Floats
    """What a change from one level (row) to another (column) adds, shape ``(levels, levels)``."""
    rise_to_top: Floats
    """Most that all changes still to come can add, by last level, shape ``(levels,)``."""
    stall_per_s: float
    startup_per_s: float
    """What a second of start-up costs in the optimum."""
    segment_s: float
    capacity_s: float
    """Most buffer at which a request is made, s."""
    first_levels: Ints
    """Levels that the first segment may have."""
    to_go: ToGo


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass has found."""

    upper_bound: float
    """No session has a higher value; minus infinity: none reaches the known one."""
    plans: list[list[int]]
    """Levels of the most promising sessions; their true values may be lower."""


def search(
    problem: Problem, known: float, cell_s: float, most_labels: float, *, real: bool = False
) -> Found | None:
    """Run one pass.

    Parameters
    ----------
    problem
        What is sought.
    known
        Value of a session that is known.
    cell_s
        Cells of base in which labels become one, s, above 0; those of time are a quarter of it.
    most_labels
        Labels that the pass may extend in all.
    real
        Keep the label of the highest value of each cell as it is instead: the plans are then as good as their
        labels say, and the upper bound is none.

    Returns
    -------
    Found or None
        None where it would take more labels.
    """
    segments = len(problem.sizes_bits)
    labels = _first(problem)
    history = [labels]
    used = 0
    for segment in range(1, segments):
        used += len(labels.time_s)
        if used > most_labels:
            return None
        labels = _merged(_extended(problem, labels, segment, known), cell_s, real)
        if not len(labels.time_s):
            return Found(-np.inf, [])
        history.append(labels)
    final = labels.value - problem.stall_per_s * labels.base_s
    best = np.argsort(-final)[:_PLANS]
    upper_bound = float(final[best[0]]) + ROUNDING * segments
    return Found(upper_bound, [_traced(history, int(place)) for place in best])


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels as columns, each of shape ``(labels,)``."""

    time_s: Floats
    base_s: Floats
    value: Floats
    level: Ints
    parent: Ints
    """Place of the label before among those of its segment."""

    def __getitem__(self, rows: NDArray[np.bool_] | Ints) -> _Labels:
        return _Labels(
            self.time_s[rows], self.base_s[rows], self.value[rows], self.level[rows], self.parent[rows]
        )


def _first(problem: Problem) -> _Labels:
    """Return the labels of the first segment."""
    level = problem.first_levels
    first_byte = problem.network.first_byte(np.zeros(1), 0)
    time_s = problem.network.arrival_s(first_byte, problem.sizes_bits[0, level], 0)
    value = problem.qualities[level] + (problem.stall_per_s - problem.startup_per_s) * time_s
    return _Labels(time_s, time_s, value, level, level)


def _extended(problem: Problem, labels: _Labels, segment: int, known: float) -> _Labels:
    """Return every label with every level of the next segment, less those without hope."""
    count, levels = len(labels.time_s), len(problem.qualities)
    due_s = segment * problem.segment_s
    request_s = np.maximum(labels.time_s, labels.base_s + due_s - problem.capacity_s)
    first_byte = problem.network.first_byte(request_s, segment)
    sizes = problem.sizes_bits[segment][:, None]
    time_s = problem.network.arrival_s(first_byte, np.broadcast_to(sizes, (levels, count)), segment).ravel()
    value = (labels.value + problem.qualities[:, None] + problem.switches[labels.level].T).ravel()
    extended = _Labels(
        time_s=time_s,
        base_s=np.maximum(np.tile(labels.base_s, levels), time_s - due_s),
        value=value,
        level=np.repeat(np.arange(levels), count),
        parent=np.tile(np.arange(count), levels),
    )
    return _hopeful(problem, extended, segment, known - ROUNDING * len(problem.sizes_bits))


def _hopeful(problem: Problem, labels: _Labels, segment: int, known: float) -> _Labels:
    """Return the labels that may still reach a value of `known`."""
    sure = labels.value + problem.rise_to_top[labels.level] - problem.stall_per_s * labels.base_s
    following = segment + 1
    if following == len(problem.sizes_bits):
        return labels[sure >= known]
    most = problem.to_go.most(following)
    some = sure + most >= known
    labels, sure = labels[some], sure[some]
    carried = problem.network.first_byte(labels.time_s, following)
    end_s = labels.base_s + (len(problem.sizes_bits) - 1) * problem.segment_s
    held_s = problem.network.start_s - len(problem.sizes_bits) * problem.network.held_s
    hope = np.full(len(sure), most - problem.stall_per_s * _STALL_GRID_S[-1])
    for least_s, most_s in itertools.pairwise(_STALL_GRID_S):
        bits = problem.network.bits.at(np.maximum(end_s + most_s + held_s, 0.0)) - carried
        hope = np.maximum(hope, problem.to_go.quality(bits, following) - problem.stall_per_s * least_s)
    return labels[sure + hope >= known]


def _merged(labels: _Labels, cell_s: float, real: bool) -> _Labels:
    """Drop labels that another of the same level and base cell beats, then make one of those in one cell."""
    if not len(labels.time_s):
        return labels
    cells, cell = np.unique(np.floor(labels.base_s / cell_s), return_inverse=True)
    group = labels.level * len(cells) + cell
    order = np.lexsort((-labels.value, labels.time_s, group))
    labels, group = labels[order], group[order]

    # the highest value so far within a group, by one running maximum over groups that lie far apart
    apart = (labels.value.max() - labels.value.min() + 1.0) * group
    lifted = labels.value + apart
    ahead = np.ones(len(lifted), np.bool_)
    ahead[1:] = lifted[1:] > np.maximum.accumulate(lifted)[:-1] + ROUNDING / 2
    starts = np.flatnonzero(ahead)
    base_s = (
        labels.base_s[starts] if real else np.minimum.reduceat(labels.base_s, starts)
    )  # of a label and those that it beats
    labels, group = labels[starts], group[starts]

    new = np.ones(len(starts), np.bool_)
    column = np.floor(labels.time_s / (cell_s / 4.0))
    new[1:] = (group[1:] != group[:-1]) | (column[1:] != column[:-1])
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(new)) - 1
    if real:
        return labels[ends]
    return _Labels(
        time_s=labels.time_s[starts],
        base_s=np.minimum.reduceat(base_s, starts),
        value=labels.value[ends],
        level=labels.level[ends],
        parent=labels.parent[ends],
    )


def _traced(history: list[_Labels], place: int) -> list[int]:
    """Return the levels that led to a label of the last segment."""
    plan = []
    for labels in reversed(history):
        plan.append(int(labels.level[place]))
        place = int(labels.parent[place])
    return plan[::-1]
