"""``hetsim cite``."""

from __future__ import annotations

import sys
import textwrap
from argparse import Namespace
from dataclasses import asdict

from simulator.commands.scenarios import find_scenario
from simulator.experiments.evidence import (
    KINDS,
    Citation,
    Source,
    citations,
    fallbacks,
    interval_text,
    model_sources,
    workload_sources,
)
from simulator.experiments.run_store import to_json
from simulator.experiments.tables import WIDTH, text_table
from simulator.scenario.load import load
from simulator.scenario.spec import Scenario


def cite(arguments: Namespace) -> int:
    """Print every value that a scenario stands on, with its source."""
    scenario = load(find_scenario(arguments.scenario), arguments.overrides)
    values = citations(scenario)
    counts = {kind: sum(it.kind == kind for it in values) for kind in KINDS}
    if arguments.json:
        data = {
            "scenario": scenario.name,
            "values": [asdict(it) for it in values],
            "models": [asdict(it) for it in model_sources(scenario)],
            "workloads": [asdict(it) for it in workload_sources(scenario)],
            "notes": fallbacks(scenario),
            "counts": counts,
        }
        sys.stdout.write(to_json(data))
    else:
        sys.stdout.write(_text(scenario, values, counts))
    return 0


def _text(scenario: Scenario, values: list[Citation], counts: dict[str, int]) -> str:
    sources = list(dict.fromkeys((it.source, it.url) for it in values))
    parts = []
    for owner, entry in dict.fromkeys((it.owner, it.entry) for it in values):
        rows = [
            [
                ("! " if it.kind == "assumed" else "  ") + it.field,
                it.shown,
                interval_text(it),
                it.kind,
                f"[{sources.index((it.source, it.url)) + 1}]",
            ]
            for it in values
            if (it.owner, it.entry) == (owner, entry)
        ]
        table = text_table(["  value", "", "interval", "kind", "source"], rows)
        remarks: dict[str, list[str]] = {}
        for it in values:
            if (it.owner, it.entry) == (owner, entry) and (it.note or it.valid):
                text = "; ".join(part for part in (it.note, it.valid and f"valid: {it.valid}") if part)
                remarks.setdefault(text, []).append(it.field)
        wrapped = [_wrapped(f"{', '.join(fields)}: {text}") for text, fields in remarks.items()]
        parts.append("".join((f"{owner}: {entry}\n", table, *wrapped)))
    parts.append(_sources("Models", model_sources(scenario)))
    parts.append(_sources("Workloads", workload_sources(scenario)))
    if notes := fallbacks(scenario):
        parts.append("".join(f"{note}\n" for note in notes))
    lines = [
        f"[{number}] {title}{' <' + url + '>' if url else ''}\n"
        for number, (title, url) in enumerate(sources, 1)
    ]
    parts.append("Sources\n" + "".join(lines))
    shown = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    parts.append(f"{len(values)} values: {shown}. A ! marks what is assumed.\n")
    return "\n".join(parts)


def _sources(title: str, sources: list[Source]) -> str:
    lines = [
        f"  {it.owner}: {it.name}: {it.source}{' <' + it.url + '>' if it.url else ''}\n" for it in sources
    ]
    return f"{title}\n" + "".join(lines)


def _wrapped(text: str) -> str:
    return (
        textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="      ", break_long_words=False)
        + "\n"
    )
