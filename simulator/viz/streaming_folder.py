"""From stored runs of a streaming service to the data of a plot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simulator.experiments.run_store import StoredRun
from simulator.experiments.statistics import Estimate, over_replications
from simulator.streaming.group import Component
from simulator.streaming.group.records import CHUNK_COLUMNS
from simulator.viz.groups import qoe_and_energy_by_phones, stalls_by_skew, streaming_bars
from simulator.viz.pipeline import pipeline
from simulator.viz.playback import playback
from simulator.viz.runs import Study
from simulator.viz.skew import PATHS, phones_of, skews
from simulator.viz.style import footnote
from simulator.viz.viewers import Span, courses

FIGURES: Final = {"qoe": "qoe_oasis", "stall_s": "rebuffer_s", "energy_j": "energy_j"}
"""Figures with intervals: column of the viewers' table by column of a plot's."""


_TIMES: Final = {
    "viewers": ["end_s", "session_end_s"],
    "viewing": ["available_s", "play_s"],
    "phones": ["time_s"],
    "chunks": [name for name in CHUNK_COLUMNS if name.endswith("_s")],
}
"""Columns of the tables of a session that are times of the simulation's clock."""


def _session(study: Study, session: int | None) -> tuple[StoredRun, dict[str, pd.DataFrame]]:
    """Return the run and the tables of one of its sessions, with times from its start."""
    run = study.only_run()
    tables = {}
    played = run.viewers[run.viewers["service"] == study.service]["session"]
    number = 0 if session is None else session
    if number not in set(played):
        raise study.fault(f"has no session {number}; allowed: 0 to {played.max()}")
    for name, times in _TIMES.items():
        frame = getattr(run, name)
        tables[name] = rows = frame[(frame["service"] == study.service) & (frame["session"] == number)].copy()
        rows[times] -= float(tables["viewers"]["session_start_s"].iloc[0])
    if not len(tables["phones"]):
        raise study.fault("its session has no row per phone and interval: nothing happened in it")
    return run, tables


def _told(figure: Figure, study: Study, session: int | None) -> Figure:
    """Say below the figure which session it shows, where there are several."""
    run = study.only_run()
    several = run.viewers[run.viewers["service"] == study.service]["session"].nunique()
    if several > 1:
        footnote(figure, f"Session {session or 0} of {several}, counted from 0.")
    return figure


def _playback(study: Study, session: int | None, window_s: Span | None) -> Figure:
    run, tables = _session(study, session)
    figure = playback(
        _seen(tables, run, study.service),
        tables["viewers"],
        tables["phones"],
        run.scenario.streaming_services[study.service].buffer,
        window_s,
    )
    return _told(figure, study, session)


def _pipeline(study: Study, session: int | None, window_s: Span | None) -> Figure:
    _, tables = _session(study, session)
    if not len(tables["chunks"]):
        raise study.fault("no chunk was finished in its session")
    each = courses(tables["viewing"], tables["viewers"], tables["phones"])
    return _told(pipeline(tables["chunks"], each, window_s), study, session)


def _seen(tables: Mapping[str, pd.DataFrame], run: StoredRun, service: str) -> pd.DataFrame:
    """Return the viewing with the bitrates of each chunk: those that the phone made itself, else of any that did."""
    chunks, viewing = tables["chunks"], tables["viewing"].copy()
    _, workload = run.scenario.videos[service]
    ladder_bps: dict[Any, float]
    if workload.path is None:
        ladder_bps = {level: 8.0 * step.bitrate for level, step in enumerate(workload.ladder)}
    else:  # the manifest may be gone: a level's bitrate is what its chunks came to
        starts = viewing.sort_values(["phone", "chunk"])
        segment_s = float((starts.groupby("phone")["play_s"].diff() - starts["stall_s"]).median())
        ladder_bps = (chunks.groupby("level")["bits"].mean() / (segment_s or 1.0)).to_dict()
    columns = chunks[["chunk", "processor"]].assign(
        nominal_bps=chunks["level"].map(ladder_bps).astype(float), effective_bps=chunks["quality_bps"]
    )
    own = columns.drop_duplicates(["chunk", "processor"], keep="last").set_index(["chunk", "processor"])
    any_of = columns.drop_duplicates("chunk").set_index("chunk")
    keys = pd.MultiIndex.from_arrays([viewing["chunk"], viewing["phone"].astype(str)])
    own.index = pd.MultiIndex.from_arrays(
        [own.index.get_level_values(0), own.index.get_level_values(1).astype(str)]
    )
    for name in ("nominal_bps", "effective_bps"):
        mine = own[name].reindex(keys).to_numpy(dtype=float)
        theirs = any_of[name].reindex(viewing["chunk"]).to_numpy(dtype=float)
        viewing[name] = np.where(np.isnan(mine), theirs, mine)
    return viewing.dropna(subset=["effective_bps"])


