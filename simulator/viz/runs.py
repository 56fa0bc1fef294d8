"""The runs of a folder, ready to be drawn: which there are, what they are called, which service is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.experiments.compare import COMPARISON
from simulator.experiments.run_store import MANIFEST, StoredRun, load_run, read_manifest
from simulator.policies.registry import DECISIONS, PolicyError, name_of
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.spec import LlmService, Scenario
from simulator.scenario.streaming_spec import StreamingService

KINDS: Mapping[str, type] = {
    "llm": LlmService,
    "streaming": StreamingService,
    "assistant": AssistantService,
}
"""Kinds of service by the name that a scenario has for them."""

GRAPHS = "llm with answers as graphs"
"""What a plot needs that shows how answers were decoded: a service of kind llm that is asked such questions."""


@dataclass(frozen=True, slots=True)
class Study:
    """The runs of a folder and one service in all of them."""

    folder: Path
    """Where they lie."""
    variants: Mapping[str, Sequence[StoredRun]]
    """Runs that succeeded by the label of their variant, one per replication."""
    values: Mapping[str, Mapping[str, str]]
    """By label: the values that were varied, by path; empty where the folder is no comparison."""
    failed: Sequence[str]
    """Labels of variants of which a run has failed."""
    service: str
    """The service that is shown."""

    def fault(self, message: str) -> InputError:
        """Return the error that says `message` of the folder."""
        return InputError(Fault(message, file=str(self.folder)))

    def summaries(self, label: str) -> list[dict[str, Any]]:
        """Return the service's part of the summary of each run of a variant."""
        return [run.summary["services"][self.service] for run in self.variants[label]]

    @property
    def runs(self) -> list[StoredRun]:
        """All runs."""
        return [run for several in self.variants.values() for run in several]

    def only_run(self) -> StoredRun:
        """Return the run where there is one.

        Raises
        ------
        InputError
            Where there are several.
        """
        runs = self.runs
        if len(runs) > 1:
            names = ", ".join(run.folder.name for run in runs)
            raise self.fault(f"holds several runs; allowed: one of its run folders ({names})")
        return runs[0]

    def without(self, label: str, paths: Iterable[str]) -> str:
        """Return what a variant is called apart from the values of some paths: at least its policy."""
        left = {path: value for path, value in self.values[label].items() if path not in set(paths)}
        scenario = self.variants[label][0].scenario
        return label_of(scenario, self.service, left) if left else policy_label(scenario, self.service)


def load_study(folder: Path, service: str | None, plot: str, needs: str) -> Study:
    """Read what a folder holds.

    Parameters
    ----------
    folder
        A run folder, a comparison's folder, or any folder that holds run folders.
    service
        The service to show; None: the only one of the kind that is needed.
    plot
        What is to be drawn, for messages.
    needs
        Kind of service that it takes (`KINDS` or `GRAPHS`); empty: any.

    Raises
    ------
    InputError
        Where there is no run that succeeded, or no such service in all of them.
    """
    labelled = [*_labelled(folder)]
    found = [
        (label, values, [run for run in runs if "failure" not in run.manifest])
        for label, values, runs in labelled
    ]
    failed = [
        label or folder.name
        for (label, _, runs), (_, _, whole) in zip(labelled, found, strict=True)
        if len(whole) < len(runs)
    ]
    found = [entry for entry in found if entry[2]]
    if not found:
        what = (
            "every run in it has failed"
            if failed
            else f"is no run: neither it nor a folder in it has a {MANIFEST}"
        )
        raise InputError(Fault(what, file=str(folder)))
    name = _service([run.scenario for *_, runs in found for run in runs], service, folder, plot, needs)
    names = [_name(name, label, values, runs[0].scenario) for label, values, runs in found]
    if len(set(names)) < len(names):
        names = [label for label, *_ in found]
    return Study(
        folder,
        {label: runs for label, (*_, runs) in zip(names, found, strict=True)},
        {label: values for label, (_, values, _) in zip(names, found, strict=True)},
        failed,
        name,
    )


def _labelled(folder: Path) -> Iterable[tuple[str, Mapping[str, str], list[StoredRun]]]:
    """Yield label, varied values and runs of each variant; a run alone has no label."""
    if (folder / COMPARISON).is_file():
        for variant in read_manifest(folder, "comparison")["variants"]:
            yield variant["label"], variant["variant"], [load_run(folder / name) for name in variant["runs"]]
    elif (folder / MANIFEST).is_file():
        yield "", {}, [load_run(folder)]
    else:
        for inner in sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}")):
            if (inner / COMPARISON).is_file():
                for label, values, runs in _labelled(inner):
                    yield f"{inner.name}/{label}", values, runs
            else:
                yield inner.name, {}, [load_run(inner)]


