"""Names in a scenario that must stand for something: profiles, models, engines, devices, links, files.

These checks read the plain data, so that a wrong name is reported even where the entry around it has other
faults; a value of the wrong type is left to `simulator.scenario.validation`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.catalogue import PROFILE_KINDS, load_profile, nearest_version, profile_names
from devices.document import Path_
from devices.files import named_fault
from devices.quantity import nearest
from devices.sourced import unknown_name
from simulator.serving.engines import engine_names
from simulator.serving.models import model_names
from simulator.streaming.networks import is_network, network_names
from simulator.streaming.synthetic_trace import cellular_names

_SECTIONS = ("devices", "links", "services", "workloads", "faults")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
_SCENARIO_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_ONLY = {
    "gpu": ("memory",),
    "storage": ("capacity", "bandwidth", "write_bandwidth", "latency", "link"),
    "phone": ("phone",),
}
"""Keys of a device that apply to one kind alone."""
_ARTICLES = {"gpu": "a GPU", "storage": "a storage device", "phone": "a phone"}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one value of a scenario."""

    path: Path_
    """Where it stands."""
    message: str
    """What is wrong and what is allowed."""
    key: bool = False
    """The key is at fault, not the value."""


def check_references(data: Any) -> Iterator[Problem]:
    """Yield every name in `data` that stands for nothing, and every device or link that nothing uses.

    `data` is what a scenario file says, however wrong.
    """
    if not isinstance(data, dict):
        return
    yield from _user_names(data)
    for name, device in _entries(data, "devices"):
        yield from _device(data, ("devices", name), device)
    for name, link in _entries(data, "links"):
        yield from _profile(("links", name, "profile"), link.get("profile"), ("link",))
    for name, service in _entries(data, "services"):
        yield from _service(data, ("services", name), service)
    for name, workload in _entries(data, "workloads"):
        yield from _workload(data, ("workloads", name), workload)
    for name, fault in _entries(data, "faults"):
        yield from _entry(data, ("faults", name, "device"), fault.get("device"), "devices")
        yield from _entry(data, ("faults", name, "link"), fault.get("link"), "links")
    yield from _prices(data)
    yield from _unused(data)


def _user_names(data: Mapping[str, Any]) -> Iterator[Problem]:
    name = data.get("name")
    if isinstance(name, str) and not _SCENARIO_NAME.fullmatch(name):
        yield Problem(
            ("name",), f"{name[:60]!r} cannot name a folder; allowed: letters, digits, '-', '_' and '.'"
        )
    for section in _SECTIONS:
        written = data.get(section)
        if written == {} and section in ("services", "workloads"):
            yield Problem((section,), "is empty; at least one is needed")
        for entry in written if isinstance(written, dict) else ():
            if not _NAME.fullmatch(entry):
                # A dot would split the paths that --set takes.
                message = f"{entry[:60]!r} cannot be a name; allowed: letters, digits, '-' and '_'"
                yield Problem((section, entry), message, key=True)


def _device(data: Mapping[str, Any], path: Path_, device: Mapping[str, Any]) -> Iterator[Problem]:
    profile = device.get("profile")
    yield from _profile((*path, "profile"), profile, tuple(_ONLY))
    kind = _kind(profile)
    if kind in _ONLY:
        for key in (key for other, keys in _ONLY.items() if other != kind for key in keys):
            if device.get(key) is not None:
                yield Problem((*path, key), f"does not apply to {_ARTICLES[kind]} ({profile})", key=True)
    yield from _entry(data, (*path, "link"), device.get("link"), "links")
    phone = device.get("phone")
    if isinstance(phone, dict):
        yield from _phone(data, (*path, "phone"), phone)


