"""Upper bound on the QoE of a group: no policy does better, whatever it knows.

The best schedule of all, with full knowledge of the networks, is a mixed-integer linear programme: for every chunk a
combination, who downloads it, who super-resolves it, and when it plays. What is solved is a *relaxation*: it keeps
conditions that every real schedule meets and leaves out others, so that its optimum lies on or above the best real one.

Kept, in the words of `simulator.streaming.group`:

- every chunk has one combination, one downloader and, with super-resolution (SR), one processor that can run it;
- what phones have super-resolved, decoded and encoded of chunks a to b took that long, since a was allowed by the
  buffer cap and until b plays; SR is as fast as on the cool phone;
- what a WWAN has brought by then is no more than its trace gives: in the best order of its bandwidth from the start on
  (the concave envelope of its integral), and at its peak rate since a was allowed;
- a chunk plays no sooner than after its own download, decoding, SR and encoding; playback stalls in between.

Left out: the WLAN (it costs nothing), heat, batteries, phones that come late or go (all are there throughout),
the order of work inside such a stretch, latencies but for one per chunk, and what a decision could not know.

Play times are those of whoever is first to play a chunk, for that one paces the downloads. A viewer whose start came
some seconds later has that much more in its buffer: it can stall that much less, and no less than that.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

import numpy as np

from devices.errors import Fault, InputError
from simulator.policies.collaboration.protocol import Combination
from simulator.streaming.group.group import Group
from simulator.streaming.linear_programme import LinearProgramme, Term
from simulator.streaming.network_trace import NetworkTrace

_MARGIN = 1e-6
"""Added to the bound for the solver's tolerances, in Mbit/s."""


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """One chunk of the best schedule of the relaxation."""

    combination: str
    """What it is."""
    downloader: str
    """Who downloads it; where several share it, who downloads most."""
    processor: str
    """Who super-resolves it; empty without SR."""
    play_s: float
    """When it begins to play."""


@dataclass(frozen=True, slots=True)
class UpperBound:
    """What no viewer who is there from beginning to end can exceed."""

    qoe: float
    """Linear QoE per chunk, Mbit/s: `Qoe.per_segment` of the figure ``oasis``; of one who is the first to play."""
    method: Literal["milp", "lp"]
    """Whether combinations and phones were whole; else shares of them, which makes the bound less sharp."""
    closed: bool
    """Whether the solver came to the end; else this is the bound when its time was up, which holds as well."""
    plan: tuple[PlannedChunk, ...]
    """A schedule that the relaxation allows, if one with whole chunks was found; else empty."""
    per_later_s: float
    """What a second's later start may save in stalls, Mbit/s."""

    def of_viewer(self, later_s: float) -> float:
        """Return the bound for a viewer who began to play `later_s` after the first one."""
        return self.qoe + self.per_later_s * later_s


def upper_bound(
    group: Group,
    *,
    plain: bool = True,
    startup_s: float = inf,
    stall_per_s: float = 4.3,
    change: float = 1.0,
    time_limit_s: float = 5.0,
    whole_up_to: int = 1500,
) -> UpperBound:
    """Return a bound on the linear QoE of every viewer who takes part from the start to the end.

    It is that of the first to play; see `UpperBound.of_viewer` for the others.

    Parameters
    ----------
    group
        Phones and video.
    plain
        Whether chunks without SR are allowed. Without them the bound holds for policies that always use SR, and for
        these it is sharper.
    startup_s
        Latest start of the first to play. The longer playback waits, the more may be prepared, up to the buffer cap:
        the bound holds for sessions that have started by then.
    stall_per_s
        What a second of stall costs, in Mbit/s of one chunk.
    change
        What a change of quality by 1 Mbit/s costs.
    time_limit_s
        When the search for whole chunks stops.
    whole_up_to
        Largest number of whole-numbered unknowns; a larger programme is solved without that condition ("lp").

    Raises
    ------
    InputError
        Where chunks without SR are not allowed, but there are none with it.
    """
    if not plain and not group.combinations:
        raise InputError(Fault("a bound for SR throughout needs a combination with SR; the group has none"))
    schedule = _Schedule(group, plain, startup_s)
    schedule.build()
    programme, chunks = schedule.programme, group.video.segments
    for (_, quality), columns in zip(schedule.choices(), schedule.columns(), strict=True):
        for column in columns:
            programme.gain[column] += quality / chunks
    schedule.charge_changes(change)
    stall = stall_per_s / chunks
    programme.gain[schedule.plays[-1]] -= stall
    programme.gain[schedule.plays[0]] += stall
    constant = stall * (chunks - 1) * group.video.segment_s
    whole = programme.integers <= whole_up_to
    solution = programme.maximise(whole, time_limit_s)
    return UpperBound(
        qoe=solution.bound + constant + _MARGIN,
        method="milp" if whole else "lp",
        closed=solution.closed,
        plan=schedule.plan(solution.values) if whole and solution.values is not None else (),
        per_later_s=stall,
    )


