"""The entries of a scenario that have no fault of their own: what checks across entries look at."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devices.document import Document
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.shapes import fields_of
from simulator.scenario.spec import DeviceSpec, LinkSpec, Scenario, ServiceSpec
from simulator.scenario.validation import validate
from simulator.workloads.spec import WorkloadSpec


@dataclass(frozen=True, slots=True)
class Parts:
    """The entries of a scenario that have no fault of their own."""

    devices: Mapping[str, DeviceSpec]
    """Devices by name."""
    links: Mapping[str, LinkSpec]
    """Links by name."""
    services: Mapping[str, ServiceSpec]
    """Services by name."""
    workloads: Mapping[str, WorkloadSpec]
    """Workloads by name."""
    faults: Mapping[str, FaultSpec]
    """Faults by name."""
    horizon: float | None = None
    """Simulated time at which the run stops."""


def sound_parts(document: Document) -> Parts:
    """Return the parts of a scenario's document that have no fault of their own."""
    data = document.data if isinstance(document.data, dict) else {}
    sections: dict[str, dict[str, Any]] = {}
    for section in ("devices", "links", "services", "workloads", "faults"):
        names = data.get(section)
        hint = typing.get_args(fields_of(Scenario)[section])[1]
        read = (
            {name: validate(hint, document, (section, name))[0] for name in names}
            if isinstance(names, dict)
            else {}
        )
        sections[section] = {name: entry for name, entry in read.items() if entry is not None}
    horizon = (
        validate(fields_of(Scenario)["horizon"], document, ("horizon",))[0] if "horizon" in data else None
    )
    return Parts(**sections, horizon=horizon)
