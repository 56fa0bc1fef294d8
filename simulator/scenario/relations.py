"""Values of a scenario that must go together: change points, GPU counts, heads, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from devices.catalogue import load_profile, nearest_version, profile_names
from devices.document import Path_
from devices.profiles import GpuProfile
from devices.sourced import unknown_name
from simulator.policies.autoscaling import Autoscaling
from simulator.policies.batching import Batching
from simulator.policies.decoding import Decoding
from simulator.policies.decoding.autoregressive import Autoregressive
from simulator.scenario.assistant_relations import check_assistant
from simulator.scenario.assistant_spec import AssistantService
from simulator.scenario.fault_relations import check_fault
from simulator.scenario.parts import Parts
from simulator.scenario.references import Problem
from simulator.scenario.sharing_relations import check_sharing
from simulator.scenario.sizes import check_sizes
from simulator.scenario.slo_relations import check_slo_classes
from simulator.scenario.spec import (
    BandwidthTrace,
    BandwidthUniform,
    DeviceSpec,
    LlmService,
)
from simulator.scenario.streaming_relations import check_streaming
from simulator.scenario.streaming_spec import StreamingService
from simulator.serving.engines import engine_names
from simulator.serving.models import ModelSpec, load_model, model_names
from simulator.workloads.spec import WorkloadSpec

SHORTEST_DRAW_S = 1e-3
"""Shortest time between two draws of a bandwidth: each one is kept, so that shorter ones would fill memory."""


def check_relations(parts: Parts) -> Iterator[Problem]:
    """Yield every combination of values that cannot be simulated."""
    if parts.horizon == 0:
        yield Problem(("horizon",), "is 0 s; allowed: above 0 s")
    for section, entries in (("devices", parts.devices), ("links", parts.links)):
        for name, entry in entries.items():
            yield from _bandwidth((section, name, "bandwidth"), entry.bandwidth)
    for name, service in parts.services.items():
        if isinstance(service, StreamingService):
            yield from check_streaming(name, service, parts.devices, parts.workloads)
            continue
        if isinstance(service, AssistantService):
            yield from check_assistant(name, service, parts.devices, parts.services)
            continue
        yield from _llm(name, service, parts)
    yield from _shared_gpus(parts)
    yield from check_sharing(parts.devices, parts.services)
    sound: dict[str, WorkloadSpec] = {}
    for name, workload in parts.workloads.items():
        wrong = list(_workload(name, workload))
        yield from wrong
        if not wrong:
            sound[name] = workload
    yield from check_slo_classes(parts.workloads)
    yield from check_sizes(replace(parts, workloads=sound))
    for name, fault in parts.faults.items():
        yield from check_fault(("faults", name), fault, parts.devices, parts.services)


def _llm(name: str, service: LlmService, parts: Parts) -> Iterator[Problem]:
    yield from _other_services(name, service, parts)
    yield from _autoscaling(("services", name), service, parts.devices)
    if not isinstance(service.gpus, str) and service.replicas is not None:
        yield Problem(("services", name, "replicas"), "says again what gpus says; allowed: one of the two")
    for phase, place in zip(
        service.phases, (("services", name), ("services", name, "prefill")), strict=False
    ):
        yield from _parallelism(place, phase)
        for gpus, replicas in phase.pool.items():
            device = parts.devices.get(gpus)
            if device is not None and _is_gpu(device):
                yield from _gpu_count(place, phase, gpus, replicas, device)
                yield from check_precision(place, phase, device)
                yield from check_memory(place, phase, device)
    yield from _prefill(name, service, parts)
    yield from _speculative(name, service, parts)


def _bandwidth(path: Path_, bandwidth: float | BandwidthTrace | BandwidthUniform | None) -> Iterator[Problem]:
    if isinstance(bandwidth, BandwidthUniform):
        if bandwidth.low > bandwidth.high:
            yield Problem((*path, "low"), f"{bandwidth.low:g} B/s is above high ({bandwidth.high:g} B/s)")
        if bandwidth.period < SHORTEST_DRAW_S:
            message = f"is {bandwidth.period:g} s; allowed: {SHORTEST_DRAW_S:g} s and more"
            yield Problem((*path, "period"), message)
    if not isinstance(bandwidth, BandwidthTrace):
        return
    times, values = bandwidth.times, bandwidth.values
    if bandwidth.path is not None:
        if times or values:
            yield Problem(path, "has a path and also times or values; allowed: one of the two")
    elif not times:
        yield Problem(path, "needs a path, or times and values")
    else:
        if times[0] != 0:
            yield Problem((*path, "times", 0), f"is {times[0]:g} s; the first change point must be 0")
        for i in range(1, len(times)):
            if times[i] <= times[i - 1]:
                yield Problem((*path, "times", i), f"{times[i]:g} s does not come after {times[i - 1]:g} s")
        if len(values) != len(times) - 1:
            yield Problem(
                (*path, "values"),
                f"has {len(values)} entries for {len(times)} times; allowed: one fewer than times, "
                "the last of which is the period",
            )


def _parallelism(path: Path_, service: LlmService) -> Iterator[Problem]:
    if service.background_share >= 1.0:
        yield Problem((*path, "background_share"), "is 1: nothing is left for the service; allowed: below 1")
    if service.model not in model_names():
        return
    model, ranks = load_model(service.model), service.tensor_parallel
    place = (*path, "tensor_parallel")
    if model.attention_heads % ranks:
        message = f"{ranks} does not divide the {model.attention_heads} attention heads of {service.model}"
        yield Problem(place, message)
    elif model.kv_heads % ranks and ranks % model.kv_heads:
        yield Problem(
            place, f"{ranks} and the {model.kv_heads} KV heads of {service.model} do not divide evenly"
        )
    if service.pipeline_parallel > model.layers:
        message = (
            f"is {service.pipeline_parallel}; allowed: up to the {model.layers} layers of {service.model}"
        )
        yield Problem((*path, "pipeline_parallel"), message)
    yield from _experts(path, service, model)


def _experts(path: Path_, service: LlmService, model: ModelSpec) -> Iterator[Problem]:
    groups, place = service.expert_parallel, (*path, "expert_parallel")
    if service.expert_imbalance < 1.0:
        yield Problem((*path, "expert_imbalance"), f"is {service.expert_imbalance:g}; allowed: 1 and more")
    if groups == 1:
        if service.expert_imbalance > 1.0:
            message = "has no meaning without expert_parallel above 1"
            yield Problem((*path, "expert_imbalance"), message)
    elif not model.experts:
        yield Problem(place, f"{service.model} has no experts; allowed: 1")
    elif service.tensor_parallel % groups:
        yield Problem(place, f"{groups} does not divide tensor_parallel ({service.tensor_parallel})")
    elif model.experts % groups:
        yield Problem(place, f"{groups} does not divide the {model.experts} experts of {service.model}")


def _other_services(name: str, service: LlmService, parts: Parts) -> Iterator[Problem]:
    """Services that decode a part of another one's answers must be there, and be others."""
    decoding: Decoding = service.policies.decoding  # type: ignore[assignment]
    known = [it for it, other in parts.services.items() if isinstance(other, LlmService) and it != name]
    for other in decoding.services:
        if other not in known:
            message = (
                unknown_name("other LLM service", other, known) if known else "there is no other LLM service"
            )
            yield Problem(("services", name, "policies", "decoding"), message)