class _Schedule:
    """The chunk schedule as a linear programme, without an objective. Bits are in Mbit."""

    def __init__(self, group: Group, plain: bool, startup_s: float) -> None:
        self.group = group
        self.programme = programme = LinearProgramme()
        video = group.video
        self._plain = group.plain if plain else ()
        self._sources = [(it, it.wwan) for it in group.phones if isinstance(it.wwan, NetworkTrace)]
        """Scenarios with links that others use too are refused: what is left of them is not known beforehand."""
        self.plays = [programme.column(upper=startup_s)]
        """When each chunk begins to play."""
        self.plays += [programme.column() for _ in range(video.segments - 1)]
        self._made: list[
            dict[tuple[Combination, int], int]
        ] = []  # by chunk: (combination, processor) -> share
        self._brought: list[
            list[tuple[int, int]]
        ] = []  # by chunk and source: whether it downloads, and how much
        self._worked: list[list[int]] = [[] for _ in group.phones]  # by phone and chunk: SR time so far
        self._coded: list[list[int]] = [[] for _ in group.phones]  # by phone and chunk: chunks so far
        self._received: list[list[int]] = [[] for _ in self._sources]  # by source and chunk: bits so far
        for chunk in range(video.segments):
            self._add_chunk(chunk)

    def _add_chunk(self, chunk: int) -> None:
        group, programme = self.group, self.programme
        made: dict[tuple[Combination, int], int] = {}
        plain = group.plain[:1] if chunk < group.plain_first else self._plain
        for combination in plain:
            made[combination, -1] = programme.column(upper=1.0, integral=True)
        if chunk >= group.plain_first:
            for combination in group.combinations:
                for index, phone in enumerate(group.phones):
                    if combination.name in phone.sr_frames_per_s:
                        made[combination, index] = programme.column(upper=1.0, integral=True)
        programme.equal([(column, 1.0) for column in made.values()], 1.0)
        most = max(self._mbit(chunk, combination) for combination, _ in made)
        brought = []
        for _ in self._sources:
            whether, mbit = programme.column(upper=1.0, integral=True), programme.column()
            programme.at_most([(mbit, 1.0), (whether, -most)], 0.0)
            brought.append((whether, mbit))
        programme.equal([(whether, 1.0) for whether, _ in brought], 1.0)
        total = [(column, -self._mbit(chunk, combination)) for (combination, _), column in made.items()]
        programme.equal([(mbit, 1.0) for _, mbit in brought] + total, 0.0)
        for index in range(len(group.phones)):
            own = [(combination, column) for (combination, who), column in made.items() if who == index]
            self._accumulate(self._worked[index], [(column, self._busy_s(index, one)) for one, column in own])
            self._accumulate(self._coded[index], [(column, 1.0) for _, column in own])
        for received, (_, mbit) in zip(self._received, brought, strict=True):
            self._accumulate(received, [(mbit, 1.0)])
        self._made.append(made)
        self._brought.append(brought)

    def _accumulate(self, sums: list[int], terms: list[Term]) -> None:
        total = self.programme.column()
        before = [(sums[-1], -1.0)] if sums else []
        self.programme.equal([(total, 1.0), *before, *[(column, -factor) for column, factor in terms]], 0.0)
        sums.append(total)

    def _mbit(self, chunk: int, combination: Combination) -> float:
        return self.group.video.sizes_bits[chunk][combination.level] / 1e6

    def _sr_s(self, index: int, combination: Combination) -> float:
        group = self.group
        return (
            group.frames_per_s * group.video.segment_s / group.phones[index].sr_frames_per_s[combination.name]
        )

    def _codec_s(self, index: int) -> tuple[float, float]:
        phone, segment_s = self.group.phones[index], self.group.video.segment_s
        return phone.decode_s_per_s * segment_s, phone.encode_s_per_s * segment_s

    def _busy_s(self, index: int, combination: Combination) -> float:
        """How long a chunk keeps the SR of a phone busy, or all of one that does one thing at a time."""
        codec_s = 0.0 if self.group.pipelined else sum(self._codec_s(index))
        return self._sr_s(index, combination) + codec_s

    def _pass_s(self, index: int, combination: Combination) -> float:
        """Least time from a downloaded chunk to its result."""
        frames = self.group.frames_per_s * self.group.video.segment_s if self.group.pipelined else 1.0
        return self._sr_s(index, combination) + sum(self._codec_s(index)) / frames

    # Conditions

    def build(self) -> None:
        """Add what holds between the chunks."""
        group, programme, plays = self.group, self.programme, self.plays
        chunks, segment_s = group.video.segments, group.video.segment_s
        for before, after in itertools.pairwise(plays):
            programme.at_most([(before, 1.0), (after, -1.0)], -segment_s)
        allowed = [self._allowed(chunk) for chunk in range(chunks)]
        first_bits = min([min(sizes) for sizes in group.video.sizes_bits])
        first_s = min(trace.last_byte_s(trace.first_byte_s(0.0), first_bits) for _, trace in self._sources)
        least_s = min(
            min(trace.latencies_s) + first_bits / max(trace.bandwidths_bps) for _, trace in self._sources
        )
        for chunk in range(chunks):
            self._add_pass(chunk, allowed[chunk])
            for received, (_, trace) in zip(self._received, self._sources, strict=True):
                for rate_bps, bits in _envelope(trace):
                    programme.at_most(
                        [(received[chunk], 1.0), (self._deadline(chunk), -rate_bps / 1e6)], bits / 1e6
                    )
        for first, last in _stretches(chunks, next((k for k in range(chunks) if allowed[k][0]), chunks)):
            since, offset_s = allowed[first]
            self._add_stretch(first, last, since, offset_s + (least_s if since else first_s))
            for received, (_, trace) in zip(self._received, self._sources, strict=True):
                peak = max(trace.bandwidths_bps) / 1e6
                terms = [(column, factor * peak) for column, factor in [*since, (self._deadline(last), -1.0)]]
                programme.at_most([*_between(received, first, last), *terms], -offset_s * peak)

    def _deadline(self, chunk: int) -> int:
        """When a chunk has to be there: playback begins with the first ones together."""
        return self.plays[0 if chunk < self.group.startup_chunks else chunk]

    def _allowed(self, chunk: int) -> tuple[list[Term], float]:
        """When the buffer cap lets a chunk's download begin: a play time, if any, plus seconds."""
        segment_s = self.group.video.segment_s
        position_s = (chunk + 1) * segment_s - self.group.buffer_cap_s
        if position_s <= 1e-9 * segment_s:
            return [], 0.0
        at = ceil(position_s / segment_s - 1e-9) - 1
        return [(self.plays[at], 1.0)], position_s - at * segment_s

    def _add_pass(self, chunk: int, allowed: tuple[list[Term], float]) -> None:
        """A chunk's own way takes its time."""
        since, offset_s = allowed
        terms = [*since, (self._deadline(chunk), -1.0)]
        for (whether, mbit), (_, trace) in zip(self._brought[chunk], self._sources, strict=True):
            terms += [(whether, min(trace.latencies_s)), (mbit, 1e6 / max(trace.bandwidths_bps))]
        terms += [
            (column, self._pass_s(who, combination))
            for (combination, who), column in self._made[chunk].items()
            if who >= 0
        ]
        self.programme.at_most(terms, -offset_s)

    def _add_stretch(self, first: int, last: int, since: list[Term], offset_s: float) -> None:
        """All work on chunks `first` to `last` fits between when the first may come and when the last plays."""
        span = [*since, (self._deadline(last), -1.0)]
        for index in range(len(self.group.phones)):
            worked = _between(self._worked[index], first, last)
            self.programme.at_most([*worked, *span], -offset_s)
            fastest_s = min([self._busy_s(index, one) for one in self._runs(index)], default=inf)
            slowest_s = max(self._codec_s(index))
            if fastest_s < slowest_s:
                coded = _between(self._coded[index], first, last)
                self.programme.at_most(
                    [*[(column, factor * slowest_s) for column, factor in coded], *span], -offset_s
                )

    def _runs(self, index: int) -> list[Combination]:
        known = self.group.phones[index].sr_frames_per_s
        return [combination for combination in self.group.combinations if combination.name in known]

    # Objective and solution

    def choices(self) -> list[tuple[int, float]]:
        """Return (chunk, quality in Mbit/s) of every combination that a chunk may have."""
        return [
            (chunk, combination.quality_bps / 1e6)
            for chunk, made in enumerate(self._made)
            for combination, _ in made
        ]

    def columns(self) -> Iterator[list[int]]:
        """Yield their columns, in the same order."""
        return ([column] for made in self._made for column in made.values())

    def charge_changes(self, change: float) -> None:
        """Charge for every change of quality."""
        programme, chunks = self.programme, len(self._made)
        for before, after in zip(self._made, self._made[1:], strict=False):
            size = programme.column(gain=-change / max(chunks - 1, 1))
            rise = [(column, one.quality_bps / 1e6) for (one, _), column in after.items()]
            rise += [(column, -one.quality_bps / 1e6) for (one, _), column in before.items()]
            programme.at_most([*rise, (size, -1.0)], 0.0)
            programme.at_most([*[(column, -factor) for column, factor in rise], (size, -1.0)], 0.0)

    def plan(self, values: Sequence[float]) -> tuple[PlannedChunk, ...]:
        """Return the schedule that a solution stands for."""
        plan = []
        for made, brought, play in zip(self._made, self._brought, self.plays, strict=True):
            combination, processor = max(made, key=lambda one: values[made[one]])
            source = max(range(len(brought)), key=lambda index: values[brought[index][1]])
            plan.append(
                PlannedChunk(
                    combination.name,
                    self._sources[source][0].name,
                    self.group.phones[processor].name if processor >= 0 else "",
                    values[play],
                )
            )
        return tuple(plan)