def _estimates(study: Study, runs: Sequence[StoredRun]) -> dict[str, float]:
    """Return the figures of runs that belong together, with intervals, as columns of a plot's table.

    With several runs the intervals are over their means, else over the sessions of the one.
    """
    tables = [run.viewers[run.viewers["service"] == study.service] for run in runs]
    whole = pd.concat(tables)
    row: dict[str, float] = {"upper_bound": float(whole["upper_bound"].mean())}
    for name, column in FIGURES.items():
        if len(tables) > 1:
            values = [table[column].mean() for table in tables]
        else:
            values = whole.groupby("session")[column].mean().tolist()
        estimate = over_replications([None if np.isnan(value) else float(value) for value in values])
        row |= _columns(name, estimate)
    row |= {f"{it.name.lower()}_j": float(whole[f"{it.name.lower()}_j"].mean()) for it in Component}
    return row


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    mean = np.nan if estimate.mean is None else estimate.mean
    half = np.nan if estimate.half_width is None else estimate.half_width
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def _interval(study: Study) -> str:
    """Say what the intervals are."""
    several = any(len(runs) > 1 for runs in study.variants.values())
    return f"95 % interval over {'replications' if several else 'sessions'}"


def _bound(study: Study) -> str:
    """Say which policies cannot exceed the bound."""
    kinds = {run.scenario.streaming_services[study.service].upper_bound for run in study.runs} - {"none"}
    return "upper bound with SR of all chunks" if kinds == {"sr_only"} else "upper bound"


def _streaming_bars(study: Study) -> Figure:
    rows = [{"variant": label, **_estimates(study, runs)} for label, runs in study.variants.items()]
    return streaming_bars(pd.DataFrame(rows), _interval(study), _bound(study))


def _by(study: Study, column: str, x: Mapping[str, float], drop: Callable[[str], bool]) -> pd.DataFrame:
    """Return one row per line and value of x, with the figures of all runs that share them.

    A line is called by what was varied apart from the paths that x comes from; where several of those lead to the
    same x, the first ones stay in the name.
    """
    paths = list(dict.fromkeys(path for values in study.values.values() for path in values if drop(path)))
    while True:
        lines = {label: study.without(label, paths) for label in study.variants}
        places = [(lines[label], x[label]) for label in study.variants]
        if len(set(places)) == len(places) or not paths:
            break
        paths.pop(0)
    groups: dict[tuple[str, float], list[StoredRun]] = {}
    for label, place in zip(study.variants, places, strict=True):
        groups.setdefault(place, []).extend(study.variants[label])
    return pd.DataFrame(
        [{"line": line, column: at, **_estimates(study, runs)} for (line, at), runs in groups.items()]
    )


def _by_phones(study: Study) -> Figure:
    counts = {label: phones_of(runs[0].scenario, study.service) for label, runs in study.variants.items()}
    if len(set(counts.values())) < 2:
        raise study.fault(
            f"its runs all have {next(iter(counts.values()))} phones; needed: runs with unlike numbers of them, "
            "as with --vary devices.NAME.count=1,2,3"
        )
    frame = _by(
        study, "phones", counts, lambda path: re.fullmatch(r"devices\.[^.]+\.count", path) is not None
    )
    return qoe_and_energy_by_phones(frame, _interval(study), _bound(study))


def _by_skew(study: Study) -> Figure:
    scenarios = {label: runs[0].scenario for label, runs in study.variants.items()}
    known = skews(list(scenarios.values()), study.service)
    varied = [kind for kind, skew in known.items() if len(set(skew.ratios)) > 1]
    if len(varied) != 1:
        if varied:
            what = f"its runs differ by two skews: {' and by '.join(known[kind].of for kind in varied)}"
        else:
            same = ", ".join(f"{skew.ratios[0]:.3g} by {skew.of}" for skew in known.values())
            what = f"the fastest phone over the slowest one is the same in all of its runs ({same or 'not known'})"
        raise study.fault(
            f"{what}; needed: runs that differ by one of them, as with --vary devices.NAME.phone.sr_scale=1,2,4 "
            "or devices.NAME.phone.wwan.bandwidth=... of some of the phones"
        )
    [kind] = varied
    x = dict(zip(scenarios, known[kind].ratios, strict=True))
    frame = _by(study, "skew", x, lambda path: re.fullmatch(PATHS[kind], path) is not None)
    return stalls_by_skew(frame, known[kind].of, _interval(study))


SESSION_FIGURES: Final[Mapping[str, Callable[[Study, int | None, Span | None], Figure]]] = MappingProxyType(
    {"playback": _playback, "pipeline": _pipeline}
)
"""What can be drawn of one session of a streaming service."""

STREAMING_FIGURES: Final[Mapping[str, Callable[[Study], Figure]]] = MappingProxyType(
    {
        "qoe_and_energy_by_phones": _by_phones,
        "stalls_by_skew": _by_skew,
        "streaming_bars": _streaming_bars,
    }
)
"""What can be drawn of runs of a streaming service."""