def _prefill(name: str, service: LlmService, parts: Parts) -> Iterator[Problem]:
    """What does not go together with replicas that prefill for others."""
    if len(service.phases) == 1:
        return
    path: Path_ = ("services", name, "prefill")
    decoding: Decoding = service.policies.decoding  # type: ignore[assignment]
    autoscaling: Autoscaling = service.policies.autoscaling  # type: ignore[assignment]
    if not isinstance(decoding, Autoregressive) or _decodes_for_others(name, parts):
        message = "answers in parts need the KV of one another, which other replicas have; allowed: policies.decoding"
        yield Problem(path, f"{message} autoregressive, also of services that decode parts here")
    if autoscaling.minimum is not None:
        yield Problem(path, "does not go together with policies.autoscaling; allowed: fixed")


def _speculative(name: str, service: LlmService, parts: Parts) -> Iterator[Problem]:
    """What does not go together with drafts."""
    from simulator.serving.build import own_budget  # noqa: PLC0415 (it imports the scenario's spec)

    spec, path = service.speculative, ("services", name, "speculative")
    if spec is None or spec.draft_model not in model_names():
        return
    if len(service.phases) > 1 or service.pipeline_parallel > 1:
        yield Problem(path, "goes together neither with prefill apart nor with pipeline_parallel above 1")
    if not isinstance(service.policies.decoding, Autoregressive) or _decodes_for_others(name, parts):
        yield Problem(
            path, "answers in parts are decoded token by token; allowed: policies.decoding autoregressive"
        )
    batching: Batching = service.policies.batching  # type: ignore[assignment]
    known = nearest_version(service.engine, engine_names()) is not None
    if batching.varies or (known and own_budget(service) <= spec.draft_tokens):
        message = f"verifies {spec.draft_tokens + 1} tokens per sequence; policies.batching must leave them to a step"
        yield Problem((*path, "draft_tokens"), message)
    draft, ranks = load_model(spec.draft_model), service.tensor_parallel
    if draft.attention_heads % ranks or (draft.kv_heads % ranks and ranks % draft.kv_heads):
        yield Problem((*path, "draft_model"), f"its heads cannot be shared by {ranks} GPUs")


