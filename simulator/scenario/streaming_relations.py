"""Values of a streaming service that must go together: combinations and phones, ladders and heights, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from devices.catalogue import load_profile, profile_names
from devices.document import Path_
from devices.phones import PhoneProfile
from devices.profiles import GpuProfile
from simulator.scenario.references import Problem
from simulator.scenario.spec import DeviceSpec
from simulator.scenario.streaming_spec import LinkNetwork, PhoneSpec, StreamingService
from simulator.streaming.effective_bitrate import OASIS_EFFECTIVE_BPS
from simulator.streaming.gpu_sr import helper_sr
from simulator.streaming.networks import is_network
from simulator.streaming.phone_names import phone_names
from simulator.streaming.sr_rates import combination_heights, sr_frames_per_s
from simulator.workloads.spec import VideoWorkload, WorkloadSpec


def check_streaming(
    name: str,
    service: StreamingService,
    devices: Mapping[str, DeviceSpec],
    workloads: Mapping[str, WorkloadSpec],
) -> Iterator[Problem]:
    """Yield every combination of values of a streaming service that cannot be simulated.

    Parameters
    ----------
    name
        Of the service in the scenario.
    devices, workloads
        Those of the scenario that have no fault of their own.
    """
    path = ("services", name)
    if not service.phones:
        yield Problem((*path, "phones"), "is empty; at least one device of kind phone is needed")
    phones = {}
    for device in service.phones:
        spec = devices.get(device)
        if spec is not None and spec.profile in profile_names("phone"):
            profile = load_profile(spec.profile)
            assert isinstance(profile, PhoneProfile)
            phones[device] = spec.phone or PhoneSpec(), profile
    for device, (phone, profile) in phones.items():
        yield from _phone(("devices", device, "phone"), phone, profile, service)
    fetches = any(helper.download for helper in service.helpers.values())
    fetches = fetches and getattr(service.policies.collaboration, "together", True)
    if (
        len(phones) == len(service.phones)
        and phones
        and not fetches
        and all(phone.wwan is None for phone, _ in phones.values())
    ):
        message = "no phone has a WWAN: nobody could download anything; set devices.NAME.phone.wwan"
        yield Problem((*path, "phones"), message)
    elif len(phones) == len(service.phones) and service.group_size is not None and not fetches:
        yield from _groups(path, service, devices)
    if service.buffer <= 0.0:
        yield Problem((*path, "buffer"), "is 0 s; allowed: above 0 s")
    yield from _helpers(path, service, devices)
    yield from _bound(path, service, {name: spec for name, (spec, _) in phones.items()})
    videos = {
        key: workload
        for key, workload in workloads.items()
        if isinstance(workload, VideoWorkload) and workload.service == name
    }
    if len(videos) > 1:
        yield Problem(path, f"plays several videos ({', '.join(videos)}); allowed: one workload per service")
    video = next(iter(videos.values()), None)
    yield from _combinations(path, service, phones, devices, video)
    yield from _policy_heights(path, service, video)
    if video is not None and service.startup_chunks * video.segment > service.buffer and video.path is None:
        message = f"{service.startup_chunks} chunks of {video.segment:g} s are more than the buffer holds"
        yield Problem((*path, "startup_chunks"), f"{message} ({service.buffer:g} s)")


def _helpers(path: Path_, service: StreamingService, devices: Mapping[str, DeviceSpec]) -> Iterator[Problem]:
    """Check names and rates of helpers."""
    names = {
        name
        for device in service.phones
        if device in devices
        for name in phone_names(device, devices[device])
    }
    for name, helper in service.helpers.items():
        place = (*path, "helpers", name)
        if name in names:
            yield Problem(place, "is the name of a phone too", key=True)
        if (helper.network is None) == (helper.sr_rates is None):
            message = "needs network (its rates are predicted) or sr_rates; give one of the two"
            yield Problem(place, message, key=True)
        for combination in helper.sr_rates or ():
            if combination_heights(combination) is None:
                message = "is no combination; allowed: such as 180p-720p, the second above"
                yield Problem((*place, "sr_rates", combination), message, key=True)


def _bound(path: Path_, service: StreamingService, phones: Mapping[str, PhoneSpec]) -> Iterator[Problem]:
    """Check that an upper bound that is asked for can be computed."""
    if service.upper_bound == "sr_only" and not service.super_resolution:
        yield Problem((*path, "upper_bound"), "is sr_only, but super_resolution is empty; allowed: none, any")
    if service.upper_bound != "none" and service.helpers:
        message = f"is {service.upper_bound}, but the linear programme knows no helpers; allowed: none"
        yield Problem((*path, "upper_bound"), message)
    links = [name for name, phone in phones.items() if isinstance(phone.wwan, LinkNetwork)]
    if service.upper_bound != "none" and links:
        message = f"{', '.join(links)} share a link, of which nobody knows beforehand what others leave"
        yield Problem((*path, "upper_bound"), f"is {service.upper_bound}, but {message}; allowed: none")


def _groups(path: Path_, service: StreamingService, devices: Mapping[str, DeviceSpec]) -> Iterator[Problem]:
    """Check that each group can download."""
    size = service.group_size
    assert size is not None
    counts = {name: devices[name].count or 1 for name in service.phones}
    names = [name for name, count in counts.items() for _ in range(count)]
    for number, first in enumerate(range(0, len(names), size)):
        group = dict.fromkeys(names[first : first + size])
        if all((devices[name].phone or PhoneSpec()).wwan is None for name in group):
            message = f"is {size}, so that group {number} ({', '.join(group)}) has no WWAN: it could download nothing"
            yield Problem((*path, "group_size"), message)


def _combinations(
    path: Path_,
    service: StreamingService,
    phones: Mapping[str, tuple[PhoneSpec, PhoneProfile]],
    devices: Mapping[str, DeviceSpec],
    video: VideoWorkload | None,
) -> Iterator[Problem]:
    known = {name for spec, profile in phones.values() for name in sr_frames_per_s(spec, profile, service)}
    for helper in service.helpers.values():
        gpu = devices[helper.gpu].profile if helper.gpu in devices else ""
        if gpu in profile_names("gpu"):
            profile = load_profile(gpu)
            assert isinstance(profile, GpuProfile)
            known.update(helper_sr(helper, profile, service.super_resolution))
    sound = len(phones) == len(service.phones) and all(
        spec.npu is None or (spec.npu.soc in profile_names("soc") and is_network(spec.npu.network))
        for spec, _ in phones.values()
    )
    for index, name in enumerate(service.super_resolution):
        place = (*path, "super_resolution", index)
        heights = combination_heights(name)
        if heights is None:
            yield Problem(
                place, f"{name!r} is no combination; allowed: such as '180p-720p', the second above"
            )
            continue
        if name in service.super_resolution[:index]:
            yield Problem(place, f"{name!r} is listed twice")
        elif (
            video is not None and video.path is None and heights[0] not in {it.height for it in video.ladder}
        ):
            shown = ", ".join(f"{it.height}p" for it in video.ladder if it.height) or "none is known"
            yield Problem(place, f"the ladder has no height {heights[0]}p; it has: {shown}")
        elif sound and name not in known:
            yield Problem(
                place, f"no phone can run {name!r}; they run: {', '.join(sorted(known)) or 'no SR at all'}"
            )
        elif name not in (service.effective_bitrates or {}) and heights not in OASIS_EFFECTIVE_BPS:
            message = "is missing: OASIS's models have no such combination, so say as what bitrate it looks"
            yield Problem((*path, "effective_bitrates", name), message, key=True)


def _policy_heights(path: Path_, service: StreamingService, video: VideoWorkload | None) -> Iterator[Problem]:
    """Check the combination that a policy is fixed to: its fields ``input_height`` and ``output_height``."""
    offered = dict.fromkeys(filter(None, map(combination_heights, service.super_resolution)))
    for field in ("collaboration", "abr"):
        policy, place = getattr(service.policies, field), (*path, "policies", field)
        if policy is None or (field == "collaboration" and service.policies.abr is not None):
            continue  # its half that picks the combination is not used
        source, target = getattr(policy, "input_height", None), getattr(policy, "output_height", None)
        shown = ", ".join(service.super_resolution) or "it is empty"
        if source is None:
            if target and target not in {heights[1] for heights in offered}:
                yield Problem(place, f"no combination of super_resolution plays {target}p ({shown})")
        elif source != target and (source, target) not in offered:
            yield Problem(place, f"{source}p-{target}p is not one of super_resolution ({shown})")
        elif source == target and video is not None and video.path is None:
            ladder = [step.height for step in video.ladder]
            if source not in ladder:
                yield Problem(place, f"the ladder has no height {source}p; it has: {ladder}")


def _phone(
    path: Path_, phone: PhoneSpec, profile: PhoneProfile, service: StreamingService
) -> Iterator[Problem]:
    if phone.battery <= 0.0:
        yield Problem((*path, "battery"), "is empty; allowed: above 0")
    thermal = phone.thermal
    if thermal.time_constant <= 0.0:
        yield Problem((*path, "thermal", "time_constant"), "is 0 s; allowed: above 0 s")
    if not -60.0 <= thermal.ambient_c < thermal.throttle_c <= thermal.stop_c <= 150.0:
        message = "needs -60 <= ambient_c < throttle_c <= stop_c <= 150 degrees"
        yield Problem((*path, "thermal"), message)
    if phone.npu is not None and phone.sr_rates is not None:
        yield Problem((*path, "npu"), "stands beside sr_rates; allowed: one of the two", key=True)
    if f"{phone.radio}-down" not in profile.radios:
        radios = ", ".join(it.removesuffix("-down") for it in profile.radios if it.endswith("-down"))
        yield Problem((*path, "radio"), f"{profile.name} has no {phone.radio}; allowed: {radios}")
    if phone.leaves is not None and phone.leaves <= phone.joins:
        yield Problem((*path, "leaves"), f"is {phone.leaves:g} s, not after joining at {phone.joins:g} s")
    for index, (one, other) in enumerate(pairwise(phone.moves), start=1):
        if other.at < one.at:
            yield Problem((*path, "moves", index, "at"), f"{other.at:g} s is before {one.at:g} s")
    last_s = 0.0
    for index, absence in enumerate(phone.away):
        end_s = float("inf") if absence.end is None else absence.end
        if not last_s <= absence.start < end_s:
            message = f"from {absence.start:g} to {end_s:g} s; allowed: rising, from {last_s:g} s on"
            yield Problem((*path, "away", index), message)
        last_s = end_s
