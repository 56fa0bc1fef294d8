"""What a scenario stands on: every catalogue value with its source, and what the scenario says instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from devices.catalogue import engine_fit, engine_version, load_profile
from devices.document import read_document
from devices.evidence import Evidence, Kind
from devices.phones import PhoneProfile, SocProfile
from devices.profiles import GpuProfile, Profile, StorageProfile
from devices.quantity import format_quantity
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.shapes import default_of, fields_of, quantity_of
from simulator.scenario.spec import BandwidthTrace, BandwidthUniform, DeviceSpec, LinkSpec, Scenario
from simulator.scenario.streaming_spec import (
    Network,
    PhoneSpec,
    RecordedNetwork,
    StreamingService,
    SyntheticNetwork,
)
from simulator.serving.engines import load_engine
from simulator.serving.models import load_model
from simulator.streaming.effective_bitrate import OASIS_EFFECTIVE_BPS
from simulator.streaming.sr_rates import combination_heights
from simulator.streaming.synthetic_trace import load_cellular
from simulator.workloads.spec import MooncakeTrace, Questions, Synthetic, VideoWorkload, WorkloadSpec

KINDS = ("datasheet", "measured", "fitted", "assumed", "scenario")
"""How a value may have come about; ``scenario``: the scenario says it."""


@dataclass(frozen=True, slots=True)
class Citation:
    """One value and what it stands on."""

    owner: str
    """Device, link or service of the scenario that uses it."""
    entry: str
    """Catalogue entry that it is from."""
    field: str
    """Its name there."""
    value: float | None
    """In SI units; None where it is not one number."""
    unit: str
    """SI unit; empty for a ratio or a count."""
    shown: str
    """The value as people read it."""
    kind: Kind | Literal["scenario"]
    """How it came about."""
    source: str
    """Title of the source."""
    url: str = ""
    """Where that can be read."""
    note: str = ""
    """What else a reader must know."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of its interval."""
    valid: str = ""
    """Where it holds; empty: everywhere."""
    error: float | None = None
    """Cross-validated relative error of the fit that it is from."""
    count: bool = False
    """A plain number, not a share."""


def interval_text(it: Citation) -> str:
    """Return a value's interval as people read it; empty where it has none."""
    if it.low is None and it.high is None:
        return ""
    low, high = (
        "?" if end is None else f"{end:g}" if it.count else format_quantity(end, it.unit)
        for end in (it.low, it.high)
    )
    return f"{low} to {high}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model or a workload is from."""

    owner: str
    """Service or workload of the scenario."""
    name: str
    """What it is."""
    source: str
    """Where it is from."""
    url: str = ""
    """Where that can be read."""


def citations(scenario: Scenario) -> list[Citation]:
    """Return every hardware and engine value that a scenario stands on."""
    found: list[Citation] = []
    for name, device in scenario.devices.items():
        profile = load_profile(device.profile)
        said = _said(device, profile)
        found += _profile(name, profile, said)
        if isinstance(profile, GpuProfile):
            found += _gpu(scenario, name, profile)
        elif isinstance(profile, PhoneProfile):
            found += _phone(scenario, name, device, profile)
    for name, link in scenario.links.items():
        profile = load_profile(link.profile)
        found += _profile(name, profile, _said(link, profile))
    for name, assistant in scenario.assistants.items():
        found += _assistant(scenario, name, assistant)
    for name, service in scenario.llm_services.items():
        engine = load_engine(service.engine)
        found += _evidence(name, engine.name, engine.evidence, {}, type(engine))
    return found


def _gpu(scenario: Scenario, name: str, profile: GpuProfile) -> Iterator[Citation]:
    """Yield what a GPU stands on beyond its plain values: products, what engines make of them, video engines."""
    engines = dict.fromkeys(
        it.engine for it in scenario.llm_services.values() if any(name in phase.pool for phase in it.phases)
    )
    for key, rate in profile.gemm.items():
        yield from _evidence(name, profile.name, rate.evidence, {}, type(rate), f"gemm.{key}.")
    for used in dict.fromkeys(engine_fit(profile, engine)[1] for engine in engines):
        if fit := profile.engines.get(used):
            yield from _evidence(name, profile.name, fit.evidence, {}, type(fit), f"engines.{used}.")
    if any(
        it.gpu == name for service in scenario.streaming_services.values() for it in service.helpers.values()
    ):
        for key, video in profile.video.items():
            yield from _evidence(name, profile.name, video.evidence, {}, type(video), f"video.{key}.")


