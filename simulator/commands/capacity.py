"""``hetsim capacity``."""

from __future__ import annotations

import sys
from argparse import Namespace

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.commands.study import parse_vary
from simulator.experiments.capacity import capacity as search
from simulator.experiments.capacity_search import Probe
from simulator.experiments.capacity_store import Found, as_rows
from simulator.experiments.executors import worker_pool
from simulator.experiments.run_store import to_json
from simulator.experiments.statistics import Estimate
from simulator.experiments.tables import text_table


def capacity(arguments: Namespace) -> int:
    """Print the highest load within an SLO, for each variant, and write what was tried."""

    def say(message: str) -> None:
        if not arguments.quiet:
            print(message, file=sys.stderr, flush=True)

    def tried(label: str, probe: Probe) -> None:
        say(f"{label}{': ' if label else ''}{probe.load:g}: {probe.verdict}")

    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    with worker_pool(arguments.jobs, arguments.dask) as executor:
        study = search(
            find_scenario(arguments.scenario),
            arguments.slo,
            parse_vary(arguments.vary),
            overrides,
            out=arguments.out,
            workload=arguments.workload,
            loads=_loads(arguments.loads),
            replications=arguments.replications,
            executor=executor,
            command=arguments.argv,
            progress=tried,
        )
    sys.stdout.write(
        to_json(as_rows(study.found, study.slo)) if arguments.json else _report(study.found, study.slo)
    )
    for note in study.notes():
        say(f"note: {note}")
    say(f"written: {study.folder}")
    return 0


def _loads(text: str) -> list[float]:
    loads = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            loads.append(float(part))
        except ValueError:
            message = f"{part!r} is no load; allowed: numbers above 0"
            raise InputError(Fault(message, file="--loads")) from None
    return loads


def _report(found: Found, slo: str) -> str:
    parts = [f"Highest load that keeps {slo}\n"]
    lines = []
    several = any(it.probes[0].goodput_per_s.values > 1 for _, it in found)
    for values, it in found:
        own = [_with_interval(it.load_interval)] if several else []
        label = ", ".join(values.values()) or "scenario"
        lines.append([label, str(it), *own, str(len(it.probes)), *_there(it.at_load)])
    own = ["mean of replications"] if several else []
    parts.append(text_table(["variant", "load", *own, "probes", "goodput per s", "there"], lines))
    for values, it in found:
        names = list(it.probes[0].figures)
        rows = [
            [
                f"{probe.load:.4g}",
                *("-" if (value := probe.figures[name]) is None else f"{value:.4g}" for name in names),
                _with_interval(probe.attainment, 100.0),
                _with_interval(probe.goodput_per_s),
                probe.verdict,
            ]
            for probe in it.probes
        ]
        header = ["load", *names, "within %", "goodput per s", "SLO"]
        parts.append(f"\n{', '.join(values.values()) or 'Probes'}\n" + text_table(header, rows))
    parts.append(
        "\nwithin: requests answered within the limits of the SLO's latency terms; goodput: so many per second\n"
    )
    if several:
        parts.append("mean of replications: of the highest load of each; ± is half the 95 % interval\n")
    if any(probe.overloaded for _, it in found for probe in it.probes):
        parts.append(
            "overloaded: the queue was still growing at the end, so that latencies depend on the run's length\n"
        )
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def _there(probe: Probe | None) -> list[str]:
    """Return goodput and figures at the load that was found."""
    if probe is None:
        return ["", ""]
    figures = [f"{name} {value:.4g}" for name, value in probe.figures.items() if value is not None]
    return [_with_interval(probe.goodput_per_s), ", ".join(figures)]


def _with_interval(estimate: Estimate, scale: float = 1.0) -> str:
    if estimate.mean is None:
        return "-"
    text = f"{scale * estimate.mean:.4g}"
    return text if estimate.half_width is None else f"{text} ± {scale * estimate.half_width:.2g}"
