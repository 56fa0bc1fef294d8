"""The same arrivals under several variants of a scenario: means, intervals, and paired differences.

Variants share seed and replications, so that they see the same random numbers (common random numbers). What
they differ by is then much better known than what each one yields.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from devices.errors import Fault, InputError
from simulator.experiments.comparison import Comparison, Variant
from simulator.experiments.execution import Job, Outcome, bad_input, run_jobs
from simulator.experiments.folders import slug, whole_folder
from simulator.experiments.identity import identify
from simulator.experiments.run_store import FORMAT, MANIFEST, to_json, versions
from simulator.scenario.load import load, resolver
from simulator.scenario.overrides import ORIGIN

COMPARISON = "comparison.json"
"""In a comparison's folder: what `hetsim compare --json` prints."""


def compare(
    scenario: Path,
    vary: Mapping[str, Sequence[object]],
    overrides: Iterable[str] = (),
    *,
    replications: int = 1,
    executor: Executor | None = None,
    out: Path | None = None,
    command: Sequence[str] = (),
    progress: Callable[[str], None] = lambda message: None,
) -> Comparison:
    """Run every combination of the values of `vary`, each under the same arrivals.

    Parameters
    ----------
    scenario
        Scenario file.
    vary
        Values by path of the scenario; a text is read as YAML. Empty: the scenario alone.
    overrides
        ``PATH=VALUE`` texts that hold for every variant.
    replications
        Independent repetitions of each variant.
    executor
        Where to run them; None: in this process.
    out
        Folder for the results: one run folder per replication where nothing is varied, else one folder
        ``<name>-compare-<hash8>`` with a run folder per variant and replication and `COMPARISON`. None:
        nothing is written.
    command
        What the user typed, for the manifests.
    progress
        Called with a line whenever a run has ended.

    Raises
    ------
    InputError
        With every fault of every variant at once; nothing is written then.
    """
    overrides = tuple(overrides)
    variants = plan(scenario, vary, overrides)
    resolve = resolver(scenario)
    name = variants[0].scenario.name
    parent: Path | None = None
    if out is not None:
        identities = [
            [identify(variant.scenario, resolve, number).content_hash for number in range(replications)]
            for variant in variants
        ]
        if vary:
            whole = hashlib.sha256(json.dumps(identities).encode()).hexdigest()
            parent = out / f"{slug(name)}-compare-{whole[:8]}"
            variants = [replace(it, folders=_folders(it.label, replications)) for it in variants]
        else:
            folders = [f"{slug(name)}-{content[:8]}" for content in identities[0]]
            variants = [replace(variants[0], folders=folders)]
    with whole_folder(parent) if parent is not None else nullcontext(out) as target:
        jobs = [
            Job(
                variant.scenario,
                number,
                resolve,
                target / variant.folders[number] if target is not None else None,
                tuple(command),
            )
            for variant in variants
            for number in range(replications)
        ]
        labels = [(variant.label, number) for variant in variants for number in range(replications)]

        def report(number: int, outcome: Outcome) -> None:
            label, replication = labels[number]
            what = ", ".join(
                part for part in (label, f"replication {replication}" if replications > 1 else "") if part
            )
            end = "failed" if outcome.failure else str(outcome.effort)
            progress(f"[{number + 1}/{len(jobs)}] {what or name}: {end}")

        outcomes = run_jobs(jobs, executor, report)
        if error := bad_input(outcomes):
            raise error
        variants = [
            replace(variant, outcomes=outcomes[number * replications : (number + 1) * replications])
            for number, variant in enumerate(variants)
        ]
        shown = {path: [as_yaml(value) for value in values] for path, values in vary.items()}
        comparison = Comparison(name, shown, replications, variants, parent or out)
        if parent is not None and target is not None:
            _write(comparison, target, command)
    return comparison


def plan(scenario: Path, vary: Mapping[str, Sequence[object]], overrides: Iterable[str]) -> list[Variant]:
    """Return the variants, loaded and checked but not run; every fault of every one is raised at once."""
    faults: list[Fault] = []
    for path, values in vary.items():
        texts = [as_yaml(value) for value in values]
        faults += [
            Fault(f"{text or 'an empty value'} stands there {texts.count(text)} times", path, "--vary")
            for text in dict.fromkeys(texts)
            if texts.count(text) > 1
        ]
        if not texts:
            faults.append(Fault("has no value", path, "--vary"))
    variants = []
    for combination in itertools.product(*([as_yaml(value) for value in values] for values in vary.values())):
        chosen = dict(zip(vary, combination, strict=True))
        try:
            loaded = load(scenario, (*overrides, *(f"{path}={value}" for path, value in chosen.items())))
        except InputError as error:
            faults += [
                replace(fault, file="--vary")
                if fault.file == ORIGIN and _below(fault.path, chosen)
                else fault
                for fault in error.faults
            ]
        else:
            variants.append(Variant(", ".join(combination), chosen, loaded))
    if faults:
        raise InputError(list(dict.fromkeys(faults)))
    return variants


def _below(path: str, varied: Iterable[str]) -> bool:
    return any(path == it or path.startswith(f"{it}.") for it in varied)


def as_yaml(value: object) -> str:
    """Return a value as YAML text; a text is YAML already."""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _folders(label: str, replications: int) -> list[str]:
    # the hash keeps labels apart that differ only by characters that no file name can have
    plain = slug(label)
    if plain != label:
        plain += "-" + hashlib.sha256(label.encode()).hexdigest()[:4]
    return [f"{plain}-r{number}" if replications > 1 else plain for number in range(replications)]


def _write(comparison: Comparison, folder: Path, command: Sequence[str]) -> None:
    manifest = {
        "format": FORMAT,
        "kind": "comparison",
        "name": comparison.name,
        "status": "failed" if any(variant.failed for variant in comparison.variants) else "succeeded",
        "command": list(command),
        "versions": versions(),
        "replications": comparison.replications,
        "vary": comparison.vary,
        "variants": [
            {"label": variant.label, "variant": variant.values, "runs": list(variant.folders)}
            for variant in comparison.variants
        ],
    }
    (folder / COMPARISON).write_text(to_json(comparison.as_data()), encoding="utf-8")
    (folder / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
