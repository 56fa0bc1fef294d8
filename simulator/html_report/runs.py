"""Sections of runs, alone or in replications, and of comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.files import read_json, read_text
from simulator.experiments.compare import COMPARISON
from simulator.experiments.comparison import flatten
from simulator.experiments.notes import gathered
from simulator.experiments.run_store import MANIFEST, SCENARIO, SUMMARY, StoredRun, load_run, read_manifest
from simulator.experiments.statistics import Estimate, mean_figures
from simulator.html_report.across import table_across
from simulator.html_report.evidence import evidence
from simulator.html_report.explorer import explorer, titles
from simulator.html_report.figures import SURROGATE
from simulator.html_report.plots import draw
from simulator.html_report.section import FailedRun, Section, command_line, facts_of, number, understanding
from simulator.html_report.tables import Column, Table, table_of_figures, table_of_one
from simulator.metrics.quality_surrogate import CAVEAT, WHAT

REPLICATED = "± is half the 95 % interval (Student t) over {} replications."
PAIRED = (
    "Paired: the mean over what both have in common (the replications with common random numbers; with one "
    "replication the requests that both answered, or the viewers of both). ± is half the 95 % interval; with one "
    "replication by batch means in order of arrival, which is too narrow near saturation."
)
ADJUSTED = " p, adj.: p-value of no difference, adjusted for the number of comparisons."


@dataclass(frozen=True, slots=True)
class _Variant:
    """One variant and its runs."""

    label: str
    values: Mapping[str, str]
    runs: Sequence[StoredRun]

    @property
    def failed(self) -> bool:
        return any("failure" in run.manifest for run in self.runs)

    def statistics(self) -> dict[str, Estimate]:
        """Return the mean of each figure over the runs that have succeeded."""
        flat = []
        for run in self.runs:
            if "failure" not in run.manifest:
                with understanding(run.folder / SUMMARY):
                    flat.append(flatten(run.summary))
        return mean_figures(flat)


def section_of_runs(folders: Sequence[Path], name: str) -> Section:
    """Return the section of one run, or of the replications of one.

    Parameters
    ----------
    folders
        Run folders of one scenario, which differ by their replication.
    name
        What they are called on the page.
    """
    runs = sorted((load_run(folder) for folder in folders), key=lambda it: it.manifest.get("replication", 0))
    variant = _Variant("", {}, runs)
    statistics = variant.statistics()
    tables = [table_of_one("Figures", statistics, REPLICATED.format(len(runs)))] if statistics else []
    weighed = table_across([], [], [statistics])
    return _section("run", runs[0].manifest, name, [variant], tables, weighed, None, folders)


def section_of_comparison(folder: Path, name: str) -> Section:
    """Return the section of a comparison."""
    manifest = read_manifest(folder, "comparison")
    with understanding(folder / MANIFEST):
        entries = [
            (
                str(it["label"]),
                {str(path): str(value) for path, value in it["variant"].items()},
                list(it["runs"]),
            )
            for it in manifest["variants"]
        ]
    variants = [
        _Variant(label, values, [load_run(folder / run) for run in runs]) for label, values, runs in entries
    ]
    with understanding(folder / COMPARISON):
        stored: list[dict[str, Any]] = read_json(folder / COMPARISON)
        differences = [row.get("difference") or {} for row in stored]
        paired = [{path: Estimate.from_data(it) for path, it in row.items()} for row in differences]
    rows = [variant.statistics() for variant in variants]
    paths = list(variants[0].values) if variants else []
    heads = [Column(title, hint=path) for path, title in titles(paths).items()]
    keys = [list(it.values.values()) for it in variants]
    several = manifest.get("replications", 1)
    tables = [
        table_of_figures(
            "Means per variant", heads, keys, rows, REPLICATED.format(several) if several > 1 else ""
        )
    ]
    if any(paired[1:]):
        adjusted = [_p_values(row) for row in differences[1:]]
        tables.append(
            table_of_figures(
                f"Differences from the first variant, {variants[0].label}",
                heads,
                keys[1:],
                paired[1:],
                PAIRED + (ADJUSTED if any(adjusted) else ""),
                signed=True,
                beside={"p, adj.": adjusted},
            )
        )
    chart = explorer([it.values for it in variants], rows)
    weighed = table_across(heads, keys, rows)
    return _section("comparison", manifest, name, variants, tables, weighed, chart, [folder])


def _section(
    kind: str,
    manifest: Mapping[str, Any],
    name: str,
    variants: Sequence[_Variant],
    tables: list[Table],
    weighed: Table | None,
    chart: Mapping[str, Any] | None,
    folders: Sequence[Path],
) -> Section:
    runs = [run for variant in variants for run in variant.runs]
    first = runs[0]
    stands_on = evidence([it.runs[0].scenario for it in variants], first.manifest.get("files") or {})
    with understanding(first.folder / MANIFEST):
        notes = gathered([(it.label, run.manifest.get("notes") or ()) for it in variants for run in it.runs])
    if any(SURROGATE in path for variant in variants for path in variant.statistics()):
        notes.append(f"quality: {WHAT}. {CAVEAT}")
    text = read_text(first.folder / SCENARIO)
    commands = command_line(manifest)
    if kind == "run":
        commands.append(("its scenario as stored", f"hetsim run {SCENARIO}"))
    if len(runs) > 1:
        tables.append(_table_of_runs(variants))
    several = len(folders) > 1
    return Section(
        kind=kind,
        name=str(manifest.get("name", name)),
        folder=name,
        status="failed" if any(variant.failed for variant in variants) else "succeeded",
        facts=facts_of(
            manifest,
            variants=len(variants) if kind == "comparison" else None,
            replications=max(len(variant.runs) for variant in variants),
            seed=", ".join(dict.fromkeys(str(run.manifest.get("seed")) for run in runs)),
            simulated=None if len(runs) > 1 or first.manifest.get("simulated_s") is None
            else f"{first.manifest['simulated_s']:,.4g} s",
            wall_time=f"{sum(run.manifest.get('wall_s') or 0.0 for run in runs):,.2f} s",
            content_hash=None if len(runs) > 1 else first.manifest.get("content_hash"),
        ),
        commands=commands,
        notes=[*notes, *stands_on.notes],
        failures=[it for variant in variants for it in _failures(variant)],
        tables=tables,
        across=weighed,
        explorer=chart,
        plots=draw(folders[0].parent if several and _alone(folders) else folders[0]),
        evidence=stands_on.tables,
        evidence_counts=stands_on.counts,
        scenario=text,
        scenario_of=f"of the first variant, {variants[0].label}; the others differ by what is varied"
        if len(variants) > 1
        else "",
    )  # fmt: skip


def _alone(folders: Sequence[Path]) -> bool:
    """Whether nothing but these run folders is in the folder that holds them."""
    return {it.parent for it in folders[0].parent.glob("*/manifest.json")} == set(folders)


def _table_of_runs(variants: Sequence[_Variant]) -> Table:
    columns = [
        Column("variant"), Column("replication", "", True), Column("status", mark=True),
        Column("simulated", "s", True), Column("wall time", "s", True), Column("peak memory", "MB", True),
        Column("content hash"), Column("folder"),
    ]  # fmt: skip
    rows = []
    for variant in variants:
        for run in variant.runs:
            it = run.manifest
            simulated_s, memory = it.get("simulated_s"), it.get("peak_memory_bytes")
            rows.append(
                [
                    variant.label or str(it.get("name")), str(it.get("replication", 0)), str(it.get("status")),
                    "-" if simulated_s is None else f"{simulated_s:,.1f}", f"{it.get('wall_s') or 0.0:.2f}",
                    "-" if memory is None else f"{memory / 1e6:,.0f}",
                    str(it.get("content_hash", ""))[:16], run.folder.name,
                ]
            )  # fmt: skip
    return Table(f"Runs ({number(len(rows))})", columns, rows)


def _failures(variant: _Variant) -> list[FailedRun]:
    found = []
    for run in variant.runs:
        if (failure := run.manifest.get("failure")) is not None:
            words = [variant.label] if variant.label else []
            if len(variant.runs) > 1:
                words.append(f"replication {run.manifest.get('replication')}")
            texts = [str(failure.get(key, "")) for key in ("stage", "type", "message", "traceback")]
            found.append(FailedRun(", ".join(words) or run.folder.name, *texts))
    return found


def _p_values(row: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the adjusted p-value of each difference that has one, as text."""
    known = {path: it.get("p_adjusted") for path, it in row.items()}
    return {
        path: "<0.0001" if value < 1e-4 else f"{value:.2g}"
        for path, value in known.items()
        if value is not None
    }
