"""Sections of sweeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.errors import Fault, InputError
from devices.files import read_text
from simulator.experiments.run_store import MANIFEST, SCENARIO, stored_scenario
from simulator.experiments.statistics import Estimate, over_replications
from simulator.experiments.stored_sweep import load_sweep_folder
from simulator.experiments.sweep_store import RESULTS
from simulator.html_report.across import table_across
from simulator.html_report.evidence import evidence
from simulator.html_report.explorer import explorer, titles
from simulator.html_report.figures import SURROGATE
from simulator.html_report.plots import draw
from simulator.html_report.runs import REPLICATED
from simulator.html_report.section import FailedRun, Section, command_line, facts_of, number, understanding
from simulator.html_report.tables import Cell, Column, Table, table_of_figures
from simulator.metrics.quality_surrogate import CAVEAT, WHAT

if TYPE_CHECKING:
    import pandas

FIRST_RUN = "listed for the first run: points that name other devices or engines stand on values of those"


def section_of_sweep(folder: Path, name: str) -> Section:
    """Return the section of a sweep; one that has not ended says how far it is."""
    sweep = load_sweep_folder(folder)
    with understanding(folder / MANIFEST):
        axes = sweep.axes
    stands_on = evidence([stored_scenario(folder)], {})
    notes = [*sweep.notes, *stands_on.notes, f"evidence: {FIRST_RUN}"]
    text = read_text(folder / SCENARIO)
    tables: list[Table] = []
    weighed: Table | None = None
    chart: Mapping[str, Any] | None = None
    failures: list[FailedRun] = []
    if (folder / RESULTS).is_file():
        frame = sweep.frame
        if missing := {*axes, "replication", "status", "failure"} - set(frame.columns):
            raise InputError(Fault(f"lacks {', '.join(sorted(missing))}", file=str(folder / RESULTS)))
        tables, weighed, chart, failures = _results(frame, axes)
        status = "failed" if failures else "succeeded"
        if any(SURROGATE in column for column in frame.columns):
            notes.append(f"quality: {WHAT}. {CAVEAT}")
    else:
        done = len(sweep.ended)
        status = "unfinished"
        notes.insert(
            0, f"has runs left to do: {number(done)} of {number(sweep.manifest.get('runs'))} are done"
        )
    return Section(
        kind="sweep",
        name=str(sweep.manifest.get("name", name)),
        folder=name,
        status=status,
        facts=facts_of(
            sweep.manifest,
            base=sweep.manifest.get("base"),
            set=", ".join(sweep.manifest.get("overrides") or ()) or None,
            axes=", ".join(axes),
            points=number(sweep.manifest.get("points")),
            replications=sweep.manifest.get("replications"),
            runs=number(sweep.manifest.get("runs")),
        ),
        commands=command_line(sweep.manifest),
        notes=notes,
        failures=failures,
        tables=tables,
        across=weighed,
        explorer=chart,
        plots=draw(folder),
        evidence=stands_on.tables,
        evidence_counts=stands_on.counts,
        scenario=text,
        scenario_of="of the first run; the others differ by the axes",
    )


def _results(
    frame: pandas.DataFrame, axes: Sequence[str]
) -> tuple[list[Table], Table | None, Mapping[str, Any] | None, list[FailedRun]]:
    """Return the tables of points and runs, that across services, the chart's data and the runs without a result."""
    names = [column for column in frame.columns if column not in {*axes, "replication", "status", "failure"}]
    keys = [tuple(map(_text, values)) for values in frame[list(axes)].itertuples(index=False, name=None)]
    columns: dict[str, list[float | None]] = {
        name: [None if math.isnan(value) else value for value in frame[name].astype(float).tolist()]
        for name in names
    }
    statuses = frame["status"].tolist()
    failed = [text if isinstance(text, str) else "" for text in frame["failure"]]
    replications = frame["replication"].tolist()
    places: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    points = [
        {name: over_replications([values[place] for place in several]) for name, values in columns.items()}
        for several in places.values()
    ]
    heads = [Column(title, hint=path, number=_numeric(frame, path)) for path, title in titles(axes).items()]
    most = max(map(len, places.values()), default=0)
    tables = [
        _table("Points", heads, list(places), points, REPLICATED.format(f"up to {most}") if most > 1 else "")
    ]
    if most > 1 or any(failed):
        runs = [
            {name: Estimate(values[place], None, 1) for name, values in columns.items()}
            for place in range(len(keys))
        ]
        states = [
            [*key, str(replication), status, *([failure] if any(failed) else [])]
            for key, replication, status, failure in zip(keys, replications, statuses, failed, strict=True)
        ]
        further = [Column("replication", "", True), Column("status", mark=True)]
        further += [Column("failure", long=True)] if any(failed) else []
        tables.append(_table("Runs", [*heads, *further], states, runs, ""))
    chart = explorer([dict(zip(axes, key, strict=True)) for key in places], points)
    failures = [
        _failed(key, replication, failure)
        for key, replication, failure in zip(keys, replications, failed, strict=True)
        if failure
    ]
    return tables, table_across(heads, list(places), points), chart, failures


def _table(
    title: str,
    heads: Sequence[Column],
    keys: Sequence[Sequence[Cell]],
    rows: Sequence[Mapping[str, Estimate]],
    note: str,
) -> Table:
    return table_of_figures(f"{title} ({number(len(rows))})", heads, keys, rows, note)


def _failed(key: Sequence[str], replication: int, failure: str) -> FailedRun:
    stage, _, rest = failure.partition(": ")
    kind, _, message = rest.partition(": ")
    return FailedRun(f"{', '.join(key)}, replication {replication}", stage, kind, message or rest, "")


def _numeric(frame: pandas.DataFrame, column: str) -> bool:
    return frame[column].dtype.kind in "if"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
