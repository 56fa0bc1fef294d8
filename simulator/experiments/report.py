"""What a run or a comparison comes to, as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from textwrap import fill

from simulator.experiments.comparison import Comparison, Variant
from simulator.experiments.statistics import SIGNIFICANCE, Difference, Estimate
from simulator.experiments.tables import MARK, WIDTH, Figures, Group, figure_tables
from simulator.metrics.catalogue import across, described
from simulator.metrics.quality_surrogate import WHAT

LATENCY_COLUMNS = {
    "TTFT": ("ttft_s", ("mean", "p50", "p90", "p99")),
    "TPOT": ("tpot_s", ("mean", "p50", "p99")),
    "E2E": ("e2e_s", ("mean", "p50", "p99")),
}
"""Heading -> metric of an LLM service and what is shown of it."""

Row = Mapping[str, Estimate]


def comparison_text(comparison: Comparison) -> str:
    """Return the tables of a comparison, or of a single scenario's replications."""
    shown = [variant for variant in comparison.variants if variant.statistics]
    parts = []
    if shown:
        labels = [variant.label or comparison.name for variant in shown]
        rows = [variant.statistics for variant in shown]
        for name, service in shown[0].scenario.services.items():
            parts.append(_OF_KIND[service.kind](name, shown, labels, rows, comparison))
        parts.append("\n".join(("Devices", _devices(labels, rows, _corner(comparison), comparison))))
        if weighed := across(dict.fromkeys(path for row in rows for path in row)):
            parts.append("\n".join(("Across services", _across(weighed, labels, rows, comparison))))
        if comparison.replications > 1:
            equal = all(not it.half_width for row in rows for it in row.values())
            parts.append(
                f"All {comparison.replications} replications are equal: nothing in this scenario is random.\n"
                if equal
                else f"± is half the 95 % interval (Student t) over {comparison.replications} replications.\n"
            )
        if len(shown) > 1 and shown[0] is comparison.variants[0]:
            parts.append(_differences(shown, comparison))
    failed = [variant for variant in comparison.variants if variant.failed]
    if failed:
        parts.append("".join(_failures(comparison, variant) for variant in failed))
    return "\n".join(parts)


def _corner(comparison: Comparison) -> str:
    return ", ".join(path.rpartition(".")[2] for path in comparison.vary) or "scenario"


def _service(
    service: str, shown: Sequence[Variant], labels: Sequence[str], rows: Sequence[Row], comparison: Comparison
) -> str:
    prefix = f"services.{service}."
    column = _column_of(rows, comparison)
    latency = _latency(prefix, column)
    tiers = [path for path in rows[0] if path.startswith(f"{prefix}cache.hit_rate.")]
    for row in rows[1:]:  # variants may have other tiers
        tiers += [path for path in row if path.startswith(f"{prefix}cache.hit_rate.") and path not in tiers]
    throughput = [
        *_load(prefix, column, rows),
        Group("prompt tokens found", [column(path.rpartition(".")[2], path, "share") for path in tiers]),
        Group("GPU", [column("busy", f"{prefix}gpu_busy_share", "share")]),
    ]
    if _known(rows, left_out := f"{prefix}steady_state.left_out"):
        throughput.append(Group("warm-up", [column("left out", left_out)]))
    preempted = f"{prefix}cache.preemptions"
    if _known(rows, preempted, above=0.0):
        throughput.append(Group("KV lost", [column("preemptions", preempted)]))
    corner = _corner(comparison)
    parts = [
        f"Service {service}: {_what(service, shown)}",
        figure_tables(labels, latency, corner),
        figure_tables(labels, throughput, corner),
    ]
    if _known(rows, "faults.gpu.failures"):
        parts.append(figure_tables(labels, _faults(prefix, column), corner))
    if _known(rows, f"{prefix}kv_transfer.bytes"):
        parts.append(figure_tables(labels, _kv_transfer(f"{prefix}kv_transfer", column), corner))
    if _known(rows, f"{prefix}slo.attainment"):
        parts.append(figure_tables(labels, _slo(prefix, rows, column), corner))
    if _known(rows, f"{prefix}decoding.generations"):
        parts.append(figure_tables(labels, _decoding(prefix, column), corner))
        parts.append(f"Quality is a {WHAT}.\n")
    return "\n".join(parts)


