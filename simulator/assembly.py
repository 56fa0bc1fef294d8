"""The simulated world, put together from a scenario: devices, services, and who asks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from devices.catalogue import load_profile
from devices.errors import Fault, InputError
from devices.profiles import StorageProfile
from simulator.core import Channel, Environment, Streams, WorkQueue
from simulator.faults.periods import Faults
from simulator.policies.gpu_sharing import GpuSharing
from simulator.scenario.spec import Scenario, reached
from simulator.serving.build import Surroundings, build_service, replica_places
from simulator.serving.feed import Feed
from simulator.serving.service import ServiceRuntime
from simulator.serving.step_cost import StepCost
from simulator.serving.storage import StorageDevice
from simulator.serving.storage_build import build_link, build_storage
from simulator.workloads.build import build
from simulator.workloads.requests import Requests
from simulator.workloads.spec import GraphTrace, Questions, RequestSpec

if TYPE_CHECKING:
    from simulator.assistant.runtime import AssistantRuntime
    from simulator.streaming.service import StreamingRuntime

WORKLOAD_NAMESPACE = 1 << 40
"""Distance between the hash ids of two workloads of a service."""


@dataclass(slots=True)
class World:
    """What a simulation consists of, by the names of the scenario."""

    services: dict[str, ServiceRuntime]
    """LLM services."""
    streaming: dict[str, StreamingRuntime]
    """Streaming services."""
    assistants: dict[str, AssistantRuntime]
    """Assistants."""
    processors: dict[str, list[WorkQueue]]
    """SR on the units of each GPU device that helps phones."""
    storage: dict[str, StorageDevice]
    """Storage devices."""
    feeds: list[Feed] = field(default_factory=list)
    """Workloads of requests."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know of them."""


def assemble(
    env: Environment,
    scenario: Scenario,
    streams: Streams,
    faults: Faults,
    resolve: Callable[[str], Path],
    step_by_step: bool,
    costs: Mapping[str, StepCost],
) -> World:
    """Put the world of a scenario together on the environment `env` (parameters: `simulator.world.simulate`).

    Raises
    ------
    InputError
        For bad files or a scenario that cannot be built.
    """
    workloads = scenario.request_workloads
    requests = {name: build(spec, name, streams.stream, resolve) for name, spec in workloads.items()}
    links = {
        name: build_link(env, name, link, streams, faults, resolve) for name, link in scenario.links.items()
    }
    ports = [
        phase.replica_gpus
        for service in scenario.llm_services.values()
        for phase, _ in replica_places(service, scenario.devices)
    ]
    storage = {
        name: build_storage(env, name, device, links, ports, streams, faults, resolve)
        for name, device in scenario.devices.items()
        if isinstance(load_profile(device.profile), StorageProfile)
    }
    around = Surroundings(
        env,
        scenario.devices,
        storage,
        links,
        streams,
        scenario.record_intervals,
        step_by_step,
        bool(scenario.faults),
    )
    services = _llm_services(around, scenario, requests, costs)
    assistants = {
        name: _assistant(env, scenario, name, services, links, requests, streams)
        for name in scenario.assistants
    }
    processors = _processors(env, scenario)
    _share_gpus(scenario, services, processors)
    streaming = _streaming(env, scenario, streams, resolve, links, processors)
    world = World(services, streaming, assistants, processors, storage)
    _feed(world, scenario, requests)
    return world


def _llm_services(
    around: Surroundings,
    scenario: Scenario,
    requests: Mapping[str, Requests],
    costs: Mapping[str, StepCost],
) -> dict[str, ServiceRuntime]:
    services: dict[str, ServiceRuntime] = {}
    first_port = 0
    for index, (name, service) in enumerate(scenario.llm_services.items()):
        places = replica_places(service, scenario.devices)
        services[name] = build_service(
            around,
            name,
            index,
            service,
            places,
            costs.get(name),
            _prefix_block_tokens(scenario, name, requests),
            first_port,
            name in scenario.graph_services,
        )
        first_port += len(places)
    for runtime in services.values():
        runtime.peers = services
    return services


def _prefix_block_tokens(scenario: Scenario, name: str, requests: Mapping[str, Requests]) -> int:
    """Return the tokens per prefix block of all that an LLM service is asked; 0 where nothing can be shared."""
    # Blocks of a service that decodes parts of another one's answers are those of that one's workloads.
    asked = {
        other
        for other, it in scenario.llm_services.items()
        if other == name or name in it.policies.decoding.services  # type: ignore[attr-defined]
    }
    sizes = {
        size
        for workload, spec in scenario.request_workloads.items()
        if asked & set(reached(scenario.services, spec.service))
        and (size := _block_tokens(spec, requests[workload]))
    }
    if len(sizes) > 1:
        raise InputError(
            Fault(
                f"its workloads have prefix blocks of different sizes: {sorted(sizes)} tokens; allowed: one size",
                f"services.{name}",
            )
        )
    return next(iter(sizes), 0)