def _between(sums: Sequence[int], first: int, last: int) -> list[Term]:
    """Return the terms of what was added to running sums from chunk `first` to `last`."""
    return [(sums[last], 1.0)] + ([(sums[first - 1], -1.0)] if first else [])


def _stretches(chunks: int, first_paced: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches of chunks that are looked at; each one left out only makes the bound less sharp.

    Before `first_paced` chunks may come at any time, so that a stretch from the start on contains them.
    """
    for last in range(chunks):
        yield 0, last
    for first in range(first_paced, chunks):
        lasts = range(first, chunks)
        if chunks > 60:
            doubling = {first + (1 << power) for power in range((chunks - first).bit_length())}
            lasts_kept = sorted({first, chunks - 1} | {last for last in doubling if last < chunks})
            yield from ((first, last) for last in lasts_kept)
        else:
            yield from ((first, last) for last in lasts)


def _envelope(trace: NetworkTrace) -> list[tuple[float, float]]:
    """Return the least concave function on or above the bits received since the start: (bit/s, bits at 0)
    of its lines."""
    times_s = np.concatenate(([0.0], np.cumsum(trace.durations_s)))
    bits = np.concatenate(([0.0], np.cumsum(np.multiply(trace.durations_s, trace.bandwidths_bps))))
    mean_bps = float(bits[-1] / times_s[-1])
    corners = [0]
    for point in range(1, len(times_s)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (bits[b] - bits[a]) * (times_s[point] - times_s[b]) > (bits[point] - bits[b]) * (
                times_s[b] - times_s[a]
            ):
                break
            corners.pop()
        corners.append(point)
    lines = []
    for a, b in itertools.pairwise(corners):
        rate_bps = float((bits[b] - bits[a]) / (times_s[b] - times_s[a]))
        if rate_bps <= mean_bps * (1.0 + 1e-9):  # every later cycle is as good as this one
            break
        lines.append((rate_bps, float(bits[a] - rate_bps * times_s[a])))
    lines.append((mean_bps, float(np.max(bits - mean_bps * times_s))))
    return lines
