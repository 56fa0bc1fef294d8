"""``hetsim validate``, ``hetsim schema`` and ``hetsim version``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from devices.errors import Fault, InputError
from simulator.commands.scenarios import find_scenario
from simulator.compiled import is_compiled
from simulator.experiments.run_store import to_json, versions
from simulator.experiments.sweep import plan
from simulator.experiments.sweep_file import is_sweep, load_sweep
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import BandwidthTrace, DeviceSpec, LinkSpec, Scenario


def validate(arguments: Namespace) -> int:
    """Check scenario files with the workload files that they name, and sweep files; every fault at once."""
    faults: list[Fault] = []
    rows = []
    for text in arguments.files:
        found: tuple[Fault, ...] = ()
        try:
            path = find_scenario(text)
            if is_sweep(path):
                plan(load_sweep(path, arguments.overrides))
            else:
                _check_workloads(load(path, arguments.overrides), path)
        except InputError as error:
            found = error.faults
        faults += found
        rows.append({"file": text, "valid": not found, "faults": [_fault(fault) for fault in found]})
        if not arguments.json and not found:
            print(f"{text}: valid")
    if arguments.json:
        sys.stdout.write(to_json(rows))
    if faults:
        raise InputError(faults)
    return 0


def schema(arguments: Namespace) -> int:
    """Print the JSON Schema of scenario or sweep files."""
    if arguments.kind == "sweep":
        from simulator.experiments.sweep_schema import sweep_schema  # noqa: PLC0415 (brings pydantic)

        sys.stdout.write(to_json(sweep_schema()))
    else:
        from simulator.scenario.schema import json_schema  # noqa: PLC0415 (brings pydantic)

        sys.stdout.write(to_json(json_schema()))
    return 0


def version(arguments: Namespace) -> int:
    """Print the versions that a result may depend on."""
    for name, number in versions().items():
        print(f"{name} {number}")
    print(f"engine {'compiled' if is_compiled() else 'interpreted'}")
    return 0


def _check_workloads(scenario: Scenario, path: Path) -> None:
    """Read every trace and manifest: a malformed row is a fault of the scenario."""
    from simulator.core import Streams  # noqa: PLC0415 (with the readers: slow imports)
    from simulator.serving.storage_build import read_bandwidth  # noqa: PLC0415
    from simulator.streaming.service import first_group  # noqa: PLC0415
    from simulator.workloads.build import build  # noqa: PLC0415
    from simulator.workloads.sources import SourceFile  # noqa: PLC0415

    faults: list[Fault] = []
    streams, resolve = Streams(scenario.seed), resolver(path)
    checks: list[Callable[[], object]] = [
        partial(build, spec, name, streams.stream, resolve)
        for name, spec in scenario.request_workloads.items()
    ]
    checks += [partial(first_group, scenario, name, streams, resolve) for name in scenario.streaming_services]
    channels: list[DeviceSpec | LinkSpec] = [*scenario.devices.values(), *scenario.links.values()]
    checks += [
        partial(read_bandwidth, SourceFile(resolve(it.bandwidth.path), it.bandwidth.path))
        for it in channels
        if isinstance(it.bandwidth, BandwidthTrace) and it.bandwidth.path is not None
    ]
    for check in checks:
        try:
            check()
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)


def _fault(fault: Fault) -> dict[str, str | int]:
    return {
        "file": fault.file,
        "line": fault.line,
        "column": fault.column,
        "path": fault.path,
        "message": fault.message,
    }