def _phone(data: Mapping[str, Any], path: Path_, phone: Mapping[str, Any]) -> Iterator[Problem]:
    wwan = phone.get("wwan")
    if isinstance(wwan, dict):
        yield from _entry(data, (*path, "wwan", "link"), wwan.get("link"), "links")
    like = wwan.get("like") if isinstance(wwan, dict) else None
    if isinstance(like, str) and like not in cellular_names():
        message = unknown_name("network", like, cellular_names(), "hetsim list networks")
        yield Problem((*path, "wwan", "like"), message)
    if isinstance(npu := phone.get("npu"), dict):
        yield from _profile((*path, "npu", "soc"), npu.get("soc"), ("soc",))
        yield from _sr_network((*path, "npu", "network"), npu.get("network"))


def _sr_network(path: Path_, name: object) -> Iterator[Problem]:
    if isinstance(name, str) and not is_network(name):
        yield Problem(path, unknown_name("SR network", name, network_names()))


def _service(data: Mapping[str, Any], path: Path_, service: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _devices_of(data, (*path, "phones"), service.get("phones"), "phone")
    yield from _devices_of(data, (*path, "kv_tiers"), service.get("kv_tiers"), "storage")
    for name, helper in _entries(service, "helpers"):
        place = (*path, "helpers", name)
        yield from _entry(data, (*place, "gpu"), helper.get("gpu"), "devices")
        yield from _of_kind(data, (*place, "gpu"), helper.get("gpu"), "gpu")
        yield from _entry(data, (*place, "download"), helper.get("download"), "links")
        yield from _entry(data, (*place, "access"), helper.get("access"), "links")
        yield from _sr_network((*place, "network"), helper.get("network"))
    if service.get("kind") == "assistant":
        yield from _places(data, path, service.get("places"))
        return
    model, engine = service.get("model"), service.get("engine")
    if isinstance(model, str) and model not in model_names():
        yield Problem((*path, "model"), unknown_name("model", model, model_names(), "hetsim list models"))
    if isinstance(engine, str) and nearest_version(engine, engine_names()) is None:
        yield Problem((*path, "engine"), unknown_name("engine", engine, engine_names()))
    speculative = service.get("speculative")
    draft = speculative.get("draft_model") if isinstance(speculative, dict) else None
    if isinstance(draft, str) and draft not in model_names():
        message = unknown_name("model", draft, model_names(), "hetsim list models")
        yield Problem((*path, "speculative", "draft_model"), message)
    gpus = service.get("gpus")
    if isinstance(gpus, dict) and not gpus:
        yield Problem((*path, "gpus"), "is empty; at least one device is needed")
    for name, place in _gpu_names(gpus):
        yield from _entry(data, (*path, "gpus", *place), name, "devices")
        yield from _of_kind(data, (*path, "gpus", *place), name, "gpu")
    if isinstance(prefill := service.get("prefill"), dict):
        place = (*path, "prefill")
        yield from _entry(data, (*place, "gpus"), prefill.get("gpus"), "devices")
        yield from _of_kind(data, (*place, "gpus"), prefill.get("gpus"), "gpu")
        yield from _entry(data, (*place, "link"), prefill.get("link"), "links")
    yield from _entry(data, (*path, "cold_start", "weights_from"), _weights_from(service), "devices")
    yield from _of_kind(data, (*path, "cold_start", "weights_from"), _weights_from(service), "storage")


def _weights_from(service: Mapping[str, Any]) -> Any:
    start = service.get("cold_start")
    return start.get("weights_from") if isinstance(start, dict) else None


def _gpu_names(written: Any) -> list[tuple[str, Path_]]:
    """Return the names of a service's GPU devices, and where below its key ``gpus`` each stands."""
    if isinstance(written, dict):
        return [(name, (name,)) for name in written]
    return [(written, ())] if isinstance(written, str) else []


def _places(data: Mapping[str, Any], path: Path_, places: Any) -> Iterator[Problem]:
    """Check the names that an assistant's places give: a chip, LLM services, links."""
    path = (*path, "places")
    for name, place in _entries({"places": places}, "places"):
        yield from _profile((*path, name, "soc"), place.get("soc"), ("soc",))
        yield from _entry(data, (*path, name, "service"), place.get("service"), "services")
        service = dict(_entries(data, "services")).get(str(place.get("service")))
        if service is not None and (kind := service.get("kind")) != "llm":
            message = f"service {place.get('service')!r} is of kind {kind}; allowed: services of kind llm"
            yield Problem((*path, name, "service"), message)
        links = _texts(place.get("links"))
        for i, link in enumerate(links):
            yield from _entry(data, (*path, name, "links", i), link, "links")
            if link in links[:i]:
                yield Problem((*path, name, "links", i), f"{link!r} is listed twice")


def _devices_of(data: Mapping[str, Any], path: Path_, written: Any, kind: str) -> Iterator[Problem]:
    """Check a list of devices of one kind."""
    names = written if isinstance(written, list) else []
    for i, name in enumerate(names):
        yield from _entry(data, (*path, i), name, "devices")
        yield from _of_kind(data, (*path, i), name, kind)
        if name in names[:i]:
            yield Problem((*path, i), f"{name!r} is listed twice")


def _workload(data: Mapping[str, Any], path: Path_, workload: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _entry(data, (*path, "service"), workload.get("service"), "services")
    slo = workload.get("slo")
    if isinstance(slo, dict) and isinstance(name := slo.get("name"), str) and not _NAME.fullmatch(name):
        message = f"{name[:60]!r} cannot be a name; allowed: letters, digits, '-' and '_'"
        yield Problem((*path, "slo", "name"), message)
    stored = workload.get("stored")
    tier = stored.get("tier") if isinstance(stored, dict) else None
    name = str(workload.get("service"))
    service = dict(_entries(data, "services")).get(name)
    if service is not None and isinstance(trace := workload.get("trace"), str):
        takes = "video" if service.get("kind") == "streaming" else "requests"
        if (trace == "video") is not (takes == "video"):
            yield Problem((*path, "service"), f"{name!r} takes {takes}, not what a {trace!r} workload gives")
    if isinstance(tier, str) and service is not None:
        services = dict(_entries(data, "services"))
        places = [services.get(str(place.get("service")), {}) for _, place in _entries(service, "places")]
        tiers = [it for each in (service, *places) for it in _texts(each.get("kv_tiers"))]
        if tier not in tiers:
            message = f"{tier!r} is not a KV tier of service {name!r}"
            near = nearest(tier, tiers)
            hint = f"; nearest: {near}" if near else f"; allowed: {', '.join(tiers) or 'it has none'}"
            yield Problem((*path, "stored", "tier"), message + hint)


def _prices(data: Mapping[str, Any]) -> Iterator[Problem]:
    """What has a price must be a device."""
    prices = _written(data, "accounting").get("prices")
    known = _written(data, "devices")
    for name in prices if isinstance(prices, dict) else ():
        if name not in known:
            yield Problem(
                ("accounting", "prices", name), unknown_name("device", str(name), list(known)), key=True
            )


def _unused(data: Mapping[str, Any]) -> Iterator[Problem]:
    asked = [workload.get("service") for _, workload in _entries(data, "workloads")]
    for name, service in _entries(data, "services"):
        if service.get("kind") == "streaming" and name not in asked:
            yield Problem(("services", name), "no workload gives it a video", key=True)
        if service.get("kind") == "assistant" and name not in asked:
            yield Problem(("services", name), "no workload gives it questions", key=True)
    services = [service for _, service in _entries(data, "services")]
    used = {name for service in services for name, _ in _gpu_names(service.get("gpus"))}
    used.update(it for it in map(_weights_from, services) if isinstance(it, str))
    used.update(
        tier for service in services for key in ("kv_tiers", "phones") for tier in _texts(service.get(key))
    )
    links = {name for _, device in _entries(data, "devices") for name in _links_of(device)}
    for service in services:
        if isinstance(prefill := service.get("prefill"), dict):
            used.update(_texts([prefill.get("gpus")]))
            links.update(_texts([prefill.get("link")]))
        for _, helper in _entries(service, "helpers"):
            used.update(_texts([helper.get("gpu")]))
            links.update(_texts([helper.get("download"), helper.get("access")]))
    places = [place for service in services for _, place in _entries(service, "places")]
    links.update(link for place in places for link in _texts(place.get("links")))
    for section, known, by in (
        ("devices", used, "service"),
        ("links", links, "device or place"),
    ):
        for name in _written(data, section):
            if name not in known:
                yield Problem((section, name), f"no {by} uses it", key=True)


def _links_of(device: Mapping[str, Any]) -> list[str]:
    """Return the links that a device uses: one in front of it, and one that a phone downloads over."""
    phone = device.get("phone")
    wwan = phone.get("wwan") if isinstance(phone, dict) else None
    named = device.get("link"), wwan.get("link") if isinstance(wwan, dict) else None
    return [name for name in named if isinstance(name, str)]


def check_files(data: Any, resolve: Callable[[str], Path]) -> Iterator[Problem]:
    """Yield every path in `data` that is not a file; `resolve` turns a path of the scenario into one."""
    if not isinstance(data, dict):
        return
    places: list[tuple[Path_, Any]] = []
    for name, workload in _entries(data, "workloads"):
        places.append((("workloads", name, "path"), workload.get("path")))
        if isinstance(arrivals := workload.get("arrivals"), dict):
            places.append((("workloads", name, "arrivals", "path"), arrivals.get("path")))
    for section in ("devices", "links"):
        for name, entry in _entries(data, section):
            if isinstance(bandwidth := entry.get("bandwidth"), dict):
                places.append(((section, name, "bandwidth", "path"), bandwidth.get("path")))
    for name, device in _entries(data, "devices"):
        if isinstance(phone := device.get("phone"), dict) and isinstance(wwan := phone.get("wwan"), dict):
            places.append((("devices", name, "phone", "wwan", "path"), wwan.get("path")))
    for place, path in places:
        if place[-2] == "wwan" and isinstance(path, str) and _is_folder(resolve(path)):
            continue  # its files are the traces
        if not isinstance(path, str):
            continue
        where = "beside the scenario or in the working directory"
        if fault := named_fault(resolve(path), path, where, resolve(str(Path(path).parent))):
            yield Problem(place, fault)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _profile(path: Path_, profile: Any, kinds: tuple[str, ...]) -> Iterator[Problem]:
    if not isinstance(profile, str):
        return
    known = [name for kind in kinds for name in profile_names(kind)]
    kind = _kind(profile)
    if kind is None:
        yield Problem(path, unknown_name("device profile", profile, known, "hetsim list devices"))
    elif kind not in kinds:
        yield Problem(path, f"{profile!r} is a {kind} profile; allowed: {' or '.join(kinds)} profiles")


def _of_kind(data: Mapping[str, Any], path: Path_, name: Any, kind: str) -> Iterator[Problem]:
    """Check that the device `name`, where it is known, is of `kind`."""
    device = dict(_entries(data, "devices")).get(str(name))
    its_kind = None if device is None else _kind(device.get("profile"))
    if its_kind is not None and its_kind != kind:
        yield Problem(path, f"device {name!r} is of kind {its_kind}; allowed: devices of kind {kind}")


def _kind(profile: Any) -> str | None:
    """Return the kind of a catalogue profile; None where there is no such profile."""
    if not isinstance(profile, str) or profile not in profile_names():
        return None
    kinds = {cls: kind for kind, cls in PROFILE_KINDS.items()}
    return kinds[type(load_profile(profile))]


def _entry(data: Mapping[str, Any], path: Path_, name: Any, section: str) -> Iterator[Problem]:
    """Check that `name`, where it is a text, is an entry of `section`, where that is a mapping."""
    if (
        isinstance(name, str)
        and isinstance(data.get(section, {}), dict)
        and name not in _written(data, section)
    ):
        known = _written(data, section)
        what = section.removesuffix("s")
        yield Problem(
            path, unknown_name(what, name, known) if known else f"there is no {what} {name!r}, nor any"
        )


def _entries(data: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of a section that are mappings."""
    return [(name, entry) for name, entry in _written(data, section).items() if isinstance(entry, dict)]


def _written(data: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    written = data.get(section)
    return written if isinstance(written, dict) else {}


def _texts(value: Any) -> list[str]:
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
