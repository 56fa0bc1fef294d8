"""What a run or a comparison comes to, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from textwrap import fill

from simulator.experiments.comparison import Comparison, Variant
from simulator.experiments.report_llm import llm_text
from simulator.experiments.report_phones import assistant_text, streaming_text
from simulator.experiments.report_shown import Shown, corner, figures
from simulator.experiments.statistics import SIGNIFICANCE, Difference
from simulator.experiments.tables import MARK, WIDTH, Figures, Group, figure_tables
from simulator.metrics.catalogue import across, described

_OF_KIND = {"llm": llm_text, "streaming": streaming_text, "assistant": assistant_text}
"""Tables of a service by its kind."""


def comparison_text(comparison: Comparison) -> str:
    """Return the tables of a comparison, or of a single scenario's replications."""
    variants = [variant for variant in comparison.variants if variant.statistics]
    shown = Shown(comparison, variants)
    parts = []
    if variants:
        for name, service in variants[0].scenario.services.items():
            parts.append(_OF_KIND[service.kind](name, shown))
        parts.append("\n".join(("Devices", _devices(shown))))
        if weighed := across(shown.paths()):
            parts.append("\n".join(("Across services", _across(weighed, shown))))
        if comparison.replications > 1:
            equal = all(not it.half_width for row in shown.rows for it in row.values())
            parts.append(
                f"All {comparison.replications} replications are equal: nothing in this scenario is random.\n"
                if equal
                else f"± is half the 95 % interval (Student t) over {comparison.replications} replications.\n"
            )
        if len(variants) > 1 and variants[0] is comparison.variants[0]:
            parts.append(_differences(variants, comparison))
    failed = [variant for variant in comparison.variants if variant.failed]
    if failed:
        parts.append("".join(_failures(comparison, variant) for variant in failed))
    return "\n".join(parts)


def _devices(shown: Shown) -> str:
    paths = shown.paths()
    storage = list(dict.fromkeys(path.split(".")[1] for path in paths if path.startswith("storage.")))
    devices = [path.rpartition(".")[2] for path in paths if path.startswith("energy_j.devices.")]
    groups = [
        Group(title, [shown.column(tier, f"storage.{tier}.{figure}", unit) for tier in storage])
        for title, figure, unit in (
            ("read", "read_bytes", "B"),
            ("written", "written_bytes", "B"),
            ("busy", "busy_share", "share"),
        )
        if storage
    ]
    for kind in ("storage", "link"):  # those of GPUs and phones are told with their services
        if shown.known(f"faults.{kind}.outages"):
            events = ("failures", "outages", "slowdowns") if kind == "storage" else ("outages", "slowdowns")
            groups.append(Group(f"{kind} faults", [shown.column(it, f"faults.{kind}.{it}") for it in events]))
            groups.append(Group(f"{kind} down", [shown.column("time", f"faults.{kind}.downtime_s", "s")]))
    energy = [shown.column("total", "energy_j.total", "J")]
    if len(devices) > 1:
        energy += [shown.column(name, f"energy_j.devices.{name}", "J") for name in devices]
    groups.append(Group("energy", energy))
    groups.append(Group("simulated", [shown.column("time", "simulated_s", "s")]))
    return shown.table(groups)


def _across(paths: Iterable[str], shown: Shown) -> str:
    """Return the figures that services of unlike kinds are weighed by."""
    groups: dict[str, list[Figures]] = {}
    for path in paths:
        it = described(path)
        block, *middle, last = it.inner.split(".")
        heading = f"QoE {it.service}" if block == "qoe" else "energy per user"
        if block == "accounting":  # cost_per_hour: cost, per hour
            heading, _, per = middle[0].removesuffix("_g").partition("_")
            last = per.replace("_", " ") or last
        groups.setdefault(heading, []).append(shown.column(last, path, it.unit))
    return shown.table([Group(title, several) for title, several in groups.items()])


def _differences(shown: Sequence[Variant], comparison: Comparison) -> str:
    others = shown[1:]
    rows = [comparison.differences(variant) for variant in others]
    marked = [
        {path for (label, path), p in comparison.adjusted_p.items() if label == it.label and p < SIGNIFICANCE}
        for it in others
    ]
    groups = []
    for title, headlines in groupby(comparison.headlines, key=lambda it: it.group):
        columns = [
            replace(
                figures(rows, it.statistic, it.path, it.unit, intervals=True, signed=True),
                marked=[it.path in paths for paths in marked],
            )
            for it in headlines
        ]
        groups.append(Group(title, columns))
    if comparison.replications > 1:
        how = f"over {comparison.replications} replications with common random numbers"
    else:
        how = (
            "per request that both completed, or per viewer.\n± is half the 95 % interval by batch means over them "
            "in order of arrival, not over\nreplications (--replications gives those)"
        )
    table = figure_tables([variant.label for variant in others], groups, corner(comparison))
    notes = _significance(comparison) + _narrower(rows, comparison)
    return f"Paired difference from {shown[0].label}, {how}\n{table}{notes}"


def _significance(comparison: Comparison) -> str:
    """Say what the marks mean."""
    number = len(comparison.adjusted_p)
    if not number:
        return ""
    level = f"differs from 0 at {SIGNIFICANCE * 100:g} % after the Holm–Bonferroni correction"
    test = "paired t tests" if comparison.replications > 1 else "t tests of batch means"
    if any(p < SIGNIFICANCE for p in comparison.adjusted_p.values()):
        text = f"{MARK} {level} for all {number} differences shown ({test})."
    else:
        text = f"None of the {number} differences shown {level} ({test})."
    return fill(text, WIDTH) + "\n"


def _narrower(rows: Sequence[Mapping[str, Difference]], comparison: Comparison) -> str:
    """Say what common random numbers are worth, over the variants."""
    parts = []
    for it in comparison.headlines:
        factors = sorted(
            row[it.path].narrower_by or 0.0 for row in rows if it.path in row and row[it.path].narrower_by
        )
        if factors:
            low, high = (f"{factor:.1f}" for factor in (factors[0], factors[-1]))
            parts.append(f"{it.group} {it.statistic} {low if low == high else f'{low} to {high}'}")
    if not parts:
        return ""
    text = f"Without common random numbers intervals would be so many times as wide: {', '.join(parts)}."
    return fill(text, WIDTH) + "\n"


def _failures(comparison: Comparison, variant: Variant) -> str:
    lines = []
    for replication, outcome in enumerate(variant.outcomes):
        if outcome.failure is not None:
            where = f", replication {replication}" if comparison.replications > 1 else ""
            it = outcome.failure
            lines.append(
                f"FAILED {variant.label or comparison.name}{where}: {it.stage}: {it.type}: {it.message}\n"
            )
    return "".join(lines)
