"""Sections of capacity searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devices.files import read_text
from simulator.experiments.capacity_store import CAPACITY, read_capacity
from simulator.experiments.comparison import flatten
from simulator.experiments.notes import gathered
from simulator.experiments.run_store import SCENARIO, read_manifest, stored_scenario
from simulator.experiments.statistics import Estimate
from simulator.html_report.evidence import evidence
from simulator.html_report.explorer import explorer, titles
from simulator.html_report.plots import draw
from simulator.html_report.section import Section, command_line, facts_of, understanding
from simulator.html_report.tables import Cell, Column, Table, all_paths, table_of_figures

LOAD = "load"


def section_of_capacity(folder: Path, name: str) -> Section:
    """Return the section of a capacity search; what its file lacks is left out."""
    manifest = read_manifest(folder, "capacity")
    rows = read_capacity(folder)
    with understanding(folder / CAPACITY):
        variants = [
            {str(path): str(text) for path, text in (row.get("variant") or {}).items()} for row in rows
        ]
        probes = [
            (variant, probe)
            for variant, row in zip(variants, rows, strict=True)
            for probe in row.get("probes") or ()
        ]
        estimates = [_figures(probe) for _, probe in probes]
        found = _found(rows, variants)
    heads = [Column(title, hint=path) for path, title in titles(all_paths(variants)).items()]
    unit = next((str(row["unit"]).replace("/s", "1/s") for row in rows if row.get("unit")), "")
    keys: list[list[Cell]] = [
        [*variant.values(), _load(probe.get("load")), _verdict(probe)] for variant, probe in probes
    ]
    highest = Column("highest load", unit, True)
    own = Column(
        "mean of replications", unit, True, hint="of the highest load of each; ± is half the 95 % interval"
    )
    tried = [*heads, Column(LOAD, unit, True), Column("SLO", mark=True)]
    stands_on = evidence([stored_scenario(folder)], {})
    text = read_text(folder / SCENARIO)
    slo = manifest.get("slo") or next((row["slo"] for row in rows if row.get("slo")), None)
    return Section(
        kind="capacity",
        name=str(manifest.get("name", name)),
        folder=name,
        status=str(manifest.get("status", "succeeded")),
        facts=facts_of(
            manifest, SLO=slo, variants=len(rows), seed=manifest.get("seed"), replications=manifest.get("replications")
        ),
        commands=command_line(manifest),
        notes=[*_notes(rows, variants), *stands_on.notes],
        tables=[
            Table("Highest load that keeps the SLO", [*heads, highest, own, Column("found")], found),
            table_of_figures("Loads that were tried", tried, keys, estimates),
        ],
        explorer=explorer(
            [{LOAD: f"{float(probe.get('load', 0.0)):.6g}", **variant} for variant, probe in probes], estimates
        ),
        plots=draw(folder),
        evidence=stands_on.tables,
        evidence_counts=stands_on.counts,
        scenario=text,
        scenario_of="before its load and its variants were changed",
    )  # fmt: skip


def _found(rows: Sequence[Mapping[str, Any]], variants: Sequence[Mapping[str, str]]) -> list[list[Cell]]:
    lines: list[list[Cell]] = []
    for row, variant in zip(rows, variants, strict=True):
        said = (
            "a higher one does not keep it" if row.get("bounded") else "no higher one was found that does not"
        )
        if row.get("load") is None:
            said = "none of the loads tried keeps it"
        lines.append([*variant.values(), _load(row.get("load")), _interval(row.get("load_interval")), said])
    return lines


def _notes(rows: Sequence[Mapping[str, Any]], variants: Sequence[Mapping[str, str]]) -> list[str]:
    return gathered(
        [
            (", ".join(variant.values()), [str(note) for note in row.get("notes") or ()])
            for row, variant in zip(rows, variants, strict=True)
        ]
    )


def _verdict(probe: Mapping[str, Any]) -> str:
    return "kept" if probe.get("kept") else "overloaded" if probe.get("overloaded") else "not kept"


def _interval(estimate: Mapping[str, Any] | None) -> str:
    """Return the mean and half the interval of an estimate as it is stored."""
    if not estimate or estimate.get("mean") is None:
        return "-"
    mean, low = estimate["mean"], estimate.get("low")
    return _load(mean) if low is None else f"{_load(mean)} ± {mean - low:.2g}"


def _load(load: object) -> str:
    return f"{load:.4g}" if isinstance(load, int | float) else "-"


def _figures(probe: Mapping[str, Any]) -> dict[str, Estimate]:
    """Return every figure of a probe: numbers, and objects with a mean and its interval."""
    found: dict[str, Estimate] = {}
    for key, value in probe.items():
        if isinstance(value, Mapping) and "mean" in value:
            found[key] = Estimate.from_data(value)
        elif isinstance(value, Mapping):
            found |= {path: Estimate(one, None, 1) for path, one in flatten(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != LOAD:
            found[key] = Estimate(float(value), None, 1)
    return found