def _faults(prefix: str, column: Callable[..., Figures], *, llm: bool = True) -> list[Group]:
    """Return the columns that tell what faults have done to a service."""
    figures = f"{prefix}faults."
    groups = [
        Group(
            "replicas" if llm else "phones",
            [column(it, f"{figures}{it}") for it in ("failures", "slowdowns")],
        ),
        Group("down", [column("time", f"{figures}downtime_s", "s")]),
        Group("available", [column("share", f"{figures}availability", "share")]),
    ]
    if llm:
        requests = [column("retried", f"{figures}retries"), column("failed", f"{prefix}requests.failed")]
        groups += [Group("requests", requests), Group("KV lost", [column("tokens", f"{figures}lost_tokens")])]
    return groups


def _latency(prefix: str, column: Callable[..., Figures]) -> list[Group]:
    """Return the columns of the latencies of answers."""
    return [
        Group(title, [column(statistic, f"{prefix}{metric}.{statistic}", "s") for statistic in statistics])
        for title, (metric, statistics) in LATENCY_COLUMNS.items()
    ]


def _load(prefix: str, column: Callable[..., Figures], rows: Sequence[Row]) -> list[Group]:
    """Return the columns of what became of requests, and of their throughput."""
    counts = ["completed", "failed"]
    counts += [it for it in ("dropped", "unfinished") if _known(rows, f"{prefix}requests.{it}", above=0.0)]
    throughput = {"requests": "requests_per_s", "tokens": "output_tokens_per_s"}
    return [
        Group("requests", [column(it, f"{prefix}requests.{it}") for it in counts]),
        Group("throughput (1/s)", [column(it, f"{prefix}throughput.{of}") for it, of in throughput.items()]),
    ]


def _assistant(
    service: str, shown: Sequence[Variant], labels: Sequence[str], rows: Sequence[Row], comparison: Comparison
) -> str:
    prefix = f"services.{service}."
    column = _column_of(rows, comparison)
    energy = f"{prefix}energy_per_ask_j."
    shares = [
        it for it in ("device", "edge", "cloud") if any(f"{prefix}places.{it}.share" in row for row in rows)
    ]
    placed = [
        *_load(prefix, column, rows),
        Group("answered at", [column(it, f"{prefix}places.{it}.share", "share") for it in shares]),
        Group("again", [column("placed", f"{prefix}placed_again")]),
        Group("declared", [column("quality", f"{prefix}quality_surrogate")]),
    ]
    worth = [
        Group("QoE", [column("mean", f"{prefix}qoe.mean"), column("p10", f"{prefix}qoe.p10")]),
        Group(
            "energy per ask",
            [
                column("mean", f"{energy}mean", "J"),
                *(column(it, f"{energy}components.{it}", "J") for it in ("chip", "radio")),
            ],
        ),
        Group("least possible", [column(it.upper(), f"{prefix}bound.{it}_s", "s") for it in ("ttft", "e2e")]),
    ]
    corner = _corner(comparison)
    tables = [figure_tables(labels, groups, corner) for groups in (_latency(prefix, column), placed, worth)]
    phones = _agreed(shown, (lambda it: _phones(it, it.scenario.assistants[service].phones),))
    return "\n".join((f"Service {service}: {phones}", *tables))


def _kv_transfer(prefix: str, column: Callable[..., Figures]) -> list[Group]:
    """Return the columns of what the KV of prompts takes from where it is computed to where it is used."""
    titles = {"KV waits": "wait_s", "KV transfer": "transfer_s"}
    return [
        *(
            Group(title, [column(it, f"{prefix}.{figure}.{it}", "s") for it in ("mean", "p99")])
            for title, figure in titles.items()
        ),
        Group("KV moved", [column("in all", f"{prefix}.bytes", "B")]),
    ]


def _slo(prefix: str, rows: Sequence[Row], column: Callable[..., Figures]) -> list[Group]:
    """Return the columns that tell how often each class of requests has kept its objective."""
    classes = f"{prefix}slo.classes."
    names = dict.fromkeys(
        path.removeprefix(classes).partition(".")[0]
        for row in rows
        for path in row
        if path.startswith(classes)
    )
    shares = {"SLO kept": "attainment", "TTFT kept": "ttft_attainment", "TPOT kept": "tpot_attainment"}
    return [
        *(
            Group(title, [column(name, f"{classes}{name}.{figure}", "share") for name in names])
            for title, figure in shares.items()
        ),
        Group("goodput (1/s)", [column(name, f"{classes}{name}.goodput_per_s") for name in names]),
    ]


