"""What a run depends on, as one hash: the same on every machine, another one where an input differs.

It covers the scenario with every default written out, the replication, the content of each catalogue and workload
file that the scenario names, and the code of policies and metrics that are not part of hetsim. Where those files lie
does not count, nor does the version of hetsim: the manifest has it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from devices.catalogue import profile_file
from devices.files import read_bytes
from simulator.metrics.registry import metrics
from simulator.scenario.load import to_data
from simulator.scenario.spec import Scenario
from simulator.scenario.streaming_spec import SyntheticNetwork
from simulator.serving.engines import engine_file, load_engine
from simulator.serving.models import model_file
from simulator.streaming.synthetic_trace import cellular_file
from simulator.streaming.trace_files import trace_paths

OURS = ("simulator", "devices", "calibration")
"""Packages whose code the version of hetsim stands for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a run depends on."""

    content_hash: str
    """SHA-256 in hexadecimal."""
    files: dict[str, str]
    """SHA-256 of each file, by its name in the project or as the scenario names it."""

    @property
    def short(self) -> str:
        """The beginning of the hash, as it stands in a folder's name."""
        return self.content_hash[:8]


def identify(scenario: Scenario, resolve: Callable[[str], Path], replication: int = 0) -> Identity:
    """Return what a run of `scenario` depends on.

    Parameters
    ----------
    resolve
        Turns a path of the scenario into a file.

    Raises
    ------
    InputError
        Where a file that the scenario names cannot be read.
    """
    catalogue = catalogue_digests(scenario)
    named: dict[str, str] = {}

    def without_places(data: Any) -> Any:
        """Put the content of a file in the place of its path."""
        if isinstance(data, dict):
            return {
                key: read(value) if key == "path" and isinstance(value, str) else without_places(value)
                for key, value in data.items()
            }
        return [without_places(item) for item in data] if isinstance(data, list | tuple) else data

    def read(path: str) -> str:
        place = resolve(path)
        if not place.is_dir():
            named[path] = _digest(place, path)
        else:  # of networks
            digests = [_digest(part) for part in trace_paths(place)]
            named[path] = hashlib.sha256("".join(digests).encode()).hexdigest()
        return named[path]

    inputs = {
        "scenario": without_places(to_data(scenario)),
        "replication": replication,
        "files": catalogue,
    }
    if code := _plug_ins(scenario):
        inputs["code"] = code
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return Identity(hashlib.sha256(text.encode()).hexdigest(), catalogue | named)


def catalogue_files(scenario: Scenario) -> dict[str, Path]:
    """Return the catalogue files that a scenario stands on, by their name in the project."""
    return dict(_catalogue_files(scenario))


def catalogue_digests(scenario: Scenario) -> dict[str, str]:
    """Return the SHA-256 of each catalogue file that a scenario stands on, as it is now."""
    return {name: _digest(file, name) for name, file in sorted(catalogue_files(scenario).items())}


def _catalogue_files(scenario: Scenario) -> Iterator[tuple[str, Path]]:
    for profile in (it.profile for section in (scenario.devices, scenario.links) for it in section.values()):
        yield f"devices/catalog/{profile}.yaml", profile_file(profile)
    for device in scenario.devices.values():
        if device.phone is None:
            continue
        if isinstance(device.phone.wwan, SyntheticNetwork):
            like = device.phone.wwan.like
            yield f"simulator/streaming/catalog/cellular/{like}.yaml", cellular_file(like)
        if device.phone.npu is not None:
            soc = device.phone.npu.soc
            yield f"devices/catalog/{soc}.yaml", profile_file(soc)
    for assistant in scenario.assistants.values():
        if (place := assistant.places.device) is not None and place.soc is not None:
            yield f"devices/catalog/{place.soc}.yaml", profile_file(place.soc)
    for service in scenario.llm_services.values():
        engine = load_engine(service.engine).name
        yield f"simulator/serving/catalog/models/{service.model}.yaml", model_file(service.model)
        yield f"simulator/serving/catalog/engines/{engine}.yaml", engine_file(engine)


def _plug_ins(scenario: Scenario) -> dict[str, str]:
    """Return the SHA-256 of each module that a policy of the scenario, or a metric, comes from and that is not ours."""
    found: list[Any] = [it.figure for it in metrics()]
    waiting: list[Any] = [scenario]
    while waiting:
        value = waiting.pop()
        if is_dataclass(value):
            found.append(type(value))
            waiting += [getattr(value, field.name) for field in fields(value)]
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
    modules = {it.__module__ for it in found if it.__module__.partition(".")[0] not in OURS}
    return {name: _code(name) for name in sorted(modules)}


def _code(module: str) -> str:
    """Return the SHA-256 of a module's source; of nothing where it has no file, as in an interactive session."""
    file = getattr(sys.modules[module], "__file__", None)
    return _digest(Path(file)) if file else ""


def _digest(file: Path, name: str = "") -> str:
    # universal newlines would cost a copy of large traces; what a version-control checkout may change are
    # only the ends of lines
    return hashlib.sha256(read_bytes(file, name).replace(b"\r\n", b"\n")).hexdigest()
