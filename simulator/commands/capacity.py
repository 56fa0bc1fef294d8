"""``hetsim capacity``."""

from __future__ import annotations

import itertools
import math
import sys
from argparse import Namespace

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.commands.study import parse_vary
from simulator.experiments.capacity import Capacity, Probe, parse_slo
from simulator.experiments.capacity import capacity as search
from simulator.experiments.capacity_store import Found, as_rows, write_capacity
from simulator.experiments.execution import worker_pool
from simulator.experiments.run_store import to_json
from simulator.experiments.statistics import Estimate
from simulator.experiments.tables import text_table
from simulator.scenario.load import load, resolver


def capacity(arguments: Namespace) -> int:
    """Print the highest load within an SLO, for each variant, and write what was tried."""
    path = find_scenario(arguments.scenario)
    slo = parse_slo(arguments.slo)
    vary = parse_vary(arguments.vary)
    loads = _loads(arguments.loads)
    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    found: list[tuple[dict[str, str], Capacity]] = []
    with worker_pool(arguments.jobs, arguments.dask) as executor:
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
                loads=loads,
                replications=arguments.replications,
                executor=executor,
                progress=say,
            )
            found.append((dict(zip(vary, values, strict=True)), it))
    folder = write_capacity(
        arguments.out,
        load(path, overrides),
        resolver(path),
        found,
        arguments.slo,
        arguments.replications,
        arguments.argv,
    )
    sys.stdout.write(
        to_json(as_rows(found, arguments.slo)) if arguments.json else _report(found, arguments.slo)
    )
    if not arguments.quiet:
        print(f"written: {folder}", file=sys.stderr)
    return 0


def _loads(text: str) -> list[float]:
    loads = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            load = float(part)
        except ValueError:
            load = math.nan
        if not 0.0 < load < math.inf:
            raise InputError(Fault(f"{part!r} is no load; allowed: numbers above 0", file="--loads"))
        loads.append(load)
    return loads


def _report(found: Found, slo: str) -> str:
    parts = [f"Highest load that keeps {slo}\n"]
    lines = []
    for values, it in found:
        at = next((probe for probe in it.probes if probe.load == it.load), None)
        load = (
            "none tried" if it.load is None else f"{it.load:.4g}" if it.bounded else f"{it.load:.4g} or more"
        )
        lines.append([", ".join(values.values()) or "scenario", load, str(len(it.probes)), *_there(at)])
    parts.append(text_table(["variant", "load", "probes", "goodput per s", "there"], lines))
    for values, it in found:
        names = list(it.probes[0].figures)
        rows = [
            [
                f"{probe.load:.4g}",
                *("-" if (value := probe.figures[name]) is None else f"{value:.4g}" for name in names),
                _with_interval(probe.attainment, 100.0),
                _with_interval(probe.goodput_per_s),
                "kept" if probe.kept else "not kept",
            ]
            for probe in it.probes
        ]
        header = ["load", *names, "within %", "goodput per s", "SLO"]
        parts.append(f"\n{', '.join(values.values()) or 'Probes'}\n" + text_table(header, rows))
    parts.append(
        "\nwithin: requests answered within the limits of the SLO's latency terms; goodput: so many per second\n"
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