def _decoding(prefix: str, column: Callable[..., Figures]) -> list[Group]:
    """Return the columns that tell how answers with dependency graphs were decoded."""
    figures = f"{prefix}decoding."
    quality = f"{figures}quality_surrogate."
    return [
        Group("per answer", [column("generations", f"{figures}generations")]),
        Group(
            "tokens per answer",
            [column(it, f"{figures}{it}_tokens") for it in ("plan", "decoded", "prompt", "prefill")],
        ),
        Group("speed-up", [column("ideal", f"{figures}ideal_speedup")]),
        Group("dependencies", [column("seen", f"{figures}visible_dependencies", "share")]),
        Group(
            "net win rate over AR (surrogate)",
            [
                column("mean", f"{quality}net_win_rate_over_ar"),
                *(column(it, f"{quality}{it}") for it in ("low", "high")),
            ],
        ),
    ]


def _streaming(
    service: str, shown: Sequence[Variant], labels: Sequence[str], rows: Sequence[Row], comparison: Comparison
) -> str:
    prefix = f"services.{service}."
    column = _column_of(rows, comparison)
    bound = [column("bound", f"{prefix}qoe.upper_bound")] if _known(rows, f"{prefix}qoe.upper_bound") else []
    quality = [
        Group(
            "QoE per chunk",
            [*(column(it, f"{prefix}qoe.{it}") for it in ("mean", "p50")), *bound],
        ),
        Group("stalls", [column(it, f"{prefix}rebuffer_s.{it}", "s") for it in ("mean", "p90")]),
        Group("start-up", [column("mean", f"{prefix}startup_s.mean", "s")]),
        Group(
            "kbit/s",
            [
                column("nominal", f"{prefix}bitrate_kbps.mean"),
                column("as seen", f"{prefix}effective_kbps.mean"),
            ],
        ),
        Group("chunks", [column("with SR", f"{prefix}sr_share", "share")]),
        Group("viewers", [column("saw all", f"{prefix}viewers.complete")]),
    ]
    energy = f"{prefix}energy_per_phone_j."
    components = [
        path for path in rows[0] if path.startswith(f"{energy}components.") and _known(rows, path, above=0.0)
    ]
    spent = [
        Group(
            "energy per phone",
            [
                column("mean", f"{energy}mean", "J"),
                *(column(path.rpartition(".")[2], path, "J") for path in components),
            ],
        ),
        Group("fairness", [column("Jain", f"{prefix}energy_fairness")]),
        Group("battery left", [column("least", f"{prefix}battery_share.least", "share")]),
    ]
    struck = _faults(prefix, column, llm=False) if _known(rows, "faults.phone.failures") else []
    corner = _corner(comparison)
    return "\n".join(
        (
            f"Service {service}: {_who(service, shown)}",
            figure_tables(labels, quality, corner),
            figure_tables(labels, spent, corner),
            *([figure_tables(labels, struck, corner)] if struck else []),
        )
    )


def _known(rows: Sequence[Row], path: str, above: float = -math.inf) -> bool:
    """Whether a figure is known, and above a value, in any variant."""
    return any((it := row.get(path)) is not None and it.mean is not None and it.mean > above for row in rows)


def _who(service: str, shown: Sequence[Variant]) -> str:
    """Say who watches what, where the variants agree."""

    def phones(variant: Variant) -> str:
        return _phones(variant, variant.scenario.streaming_services[service].phones)

    def sessions(variant: Variant) -> str:
        scenario, spec = variant.scenario, variant.scenario.streaming_services[service]
        members = sum(scenario.devices[name].count or 1 for name in spec.phones)
        groups = math.ceil(members / (spec.group_size or members))
        number = scenario.videos[service][1].sessions
        each = f"{number} sessions" if number > 1 else "one session"
        return each if groups == 1 else f"{groups} groups, {each} each"

    return _agreed(shown, (phones, sessions))


