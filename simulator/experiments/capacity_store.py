"""The folder of a capacity search: what was asked, and every load that was tried."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devices.document import dump_yaml
from devices.errors import Fault, InputError
from devices.files import read_json
from simulator.experiments.capacity_search import Capacity
from simulator.experiments.folders import slug, whole_folder
from simulator.experiments.identity import identify
from simulator.experiments.run_store import FORMAT, MANIFEST, SCENARIO, read_manifest, to_json, versions
from simulator.scenario.load import Resolver, to_data
from simulator.scenario.spec import Scenario

CAPACITY = "capacity.json"
"""In the folder: what `hetsim capacity --json` prints."""

Found = Sequence[tuple[Mapping[str, str], Capacity]]
"""Values by path of each variant, and what was found for it."""


def as_rows(found: Found, slo: str) -> list[dict[str, Any]]:
    """Return one object per variant, ready for JSON."""
    return [{"variant": dict(values), "slo": slo, **it.as_data()} for values, it in found]


def write_capacity(
    out: Path,
    scenario: Scenario,
    resolve: Resolver,
    found: Found,
    slo: str,
    replications: int,
    command: Sequence[str] = (),
) -> Path:
    """Write ``<out>/<name>-capacity-<hash8>/``, whole or not at all, and return it.

    Parameters
    ----------
    scenario
        The scenario before its load and its variants were changed.
    resolve
        Turns paths of the scenario into files.
    """
    loads = [[dict(values), [probe.load for probe in it.probes]] for values, it in found]
    content = [identify(scenario, resolve, 0).content_hash, slo, replications, loads]
    whole = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    folder = out / f"{slug(scenario.name)}-capacity-{whole[:8]}"
    manifest = {
        "format": FORMAT,
        "kind": "capacity",
        "name": scenario.name,
        "status": "succeeded",
        "command": list(command),
        "versions": versions(),
        "seed": scenario.seed,
        "replications": replications,
        "slo": slo,
    }
    with whole_folder(folder) as unfinished:
        (unfinished / SCENARIO).write_text(dump_yaml(to_data(scenario)), encoding="utf-8")
        (unfinished / CAPACITY).write_text(to_json(as_rows(found, slo)), encoding="utf-8")
        (unfinished / MANIFEST).write_text(to_json(manifest), encoding="utf-8")
    return folder


def read_capacity(folder: Path) -> list[dict[str, Any]]:
    """Return what a folder holds, one object per variant.

    Raises
    ------
    InputError
        Where `folder` is none of a capacity search, or its file cannot be read or is no list of objects.
    """
    read_manifest(folder, "capacity")
    rows: object = read_json(folder / CAPACITY)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(Fault("holds no list of variants", file=str(folder / CAPACITY)))
    return rows
