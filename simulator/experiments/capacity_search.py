"""The search for the highest load that keeps an SLO: which loads it asks for, and what it makes of them.

The load is doubled or halved from where it starts until one keeps the SLO and another does not, then bisected in its
logarithm. With several replications each one's own highest load is then looked for in the same way: most of the runs
that this takes have been done, and only the replication in question runs at a further load. The spread of these loads
tells how well the one found is known.

That an SLO kept at one load is kept at every lower one is taken for granted: what is found is the highest load that
keeps it below the lowest one tried that does not. The probes are returned, so that it can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.experiments.notes import gathered
from simulator.experiments.slo import THROUGHPUT, Objective, Trial
from simulator.experiments.statistics import Estimate, over_replications

TOLERANCE = 0.02
"""The load that keeps the SLO and the one that does not lie this close together at the end, relatively."""

FARTHEST = 2.0**20
"""So many times higher or lower than at its start no load is tried."""

UNCHANGED = 1e-3
"""Where half the load changes no figure of the SLO by more than this share, less will not change them either."""

FOLLOWS = 0.9
"""That is so only where throughput fell to below this share with the load: in an overload figures stay as well."""

Run = tuple[float, int]
"""A load and the number of a replication."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one load."""

    load: float
    """Requests per second, or the factor on the trace's rate."""
    kept: bool
    """Whether every objective was kept in the mean, no request failed, and no replication was overloaded."""
    overloaded: bool
    """Whether the queue was still growing at the end of a replication: no SLO is kept for longer than the run."""
    figures: Mapping[str, float | None]
    """The SLO's figures and ``throughput.requests_per_s``: means over the replications."""
    attainment: Estimate
    """Share of the requests that were answered within the limits of the SLO's latency terms, of those of which that is
    known (see `simulator.experiments.slo`), over the replications."""
    goodput_per_s: Estimate
    """So many requests per second of the time that throughput is counted over."""

    @property
    def verdict(self) -> str:
        """``kept``, ``not kept`` or ``overloaded``."""
        return "kept" if self.kept else "overloaded" if self.overloaded else "not kept"

    def as_data(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self) | {
            "attainment": self.attainment.as_data(),
            "goodput_per_s": self.goodput_per_s.as_data(),
        }


@dataclass(frozen=True, slots=True)
class Capacity:
    """The highest load found to keep the SLO."""

    load: float | None
    """That load, by the means over the replications; None where none of those tried keeps it."""
    load_interval: Estimate
    """Mean of the replications' own highest loads, with its 95 % interval; nothing where one of them has none, or no
    end."""
    bounded: bool
    """Whether a higher load was found that does not keep it."""
    unit: str
    """What follows a load: ``/s`` for a rate, nothing for a factor on that of a trace."""
    probes: tuple[Probe, ...]
    """Every load that was tried with all replications, the lowest first."""
    notes: tuple[str, ...]
    """What a reader must know of the runs; each names its loads where it does not hold for all."""

    def __str__(self) -> str:
        if self.load is None:
            return "no load tried keeps it"
        return f"{self.load:.4g}{self.unit}{'' if self.bounded else ' or more'}"

    @property
    def at_load(self) -> Probe | None:
        """What came of the load that was found."""
        return next((probe for probe in self.probes if probe.load == self.load), None)

    def as_data(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return asdict(self) | {
            "load_interval": self.load_interval.as_data(),
            "probes": [probe.as_data() for probe in self.probes],
        }


def search(
    slo: Sequence[Objective],
    start: float,
    unit: str,
    loads: Sequence[float],
    replications: int,
    progress: Callable[[Probe], None],
) -> Generator[list[Run], list[Trial], Capacity]:
    """Yield the runs that are to be done next, want to be sent what they came to, and return what was found.

    Parameters
    ----------
    slo
        What must hold.
    start
        The first load.
    unit
        What follows a load.
    loads
        Further loads to try.
    replications
        Independent repetitions of each.
    progress
        Told each load that was tried.
    """
    probes: dict[float, Probe] = {}
    trials: list[dict[float, Trial]] = [{} for _ in range(replications)]
    wanted = list(dict.fromkeys([start, *loads]))
    while wanted:
        runs = [(load, number) for load in wanted for number in range(replications)]
        for (load, number), trial in zip(runs, (yield runs), strict=True):
            trials[number][load] = trial
        for load in wanted:
            probes[load] = _probe(slo, load, [it[load] for it in trials])
            progress(probes[load])
        following = _next_load(slo, start, probes)
        wanted = [] if following is None else [following]
    low, high = _bracket(probes)
    own: list[float | None] = [None]
    if low is not None and high is not None:
        while runs := [
            (further, number)
            for number, it in enumerate(trials)
            if (further := _next_load(slo, start, it)) is not None
        ]:
            for (load, number), trial in zip(runs, (yield runs), strict=True):
                trials[number][load] = trial
        ends = [_bracket(it) for it in trials]
        if all(end is not None for both in ends for end in both):
            own = [below for below, _ in ends]
    return Capacity(
        low,
        over_replications(own),
        high is not None,
        unit,
        tuple(probes[load] for load in sorted(probes)),
        tuple(
            gathered(
                [
                    (f"{load:.4g}{unit}", it[load].notes)
                    for load in sorted({*probes, *(load for it in trials for load in it)})
                    for it in trials
                    if load in it
                ]
            )
        ),
    )


def _bracket(tried: Mapping[float, Probe | Trial]) -> tuple[float | None, float | None]:
    """Return the lowest load that does not keep the SLO, and before it the highest below that does."""
    high = min((load for load, it in tried.items() if not it.kept), default=None)
    low = max((load for load, it in tried.items() if it.kept and (high is None or load < high)), default=None)
    return low, high


def _next_load(slo: Sequence[Objective], start: float, tried: Mapping[float, Probe | Trial]) -> float | None:
    """Return what load to try next; None where the search is at its end."""
    low, high = _bracket(tried)
    if low is None:
        assert high is not None
        return high / 2.0 if high > start / FARTHEST and not _unchanged(slo, high, tried) else None
    if high is None:
        return 2.0 * low if low < start * FARTHEST else None
    return float(f"{math.sqrt(low * high):.6g}") if high > low * (1.0 + TOLERANCE) else None


def _unchanged(slo: Sequence[Objective], load: float, tried: Mapping[float, Probe | Trial]) -> bool:
    """Whether a load has the same figures of the SLO as twice that load, and not because both are far too high."""
    if 2.0 * load not in tried:
        return False
    here, above = tried[load].figures, tried[2.0 * load].figures
    served, more = here[THROUGHPUT] or 0.0, above[THROUGHPUT] or 0.0
    return served < FOLLOWS * more and all(
        (a := here[it.figure]) == (b := above[it.figure])
        or (a is not None and b is not None and abs(a - b) <= UNCHANGED * abs(b))
        for it in slo
    )


def _probe(slo: Sequence[Objective], load: float, trials: Sequence[Trial]) -> Probe:
    figures = {
        name: over_replications([it.figures[name] for it in trials]).mean for name in trials[0].figures
    }
    overloaded = any(it.overloaded for it in trials)
    sound = not overloaded and not any(it.failed for it in trials)
    return Probe(
        load,
        sound and all(it.kept(figures[it.figure]) for it in slo),
        overloaded,
        figures,
        over_replications([it.attainment for it in trials]),
        over_replications([it.goodput_per_s for it in trials]),
    )
