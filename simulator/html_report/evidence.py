"""What a study stands on, as `hetsim cite` lists it, as tables and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devices.errors import InputError
from simulator.experiments.evidence import (
    KINDS,
    Citation,
    assumed_note,
    citations,
    fallbacks,
    interval_text,
    model_sources,
    workload_sources,
)
from simulator.experiments.identity import catalogue_digests
from simulator.html_report.tables import Cell, Column, Table
from simulator.scenario.spec import Scenario


@dataclass(frozen=True, slots=True)
class Evidence:
    """What scenarios stand on."""

    tables: Sequence[Table]
    """Values, then models and workloads; empty where the catalogue lacks what the scenarios name."""
    counts: Mapping[str, int]
    """How many values are of each kind."""
    notes: Sequence[str]
    """What stands in for what, what is assumed, what has changed since the runs."""


def evidence(scenarios: Sequence[Scenario], digests: Mapping[str, str]) -> Evidence:
    """Return what scenarios stand on, by the catalogue as it is now.

    Parameters
    ----------
    scenarios
        Scenarios of a study.
    digests
        SHA-256 by name of the catalogue files as they were when it was run; a note says where one has changed.
    """
    try:
        values = list(dict.fromkeys(it for scenario in scenarios for it in citations(scenario)))
        sources = dict.fromkeys(
            (what, it)
            for scenario in scenarios
            for what, several in (
                ("model", model_sources(scenario)),
                ("workload", workload_sources(scenario)),
            )
            for it in several
        )
        notes = [*assumed_note(scenarios), *dict.fromkeys(it for one in scenarios for it in fallbacks(one))]
        now = {name: digest for one in scenarios for name, digest in catalogue_digests(one).items()}
    except InputError as error:
        missing = "; ".join(fault.message for fault in error.faults)
        return Evidence((), {}, [f"its evidence cannot be listed: {missing}"])
    if changed := sorted(name for name in now if name in digests and digests[name] != now[name]):
        notes.append(f"changed since the run, so that the values listed may differ: {', '.join(changed)}")
    rows: list[list[Cell]] = [
        [what, it.owner, it.name, (it.source, it.url) if it.url else it.source] for what, it in sources
    ]
    columns = [Column("kind"), Column("used by"), Column("name"), Column("source", long=True)]
    tables = [_values(values), Table("Models, workloads and networks", columns, rows)]
    counts = {kind: sum(it.kind == kind for it in values) for kind in KINDS}
    return Evidence(
        [table for table in tables if table.rows], {kind: n for kind, n in counts.items() if n}, notes
    )


def _values(values: Sequence[Citation]) -> Table:
    columns = [
        Column("used by"), Column("entry"), Column("value of"), Column("value", "", True, mixed=True),
        Column("interval"), Column("kind", mark=True),
        Column("error of the fit", "%", True, hint="cross-validated, relative"), Column("source", long=True),
        Column("remarks", long=True),
    ]  # fmt: skip
    rows: list[list[Cell]] = [
        [
            it.owner,
            it.entry,
            it.field,
            it.shown,
            interval_text(it),
            it.kind,
            "-" if it.error is None else f"{100.0 * it.error:.1f}",
            (it.source, it.url) if it.url else it.source,
            "; ".join(filter(None, (it.note, it.valid and f"valid: {it.valid}"))),
        ]
        for it in values
    ]
    return Table("Values of devices and engines", columns, rows)
