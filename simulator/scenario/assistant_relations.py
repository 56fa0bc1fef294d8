"""Values of an assistant that must go together: places and the policy, models and chips, radios and handsets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from devices.catalogue import load_profile, profile_names
from devices.document import Path_
from devices.phones import PhoneProfile, SocProfile
from devices.sourced import unknown_name
from simulator.policies.placement import Placement
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.references import Problem
from simulator.scenario.spec import DeviceSpec, ServiceSpec
from simulator.scenario.streaming_spec import PhoneSpec, StreamingService


def check_assistant(
    name: str,
    service: AssistantService,
    devices: Mapping[str, DeviceSpec],
    services: Mapping[str, ServiceSpec],
) -> Iterator[Problem]:
    """Yield every combination of values of an assistant that cannot be simulated.

    Parameters
    ----------
    name
        Of the assistant in the scenario.
    devices, services
        Those of the scenario that have no fault of their own.
    """
    path = ("services", name)
    if not service.phones:
        yield Problem((*path, "phones"), "is empty; at least one device of kind phone is needed")
    places = service.places
    there = [it for it in ("device", "edge", "cloud") if getattr(places, it) is not None]
    if not there:
        yield Problem((*path, "places"), "is empty; at least one of device, edge and cloud is needed")
    placement: Placement = service.policies.placement  # type: ignore[assignment]
    for needed in placement.needs:
        if there and needed not in there:
            message = f"needs the place {needed}; the assistant has: {', '.join(there)}"
            yield Problem((*path, "policies", "placement"), message)
    watching = {it for each in services.values() if isinstance(each, StreamingService) for it in each.phones}
    for device in service.phones:
        spec = devices.get(device)
        if spec is None or spec.profile not in profile_names("phone"):
            continue
        profile = load_profile(spec.profile)
        assert isinstance(profile, PhoneProfile)
        yield from _radios(path, service, profile)
        yield from _chip(path, service, device, spec)
        if spec.phone is not None and device not in watching and replace(spec.phone, npu=None) != PhoneSpec():
            message = "says what only a streaming service reads, and none has these phones; allowed here: npu"
            yield Problem(("devices", device, "phone"), message)


def _radios(path: Path_, service: AssistantService, profile: PhoneProfile) -> Iterator[Problem]:
    known = [it.removesuffix("-up") for it in profile.radios if it.endswith("-up")]
    for name, place in service.places.services():
        if place.radio not in known:
            message = f"{profile.name} has no {place.radio}; allowed: {', '.join(known)}"
            yield Problem((*path, "places", name, "radio"), message)


def _chip(path: Path_, service: AssistantService, device: str, spec: DeviceSpec) -> Iterator[Problem]:
    place = service.places.device
    if place is None:
        return
    soc = place.soc_of(spec.phone)
    at = (*path, "places", "device")
    if soc is None:
        yield Problem(at, f"needs a soc: {device} has no npu that would name one")
    elif soc in profile_names("soc"):
        chip = load_profile(soc)
        assert isinstance(chip, SocProfile)
        if not chip.llm:
            having = [it for it in profile_names("soc") if getattr(load_profile(it), "llm", None)]
            yield Problem(
                at, f"no rate of a language model is known for {soc}; it is for: {', '.join(having)}"
            )
        elif place.model not in chip.llm:
            yield Problem((*at, "model"), unknown_name(f"language model of {soc}", place.model, chip.llm))