def _service(scenarios: Sequence[Scenario], asked: str | None, folder: Path, plot: str, needs: str) -> str:
    """Return the service to show."""
    shared = sorted(set.intersection(*(set(scenario.services) for scenario in scenarios)))
    kinds = {name: {_kind(scenario, name, needs) for scenario in scenarios} for name in shared}
    fitting = [name for name in shared if not needs or kinds[name] == {needs}]
    if asked is None and fitting and (len(fitting) == 1 or not needs):
        return fitting[0]  # a plot that shows no service in particular only takes names from it
    if asked in fitting:
        assert asked is not None
        return asked
    if asked is not None and asked in shared:
        what = f"its service {asked} is of kind {', '.join(sorted(kinds[asked]))}, but {plot} shows one of kind {needs}"
    elif not fitting and shared:
        others = ", ".join(f"{name} ({', '.join(sorted(kinds[name]))})" for name in shared)
        what = f"has no service of kind {needs}, which {plot} needs; it has {others}"
    else:
        what = "has several services" if asked is None else f"has no service {asked!r} in every run"
    raise InputError(Fault(f"{what}; allowed: {', '.join(fitting) or 'none'}", file=str(folder)))


def _kind(scenario: Scenario, service: str, needs: str) -> str:
    """Return a service's kind; `GRAPHS` where the plot asks for that."""
    if needs == GRAPHS and service in scenario.graph_services:
        return GRAPHS
    return scenario.services[service].kind


def _name(service: str, label: str, values: Mapping[str, str], scenario: Scenario) -> str:
    """Return what a variant is called in a figure.

    A run alone carries the name of its policy, and with it the policy's colour.
    """
    if not label:
        return policy_label(scenario, service)
    if not values or service in scenario.llm_services:
        return label
    return label_of(scenario, service, values)


def policy_label(scenario: Scenario, service: str) -> str:
    """Return the policy that a service is compared by: how it loads KV, decodes or places, or phones collaborate."""
    if service in scenario.graph_services:
        return described(scenario.llm_services[service].policies.decoding)
    if service in scenario.llm_services:
        return name_of("kv_loading", scenario.llm_services[service].policies.kv_loading)
    if service in scenario.assistants:
        return described(scenario.assistants[service].policies.placement)
    policies = scenario.streaming_services[service].policies
    abr = "" if policies.abr is None else f", abr {described(policies.abr)}"
    return described(policies.collaboration) + abr


def label_of(scenario: Scenario, service: str, values: Mapping[str, str]) -> str:
    """Return what a variant of a streaming service or an assistant is called that has these values by path.

    Policies are called by their names and what differs from their defaults; a number has its key before it.
    """
    spec = scenario.services[service]
    assert isinstance(spec, StreamingService | AssistantService)
    policies = spec.policies
    named: dict[str, object] = {
        f"services.{service}.policies.{field.name}": getattr(policies, field.name)
        for field in fields(policies)
    }
    words = []
    for path, value in values.items():
        if named.get(path) is not None:
            words.append(described(named[path]))
        else:
            words.append(word_of(path, value))
    return ", ".join(words)


def word_of(path: str, value: str) -> str:
    """Return a varied value as it stands in a name: a word alone, anything else with its key before it."""
    if re.fullmatch(r"[a-z][a-z0-9_-]*", value) and value not in ("true", "false", "null"):
        return value
    return f"{path.rpartition('.')[2]} {value}"


def described(policy: object) -> str:
    """Return a policy's name and those of its parameters that differ from their defaults."""
    name = _any_name(policy)
    assert is_dataclass(policy)
    words = [name]
    for field in fields(policy):
        value = getattr(policy, field.name)
        factory: Callable[[], object] | Any = field.default_factory
        if value != field.default and not (callable(factory) and value == factory()):
            words.append(f"{field.name} {described(value) if is_dataclass(value) else value}")
    return ", ".join(words)


def _any_name(policy: object) -> str:
    for decision in DECISIONS:
        try:
            return name_of(decision, policy)
        except PolicyError:
            continue
    return type(policy).__name__