def _phone(scenario: Scenario, name: str, device: DeviceSpec, profile: PhoneProfile) -> Iterator[Citation]:
    """Yield what a phone stands on beyond its plain values: rates of combinations, radios, its chip."""
    spec = device.phone or PhoneSpec()
    services = [it for it in scenario.streaming_services.values() if name in it.phones]
    if spec.npu is not None:
        chip = load_profile(spec.npu.soc)
        assert isinstance(chip, SocProfile)
        yield from _profile(name, chip, {})
        for key, rate in chip.precisions.items():
            yield from _evidence(name, chip.name, rate.evidence, {}, type(rate), f"precisions.{key}.")
    elif spec.sr_rates is None:
        used = {combination for service in services for combination in service.super_resolution}
        for key, sr in profile.sr.items():
            if key in used:
                yield from _evidence(name, profile.name, sr.evidence, {}, type(sr), f"sr.{key}.")
    watching = (f"{spec.radio}-down", "wlan-down", "wlan-up") if services else ()
    asking = [
        f"{place.radio}-{way}"
        for assistant in scenario.assistants.values()
        if name in assistant.phones
        for _, place in assistant.places.services()
        for way in ("up", "down")
    ]
    for key in dict.fromkeys((*watching, *asking)):
        radio = profile.radios[key]
        yield from _evidence(name, profile.name, radio.evidence, {}, type(radio), f"radios.{key}.")
    for owner, service in scenario.streaming_services.items():
        if service.phones[0] == name:  # once per service
            yield from _effective_bitrates(owner, service)


_ASSUMED_OF_ASKING = {
    "prompt_token_bytes": ("B", "Four characters of English text"),
    "answer_token_bytes": ("B", "Every token in an event of its own, with its JSON"),
    "expected_answer_tokens": ("", "Length of answers that predictions are made for"),
}
"""Unit and reason of what an assistant assumes where the scenario says nothing else."""


def _assistant(scenario: Scenario, owner: str, assistant: AssistantService) -> Iterator[Citation]:
    """Yield what an assistant stands on: sizes on the way, declared qualities, rates of the chip's model."""
    places = assistant.places
    for field, (unit, why) in _ASSUMED_OF_ASKING.items():
        value = getattr(assistant, field)
        said = value != default_of(AssistantService, field)
        kind, source = ("scenario", "the scenario file") if said else ("assumed", "Estimate of this project")
        shown = format_quantity(value, unit) if unit else f"{value:g}"
        yield Citation(owner, "assistant", field, value, unit, shown, kind, source, note="" if said else why)  # type: ignore[arg-type]
    for name in ("device", "edge", "cloud"):
        if (place := getattr(places, name)) is not None:
            shown, field = f"{place.quality:g}", f"places.{name}.quality"
            note = "A surrogate: nobody has measured it for this scenario"
            yield Citation(
                owner, "assistant", field, place.quality, "", shown, "assumed", "the scenario file", note=note
            )
    if places.device is not None:
        for soc in dict.fromkeys(places.device.soc_of(scenario.devices[it].phone) for it in assistant.phones):
            chip = load_profile(str(soc))
            assert isinstance(chip, SocProfile)
            model = places.device.model
            rate = chip.llm[model]
            yield from _evidence(owner, chip.name, rate.evidence, {}, type(rate), f"llm.{model}.")


def _effective_bitrates(owner: str, service: StreamingService) -> Iterator[Citation]:
    said = service.effective_bitrates or {}
    for key in service.super_resolution:
        heights = combination_heights(key)
        if key not in said and heights is not None and heights in OASIS_EFFECTIVE_BPS:
            rate = OASIS_EFFECTIVE_BPS[heights] / 8.0
            field = f"effective_bitrates.{key}"
            yield Citation(
                owner, "oasis", field, rate, "B/s", format_quantity(rate, "B/s"), "assumed", _INFERRED
            )


_INFERRED = "Inferred from the QoE values of Jin et al., 'OASIS', MMSys 2024, which does not state them"


def model_sources(scenario: Scenario) -> list[Source]:
    """Return where the models' architectures are from."""
    models = {name: load_model(service.model) for name, service in scenario.llm_services.items()}
    return [Source(name, model.name, model.source, model.url) for name, model in models.items()]


def workload_sources(scenario: Scenario) -> list[Source]:
    """Return where the workloads and the phones' networks are from."""
    networks = [
        _network(f"devices.{name}.phone.wwan", device.phone.wwan)
        for name, device in scenario.devices.items()
        if device.phone is not None and device.phone.wwan is not None
    ]
    return [_workload(name, spec) for name, spec in scenario.workloads.items()] + networks


def assumed_values(scenario: Scenario) -> list[tuple[str, str]]:
    """Return catalogue entry and field of each value that nobody has measured or published."""
    return list(dict.fromkeys((it.entry, it.field) for it in citations(scenario) if it.kind == "assumed"))


def assumed_note(scenarios: Iterable[Scenario]) -> list[str]:
    """Return one line about the assumed values that scenarios stand on; none where there are none."""
    assumed = {value for scenario in scenarios for value in assumed_values(scenario)}
    if not assumed:
        return []
    entries = ", ".join(sorted({entry for entry, _ in assumed}))
    return [f"stands on {len(assumed)} assumed values of {entries} (hetsim cite)"]


def fallbacks(scenario: Scenario) -> list[str]:
    """Return what stands in for engine versions that the catalogue lacks."""
    return [
        f"services.{name}: {note}"
        for name, service in scenario.llm_services.items()
        for gpus in dict.fromkeys(gpus for phase in service.phases for gpus in phase.pool)
        for note in stand_ins(service.engine, scenario.devices[gpus].profile)
    ]