def _phones(variant: Variant, names: Sequence[str]) -> str:
    devices = [variant.scenario.devices[name] for name in names]
    return " + ".join(
        f"{device.count}x {device.profile}" if (device.count or 1) > 1 else device.profile
        for device in devices
    )


def _what(service: str, shown: Sequence[Variant]) -> str:
    """Say what serves, where the variants agree."""
    return _agreed(
        shown,
        (
            lambda it: it.scenario.llm_services[service].model,
            lambda it: " + ".join(
                it.scenario.devices[gpus].profile for gpus in it.scenario.llm_services[service].pool
            ),
            lambda it: it.scenario.llm_services[service].engine,
        ),
    )


def _agreed(shown: Sequence[Variant], attributes: Sequence[Callable[[Variant], str]]) -> str:
    """Return what all variants have in common."""
    parts: list[str] = []
    for attribute in attributes:
        values = {attribute(variant) for variant in shown}
        parts += values if len(values) == 1 else []
    return ", ".join(parts)


def _devices(labels: Sequence[str], rows: Sequence[Row], corner: str, comparison: Comparison) -> str:
    column = _column_of(rows, comparison)
    storage = list(
        dict.fromkeys(path.split(".")[1] for row in rows for path in row if path.startswith("storage."))
    )
    devices = list(
        dict.fromkeys(
            path.rpartition(".")[2] for row in rows for path in row if path.startswith("energy_j.devices.")
        )
    )
    groups = [
        Group(title, [column(tier, f"storage.{tier}.{figure}", unit) for tier in storage])
        for title, figure, unit in (
            ("read", "read_bytes", "B"),
            ("written", "written_bytes", "B"),
            ("busy", "busy_share", "share"),
        )
        if storage
    ]
    for kind in ("storage", "link"):  # those of GPUs and phones are told with their services
        if _known(rows, f"faults.{kind}.outages"):
            events = ("failures", "outages", "slowdowns") if kind == "storage" else ("outages", "slowdowns")
            groups.append(Group(f"{kind} faults", [column(it, f"faults.{kind}.{it}") for it in events]))
            groups.append(Group(f"{kind} down", [column("time", f"faults.{kind}.downtime_s", "s")]))
    energy = [column("total", "energy_j.total", "J")]
    if len(devices) > 1:
        energy += [column(name, f"energy_j.devices.{name}", "J") for name in devices]
    groups.append(Group("energy", energy))
    groups.append(Group("simulated", [column("time", "simulated_s", "s")]))
    return figure_tables(labels, groups, corner)


def _across(paths: Sequence[str], labels: Sequence[str], rows: Sequence[Row], comparison: Comparison) -> str:
    """Return the figures that services of unlike kinds are weighed by."""
    column = _column_of(rows, comparison)
    groups: dict[str, list[Figures]] = {}
    for path in paths:
        it = described(path)
        block, *middle, last = it.inner.split(".")
        heading = f"QoE {it.service}" if block == "qoe" else "energy per user"
        if block == "accounting":  # cost_per_hour: cost, per hour
            heading, _, per = middle[0].removesuffix("_g").partition("_")
            last = per.replace("_", " ") or last
        groups.setdefault(heading, []).append(column(last, path, it.unit))
    return figure_tables(
        labels, [Group(title, several) for title, several in groups.items()], _corner(comparison)
    )


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
                _figures(rows, it.statistic, it.path, it.unit, intervals=True, signed=True),
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
    table = figure_tables([variant.label for variant in others], groups, _corner(comparison))
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


_OF_KIND = {"llm": _service, "streaming": _streaming, "assistant": _assistant}
"""The tables of a service by its kind."""


def _column_of(rows: Sequence[Row], comparison: Comparison) -> Callable[..., Figures]:
    """Return a function (title, path, unit) -> column; with intervals where there are replications."""

    def column(title: str, path: str, unit: str = "") -> Figures:
        return _figures(rows, title, path, unit, intervals=comparison.replications > 1, signed=False)

    return column


def _figures(
    rows: Sequence[Row], title: str, path: str, unit: str, *, intervals: bool, signed: bool
) -> Figures:
    none = Estimate(None, None, 0)
    estimates = [row.get(path, none) for row in rows]
    return Figures(
        title,
        [estimate.mean for estimate in estimates],
        [estimate.half_width for estimate in estimates] if intervals else (),
        unit,
        signed,
    )