def _feed(world: World, scenario: Scenario, requests: Mapping[str, Requests]) -> None:
    """Add the workloads of requests to a world, and store what they say was stored beforehand."""
    for index, (name, spec) in enumerate(scenario.request_workloads.items()):
        stream = requests[name]
        namespace = index * WORKLOAD_NAMESPACE
        asked = world.services.get(spec.service) or world.assistants[spec.service]
        world.feeds.append(Feed(asked, name, stream, namespace, spec.slo))
        world.notes += [f"workloads.{name}: {note}" for note in stream.notes]
        reachable = [world.services[it] for it in reached(scenario.services, spec.service)]
        lost = sum(
            _preload(stream, namespace, runtime)
            for runtime in reachable
            if stream.stored_tier in runtime.tier_names
        )
        if lost:
            world.notes.append(
                f"workloads.{name}: {stream.stored_tier} is too small for all stored prompts; "
                f"{lost} prefix blocks were dropped before the start"
            )


def _processors(env: Environment, scenario: Scenario) -> dict[str, list[WorkQueue]]:
    """Return SR on the units of each GPU device that helps phones, by name."""
    gpus = {
        helper.gpu for service in scenario.streaming_services.values() for helper in service.helpers.values()
    }
    return {
        name: [WorkQueue(env) for _ in range(device.count or 1)]
        for name, device in scenario.devices.items()
        if name in gpus
    }


def _share_gpus(
    scenario: Scenario, services: Mapping[str, ServiceRuntime], processors: Mapping[str, list[WorkQueue]]
) -> None:
    """Let replicas and SR share the GPUs that they have in common: the first replica the first unit, and so on."""
    for name, units in processors.items():
        policy: GpuSharing | None = scenario.devices[name].sharing  # type: ignore[assignment]
        if policy is not None:
            replicas = (it for service in services.values() for it in service.replicas if it.gpus == name)
            for replica, unit in zip(replicas, units, strict=False):  # units that are left only help
                replica.share_gpu(policy, unit)


def _streaming(
    env: Environment,
    scenario: Scenario,
    streams: Streams,
    resolve: Callable[[str], Path],
    links: Mapping[str, tuple[Channel, Channel]],
    processors: Mapping[str, list[WorkQueue]],
) -> dict[str, StreamingRuntime]:
    if not scenario.streaming_services:
        return {}
    from simulator.streaming.group import Shared  # noqa: PLC0415 (only where a scenario streams)
    from simulator.streaming.service import StreamingRuntime  # noqa: PLC0415

    shared = Shared(links, processors)
    return {
        name: StreamingRuntime(env, scenario, name, streams, resolve, shared)
        for name in scenario.streaming_services
    }


def _preload(stream: Requests, namespace: int, runtime: ServiceRuntime) -> int:
    """Put the stored prompts of a workload into a tier of a service; return how many blocks found no room."""
    assert stream.hash_ids is not None
    assert stream.hash_offsets is not None
    assert stream.stored_tokens is not None
    lost = 0
    for first, tokens in zip(stream.hash_offsets.tolist(), stream.stored_tokens.tolist(), strict=False):
        blocks = tokens // stream.hash_block_tokens
        ids = stream.hash_ids[first : first + blocks] + namespace
        lost += runtime.tiers.preload(stream.stored_tier, ids.tolist())
    return lost


def _assistant(
    env: Environment,
    scenario: Scenario,
    name: str,
    services: Mapping[str, ServiceRuntime],
    links: Mapping[str, tuple[Channel, Channel]],
    requests: Mapping[str, Requests],
    streams: Streams,
) -> AssistantRuntime:
    from simulator.assistant.build import build_assistant  # noqa: PLC0415 (only where a scenario has one)

    asked = {it: requests[it] for it, spec in scenario.request_workloads.items() if spec.service == name}
    service = scenario.assistants[name]
    return build_assistant(env, name, service, scenario.devices, services, links, asked, streams)


def _block_tokens(spec: RequestSpec, requests: Requests) -> int:
    """Return the tokens per prefix block of a workload; 0 where nothing of it can be shared."""
    if isinstance(spec, GraphTrace | Questions):
        return spec.hash_block_tokens  # generations share prefixes even where the questions have none
    return requests.hash_block_tokens