def stand_ins(engine: str, gpu: str) -> list[str]:
    """Return what stands in where an engine version is not in the catalogue, or not fitted on a GPU."""
    notes = []
    overheads = load_engine(engine).name
    if overheads != engine:
        newer = _newer(overheads, engine, "in the catalogue")
        notes.append(f"{engine} is not calibrated; overheads are those of {overheads}{newer}")
    profile = load_profile(gpu)
    if isinstance(profile, GpuProfile):
        used = engine_fit(profile, engine)[1]
        if not used:
            notes.append(f"{engine} is not calibrated on {gpu}; its kernels are taken to run at full rate")
        elif used != engine:
            newer = _newer(used, engine, f"calibrated on {gpu}")
            notes.append(f"{engine} is not calibrated on {gpu}; efficiencies are those of {used}{newer}")
    return notes


def _newer(used: str, asked: str, where: str) -> str:
    """Return the words for a version that stands in although it is newer than the one asked for; else none."""
    return (
        f", which is newer: no older one is {where}" if engine_version(used) > engine_version(asked) else ""
    )


def _said(spec: DeviceSpec | LinkSpec, profile: Profile) -> dict[str, Any]:
    """Return what the scenario says instead of the profile, by the profile's field."""
    read = "read_bandwidth_bytes_per_s" if isinstance(profile, StorageProfile) else "bandwidth_bytes_per_s"
    names = {
        "memory": "memory_bytes",
        "capacity": "capacity_bytes",
        "bandwidth": read,
        "write_bandwidth": "write_bandwidth_bytes_per_s",
        "latency": "latency_s",
    }
    said = {field: getattr(spec, name, None) for name, field in names.items()}
    return {field: value for field, value in said.items() if value is not None}


def _profile(owner: str, profile: Profile, said: Mapping[str, Any]) -> Iterator[Citation]:
    return _evidence(owner, profile.name, profile.evidence, said, type(profile))


def _evidence(
    owner: str,
    entry: str,
    evidence: Mapping[str, Evidence],
    said: Mapping[str, Any],
    cls: type,
    prefix: str = "",
) -> Iterator[Citation]:
    hints = fields_of(cls)
    for field, it in evidence.items():
        if field in said:
            value = said[field]
            number = value if isinstance(value, int | float) else None
            yield Citation(
                owner, entry, field, number, it.unit, _shown(value, it.unit), "scenario", "the scenario file"
            )
            continue
        quantity = quantity_of(hints[field])
        count = quantity is not None and quantity.unit == "" and quantity.high != 1
        yield Citation(
            owner,
            entry,
            prefix + field,
            it.value,
            it.unit,
            f"{it.value:g}" if count else _shown(it.value, it.unit),
            it.kind,
            it.source,
            it.url,
            it.note,
            it.low,
            it.high,
            it.valid,
            it.error,
            count,
        )


def _shown(value: Any, unit: str) -> str:
    if isinstance(value, BandwidthTrace):
        return (
            f"follows {value.path}"
            if value.path
            else f"{len(value.values)} values over {value.times[-1]:g} s"
        )
    if isinstance(value, BandwidthUniform):
        return f"{format_quantity(value.low, unit)} to {format_quantity(value.high, unit)}"
    return format_quantity(value, unit)


def _workload(name: str, spec: WorkloadSpec) -> Source:
    what = (type(spec).__doc__ or "").partition(":")[0]
    if isinstance(spec, Synthetic):
        return Source(name, what, f"this project's generator, {spec.arrivals.process} arrivals")
    if isinstance(spec, Questions):
        figures = read_document(
            (files("simulator") / "workloads" / "questions.yaml").read_text(encoding="utf-8")
        ).data
        return Source(
            name, f"generated questions like {spec.dataset}", f"figures derived from: {figures['source']}"
        )
    if isinstance(spec, VideoWorkload) and spec.path is None:
        return Source(name, "a bitrate ladder", f"the scenario file; {spec.segments} chunks drawn from it")
    if isinstance(spec, MooncakeTrace) and spec.path is None:
        figures = read_document(
            (files("simulator") / "workloads" / "mooncake_conversation.yaml").read_text(encoding="utf-8")
        ).data
        return Source(
            name,
            "embedded synthetic workload",
            f"figures derived from: {figures['source']} ({figures['licence']})",
        )
    return Source(name, what, f"the file {spec.path}")


def _network(owner: str, spec: Network) -> Source:
    if isinstance(spec, SyntheticNetwork):
        network = load_cellular(spec.like)
        chain = network.evidence["chain"]
        return Source(
            owner, f"synthetic, like {network.title}", f"figures derived from: {chain.source}", chain.url
        )
    what = (type(spec).__doc__ or "").partition(":")[0].rstrip(".").lower()
    if isinstance(spec, RecordedNetwork):
        return Source(owner, what, f"the file or folder {spec.path}")
    return Source(owner, what, "the scenario file")
