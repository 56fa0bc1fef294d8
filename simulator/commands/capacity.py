"""``hetsim capacity``."""

from __future__ import annotations

import itertools
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from simulator.commands.scenarios import find_scenario
from simulator.commands.study import parse_vary
from simulator.experiments.capacity import Capacity, Probe, parse_slo
from simulator.experiments.capacity import capacity as search
from simulator.experiments.execution import worker_pool
from simulator.experiments.run_store import to_json
from simulator.experiments.tables import text_table


def capacity(arguments: Namespace) -> int:
    """Print the highest load within an SLO, for each variant."""
    path = find_scenario(arguments.scenario)
    slo = parse_slo(arguments.slo)
    vary = parse_vary(arguments.vary)
    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    rows: list[dict[str, Any]] = []
    found: list[tuple[str, Capacity]] = []
    with worker_pool(arguments.jobs) as executor:
        for values in itertools.product(*vary.values()):
            label = ", ".join(values)

            def say(probe: Probe, label: str = label) -> None:
                if not arguments.quiet:
                    what = "kept" if probe.kept else "not kept"
                    print(
                        f"{label}{': ' if label else ''}{probe.load:g}: {what}", file=sys.stderr, flush=True
                    )

            it = search(
                path,
                slo,
                [*overrides, *(f"{place}={value}" for place, value in zip(vary, values, strict=True))],
                workload=arguments.workload,
                replications=arguments.replications,
                executor=executor,
                progress=say,
            )
            found.append((label, it))
            rows.append({"variant": dict(zip(vary, values, strict=True)), "slo": arguments.slo, **asdict(it)})
    sys.stdout.write(to_json(rows) if arguments.json else _report(found, arguments.slo))
    return 0


def _report(found: list[tuple[str, Capacity]], slo: str) -> str:
    parts = [f"Highest load that keeps {slo}\n"]
    lines = []
    for label, it in found:
        at = next((probe for probe in it.probes if probe.load == it.load), None)
        load = (
            "none tried" if it.load is None else f"{it.load:.4g}" if it.bounded else f"{it.load:.4g} or more"
        )
        figures = (
            []
            if at is None
            else [f"{name} {value:.4g}" for name, value in at.figures.items() if value is not None]
        )
        lines.append([label or "scenario", load, str(len(it.probes)), ", ".join(figures)])
    parts.append(text_table(["variant", "load", "probes", "there"], lines))
    for label, it in found:
        names = list(it.probes[0].figures)
        rows = [
            [
                f"{probe.load:.4g}",
                *("-" if (value := probe.figures[name]) is None else f"{value:.4g}" for name in names),
                "kept" if probe.kept else "not kept",
            ]
            for probe in it.probes
        ]
        parts.append(f"\n{label or 'Probes'}\n" + text_table(["load", *names, "SLO"], rows))
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"
