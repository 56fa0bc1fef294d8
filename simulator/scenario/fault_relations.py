"""Faults whose values do not go together, or that strike something which is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from devices.catalogue import PROFILE_KINDS, load_profile, profile_names
from devices.document import Path_
from simulator.scenario.fault_spec import FaultSpec
from simulator.scenario.references import Problem
from simulator.scenario.spec import DeviceSpec, LlmService, ServiceSpec
from simulator.scenario.streaming_spec import StreamingService

SHORTEST_MTBF_S = {"gpu": 1e-3, "storage": 1e-3, "link": 1e-3, "phone": 1.0}
"""Shortest mean time between faults: each one is an event of its own, those of phones are all planned beforehand."""

LEAST_FACTOR = 1e-6
"""Least share of its speed that a slowdown leaves: what is slower has failed."""

TARGET_KINDS = {
    "gpu": ("failure", "slowdown"),
    "storage": ("failure", "outage", "slowdown"),
    "phone": ("failure", "slowdown"),
    "link": ("outage", "slowdown"),
}
"""What can befall what."""


def check_fault(
    path: Path_,
    fault: FaultSpec,
    devices: Mapping[str, DeviceSpec],
    services: Mapping[str, ServiceSpec],
) -> Iterator[Problem]:
    """Yield what is wrong with a fault that has only sound values."""
    yield from _times(path, fault)
    if (fault.device is None) is (fault.link is None):
        which = "neither a device nor a link" if fault.device is None else "both a device and a link"
        yield Problem(path, f"names {which}; allowed: one of the two")
        return
    if fault.kind == "slowdown":
        if fault.factor is None:
            yield Problem((*path, "factor"), "is missing: the share of the speed that is left", key=True)
        elif not LEAST_FACTOR <= fault.factor < 1.0:
            yield Problem((*path, "factor"), f"is {fault.factor:g}; allowed: {LEAST_FACTOR:g} to below 1")
    elif fault.factor is not None:
        yield Problem((*path, "factor"), f"does not apply to kind {fault.kind!r}", key=True)
    target = target_kind(fault, devices)
    if target is None:
        return  # said elsewhere
    if fault.kind not in TARGET_KINDS[target]:
        yield Problem(
            (*path, "kind"),
            f"{fault.kind!r} does not befall a {target}; allowed: {', '.join(TARGET_KINDS[target])}",
        )
    if target == "storage" and fault.kind == "failure":
        yield from _cold_starts(path, str(fault.device), services)
    shortest_s = SHORTEST_MTBF_S[target]
    if fault.mtbf is not None and fault.mtbf < shortest_s:
        yield Problem(
            (*path, "mtbf"), f"is {fault.mtbf:g} s; allowed for a {target}: {shortest_s:g} s and more"
        )
    watching = {it for each in services.values() if isinstance(each, StreamingService) for it in each.phones}
    if target == "phone" and fault.device not in watching:
        message = (
            f"no streaming service has {fault.device!r}: faults of phones that only ask are not modelled"
        )
        yield Problem((*path, "device"), message)
    yield from _unit(path, fault, target, devices, services)


def _times(path: Path_, fault: FaultSpec) -> Iterator[Problem]:
    if (fault.at is None) is (fault.mtbf is None):
        which = "neither at nor mtbf" if fault.at is None else "both at and mtbf"
        yield Problem(path, f"has {which}; allowed: one of the two")
        return
    if fault.at is None:
        if fault.duration is not None:
            yield Problem((*path, "duration"), "goes with at; with mtbf goes mttr", key=True)
        if fault.mttr is None:
            yield Problem((*path, "mttr"), "is missing: mtbf needs a mean time to repair", key=True)
        return
    if fault.mttr is not None:
        yield Problem((*path, "mttr"), "goes with mtbf; with at goes duration", key=True)
    if fault.kind == "outage" and fault.duration is None:
        yield Problem((*path, "duration"), "is missing: what has begun would wait for ever", key=True)


def target_kind(fault: FaultSpec, devices: Mapping[str, DeviceSpec]) -> str | None:
    """Return what a fault befalls, of `TARGET_KINDS`; None where that is not known."""
    if fault.link is not None:
        return "link"
    device = devices.get(str(fault.device))
    if device is None or device.profile not in profile_names():
        return None
    kinds = {cls: kind for kind, cls in PROFILE_KINDS.items()}
    kind = kinds[type(load_profile(device.profile))]
    return kind if kind in TARGET_KINDS else None


def _unit(
    path: Path_,
    fault: FaultSpec,
    target: str,
    devices: Mapping[str, DeviceSpec],
    services: Mapping[str, ServiceSpec],
) -> Iterator[Problem]:
    from simulator.serving.build import replica_devices  # noqa: PLC0415 (it imports the scenario's spec)

    if fault.unit is None:
        return
    if target in ("link", "storage"):
        yield Problem((*path, "unit"), f"does not apply to a {target}, which fails as a whole", key=True)
        return
    device = devices[str(fault.device)]
    if target == "phone":
        count, what = device.count or 1, "phones"
    else:
        users = [
            it
            for it in services.values()
            if isinstance(it, LlmService)
            and all(gpus in devices for phase in it.phases for gpus in phase.pool)
        ]
        count, what = sum(replica_devices(it, devices).count(str(fault.device)) for it in users), "replicas"
        if any(
            it.gpu == fault.device
            for service in services.values()
            if isinstance(service, StreamingService)
            for it in service.helpers.values()
        ):
            count, what = max(count, device.count or 1), "units"
    if fault.unit >= count:
        yield Problem((*path, "unit"), f"is {fault.unit}; {fault.device} has {count} {what}, numbered from 0")


def _cold_starts(path: Path_, device: str, services: Mapping[str, ServiceSpec]) -> Iterator[Problem]:
    """What replicas read their weights from may stand still, but not fail: what they do then is not modelled."""
    for name, service in services.items():
        if isinstance(service, LlmService) and service.cold_start.weights_from == device:
            yield Problem(
                (*path, "kind"),
                f"'failure' does not befall {device!r}, which replicas of {name!r} read their weights from; "
                "allowed: outage, slowdown",
            )