def _decodes_for_others(name: str, parts: Parts) -> bool:
    """Whether another service decodes parts of its answers here."""
    return any(
        isinstance(it, LlmService) and name in it.policies.decoding.services  # type: ignore[attr-defined]
        for it in parts.services.values()
    )


def _gpu_count(
    path: Path_, service: LlmService, gpus: str, replicas: int | None, device: DeviceSpec
) -> Iterator[Problem]:
    if device.count is None:
        return
    ranks = service.replica_gpus
    if ranks * (replicas or 1) > device.count:
        need = f"{replicas} replicas of {ranks} GPUs" if replicas is not None else f"{ranks} GPUs per replica"
        place: Path_ = ("replicas",) if isinstance(service.gpus, str) else ("gpus", gpus)
        yield Problem(
            (*path, *(("tensor_parallel",) if replicas is None else place)),
            f"{need} need {ranks * (replicas or 1)}; {gpus} has {device.count}",
        )


def _autoscaling(path: Path_, service: LlmService, devices: Mapping[str, DeviceSpec]) -> Iterator[Problem]:
    from simulator.serving.build import replica_devices  # noqa: PLC0415 (it imports the scenario's spec)

    policy: Autoscaling = service.policies.autoscaling  # type: ignore[assignment]
    if policy.minimum is not None and all(gpus in devices for gpus in service.pool):
        most = len(replica_devices(service, devices))
        if policy.minimum > most:
            yield Problem(
                (*path, "policies", "autoscaling", "minimum"),
                f"is {policy.minimum}; there are {most} replicas",
            )


def _shared_gpus(parts: Parts) -> Iterator[Problem]:
    """Services on the same GPUs must say how many each takes: otherwise each would take them all."""
    for name, device in parts.devices.items():
        users = {
            user if number == 0 else f"{user}.prefill": phase
            for user, service in parts.services.items()
            if isinstance(service, LlmService)
            for number, phase in enumerate(service.phases)
            if name in phase.pool
        }
        if device.count is None or len(users) < 2:
            continue
        for user, service in users.items():
            if service.pool[name] is None and set(users) - {user, f"{user}.prefill"}:
                yield Problem(
                    ("services", user),
                    f"shares {name} with another service and so must say how many replicas it has",
                )
        need = {user: service.replica_gpus * (service.pool[name] or 1) for user, service in users.items()}
        if max(need.values()) <= device.count < sum(need.values()):
            shares = ", ".join(f"{user} {gpus}" for user, gpus in need.items())
            yield Problem(("devices", name, "count"), f"is {device.count}; its services need more ({shares})")


def check_precision(path: Path_, service: LlmService, device: DeviceSpec) -> Iterator[Problem]:
    """Yield a problem where the GPUs have no arithmetic for the model's weights or activations."""
    from simulator.serving.memory import number_format  # noqa: PLC0415 (it imports the scenario's spec)

    if service.model not in model_names():
        return
    profile = load_profile(device.profile)
    assert isinstance(profile, GpuProfile)
    chosen = number_format(service, load_model(service.model))
    formats = {*profile.gemm, *(("fp16", "fp8", "int8", "int4") if "bf16" in profile.gemm else ())}
    if chosen not in formats:
        message = f"{device.profile} does not compute in {chosen}; allowed: {', '.join(sorted(formats))}"
        yield Problem((*path, "model" if service.precision is None else "precision"), message)


def check_memory(path: Path_, service: LlmService, device: DeviceSpec) -> Iterator[Problem]:
    """Yield a problem where the model does not fit into the memory of its GPUs."""
    from simulator.serving.memory import memory_shortfall_bytes  # noqa: PLC0415 (it imports the scenario's spec)

    drafts = service.speculative
    if not {service.model, *([] if drafts is None else [drafts.draft_model])} <= set(model_names()):
        return
    short = memory_shortfall_bytes(service, device)
    if short > 0:
        memory = device.memory
        if memory is None:
            profile = load_profile(device.profile)
            assert isinstance(profile, GpuProfile)
            memory = profile.memory_bytes
        usable = memory * service.memory_utilization
        yield Problem(
            (*path, "model"),
            f"{service.model!r} does not fit: needs {_gib(usable + short)} per GPU, {_gib(short)} short "
            f"(usable: {_gib(usable)} = memory_utilization {service.memory_utilization:g} of {_gib(memory)})",
        )


def _workload(name: str, workload: WorkloadSpec) -> Iterator[Problem]:
    from simulator.workloads.build import faults  # noqa: PLC0415 (it brings numpy and the readers)

    for fault in faults(workload, name):
        yield Problem(tuple(fault.path.split(".")), fault.message)


def _is_gpu(device: DeviceSpec) -> bool:
    return device.profile in profile_names("gpu")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
