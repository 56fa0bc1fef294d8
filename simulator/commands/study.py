"""``hetsim run`` and ``hetsim compare``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.experiments.compare import compare as compare_variants
from simulator.experiments.comparison import Comparison
from simulator.experiments.evidence import assumed_note, fallbacks
from simulator.experiments.executors import worker_pool
from simulator.experiments.report import comparison_text
from simulator.experiments.run_store import to_json
from simulator.experiments.statistics import estimates_data


def run(arguments: Namespace) -> int:
    """Run one scenario, once or in several replications."""
    comparison = _study(arguments, {})
    variant = comparison.variants[0]
    if not arguments.json:
        sys.stdout.write(comparison_text(comparison))
        return _status(comparison)
    data: dict[str, Any] | None = variant.outcomes[0].summary if comparison.replications == 1 else None
    if data is None:
        data = {"scenario": comparison.name, "seed": variant.scenario.seed}
        if comparison.replications > 1:
            data["replications"] = [outcome.summary for outcome in variant.outcomes]
            data["statistics"] = estimates_data(variant.statistics)
        if variant.failed:
            data["failures"] = variant.failures()
    sys.stdout.write(to_json(data))
    return _status(comparison)


def compare(arguments: Namespace) -> int:
    """Run several variants of a scenario under the same arrivals."""
    comparison = _study(arguments, parse_vary(arguments.vary))
    sys.stdout.write(to_json(comparison.as_data()) if arguments.json else comparison_text(comparison))
    return _status(comparison)


def parse_vary(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return values by path of ``PATH=V1,V2,...`` texts; a comma inside brackets or quotes does not split.

    Raises
    ------
    InputError
        With every fault.
    """
    vary: dict[str, list[str]] = {}
    faults = []
    for text in texts:
        path, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not path:
            faults.append(Fault(f"{text!r} is not of the form PATH=V1,V2,...", file="--vary"))
        elif path in vary:
            faults.append(Fault("is varied twice", path, "--vary"))
        else:
            vary[path] = _split(values)
            if "" in vary[path]:
                faults.append(Fault(f"{values!r} has an empty value", path, "--vary"))
    if faults:
        raise InputError(faults)
    return vary


def _split(text: str) -> list[str]:
    """Split at commas that stand outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += character
    return [part.strip() for part in parts]


def _study(arguments: Namespace, vary: Mapping[str, Sequence[str]]) -> Comparison:
    def say(message: str) -> None:
        if not arguments.quiet:
            print(message, file=sys.stderr, flush=True)

    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        overrides.append(f"seed={arguments.seed}")
    with worker_pool(arguments.jobs, arguments.dask) as executor:
        comparison = compare_variants(
            find_scenario(arguments.scenario),
            vary,
            overrides,
            replications=arguments.replications,
            executor=executor,
            out=arguments.out,
            command=arguments.argv,
            progress=say,
        )
    for note in comparison.notes():
        say(f"note: {note}")
    for note in assumed_note(variant.scenario for variant in comparison.variants):
        say(f"note: {note}")
    for note in dict.fromkeys(it for variant in comparison.variants for it in fallbacks(variant.scenario)):
        say(f"note: {note}")
    for folder in _folders(comparison):
        if folder.exists():
            say(f"written: {folder}")
    return comparison


def _folders(comparison: Comparison) -> list[Path]:
    if comparison.folder is None:
        return []
    if comparison.vary:
        return [comparison.folder]
    return [comparison.folder / name for name in comparison.variants[0].folders]


def _status(comparison: Comparison) -> int:
    failed = 0
    for variant in comparison.variants:
        for outcome in variant.outcomes:
            if outcome.failure is not None:
                failed = 1
                it = outcome.failure
                where = f"{variant.label}: " if variant.label else ""
                print(f"hetsim: {where}{it.stage}: {it.type}: {it.message}", file=sys.stderr)
    return failed
