"""From a scenario to its results: build the simulated world, run it, collect the records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from devices.catalogue import load_profile
from devices.errors import Fault, InputError, SimulatorError
from devices.profiles import StorageProfile
from simulator.core import Channel, Environment, EventLog, Streams, Table, WorkQueue
from simulator.faults.injector import Injector
from simulator.faults.periods import Faults
from simulator.metrics.accounting import accounting_notes
from simulator.metrics.cautions import cautions
from simulator.metrics.summary import summarize
from simulator.policies.decoding import Decoding
from simulator.policies.decoding.autoregressive import Autoregressive
from simulator.policies.gpu_sharing import GpuSharing
from simulator.scenario.spec import Scenario, reached
from simulator.serving.build import Surroundings, build_service, replica_places
from simulator.serving.feed import Feed
from simulator.serving.models import load_model
from simulator.serving.sequence import FAILED
from simulator.serving.service import ServiceRuntime
from simulator.serving.step_cost import StepCost
from simulator.serving.storage import StorageDevice
from simulator.serving.storage_build import build_link, build_storage
from simulator.totals import DeviceTotals, totals_by_device
from simulator.workloads.build import build
from simulator.workloads.requests import Requests
from simulator.workloads.spec import GraphTrace, Questions, RequestSpec

if TYPE_CHECKING:
    from simulator.assistant.runtime import AssistantRuntime
    from simulator.streaming.group import GroupResult
    from simulator.streaming.service import StreamingRuntime

WORKLOAD_NAMESPACE = 1 << 40
"""Distance between the hash ids of two workloads of a service."""


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """Everything that one run has left behind; every metric derives from it."""

    scenario: Scenario
    """What was simulated."""
    seed: int
    """Root of the random streams."""
    replication: int
    """Number of the replication."""
    simulated_s: float
    """Simulated time at the end."""
    requests: dict[str, Table]
    """Per LLM service: one row per request (`simulator.serving.service.request_schema`)."""
    intervals: dict[str, Table]
    """Per LLM service: one row per run of engine steps (`simulator.serving.build.INTERVALS`)."""
    generations: dict[str, Table]
    """Per LLM service whose requests have dependency graphs: one row per generation
    (`simulator.serving.answer.GENERATIONS`)."""
    devices: dict[str, DeviceTotals]
    """Per device: totals."""
    notes: tuple[str, ...]
    """What a reader must know, such as that a workload is a synthetic stand-in."""
    viewers: dict[str, Table] = field(default_factory=dict)
    """Per streaming service: one row per session and phone (`simulator.streaming.viewing.VIEWER_COLUMNS`)."""
    sessions: dict[str, dict[int, GroupResult]] = field(default_factory=dict)
    """Per streaming service and number of the session: chunks, viewing, phones over time and the log; empty where they
    were not kept (see `simulator.experiments.run_store`)."""
    pointers: dict[str, Table] = field(default_factory=dict)
    """Per LLM service: one row per phase in which KV of a prompt was computed or loaded
    (`simulator.serving.pointers.POINTERS`); kept where `intervals` are."""
    asks: dict[str, Table] = field(default_factory=dict)
    """Per assistant: one row per question (`simulator.assistant.runtime.ASKS`)."""
    faults: Table | None = None
    """One row per occurrence of a fault (`simulator.faults.records.FAULTS`); None where the scenario has none."""
    events: int = 0
    """Events of the clock: what the run took, as its wall time is, and no figure of what was simulated."""

    def summary(self) -> dict[str, object]:
        """Return the summary of the run as plain data: a pure function of scenario, seed and version."""
        return summarize(self)


def simulate(
    scenario: Scenario,
    replication: int = 0,
    resolve: Callable[[str], Path] = Path,
    step_by_step: bool = False,
    costs: Mapping[str, StepCost] = MappingProxyType({}),
    log: EventLog | None = None,
) -> RunResult:
    """Run one scenario.

    Parameters
    ----------
    scenario
        What to simulate.
    replication
        Number of the replication: another one has other random numbers.
    resolve
        Turns a path of the scenario into a file (see `simulator.scenario.load.resolver`).
    step_by_step
        Advance one engine step at a time: slow, for checks of the closed form.
    costs
        Step costs by service, with model and GPU, instead of the catalogue's: for fits and sensitivity studies.
    log
        Gets an entry for everything that happens to a request; None: nothing is logged.

    Raises
    ------
    InputError
        For bad files or a scenario that cannot be built.
    SimulatorError
        Where a policy decides nonsense or the run ends with requests that can never be answered.
    """
    env = Environment()
    env.log = log
    streams = Streams(scenario.seed, replication)
    faults = Faults(scenario.faults, streams)
    world = _build(env, scenario, streams, faults, resolve, step_by_step, costs)
    for feed in world.feeds:
        feed.start()
    for runtime in world.streaming.values():
        runtime.start()
    injector = None
    if scenario.faults:
        last_s = max((feed.last_known_s for feed in world.feeds), default=0.0)
        busy_until_s = last_s if scenario.horizon is None else min(last_s, scenario.horizon)
        injector = Injector(env, scenario, faults, world.services, world.storage, busy_until_s)
        injector.run(scenario.horizon)
        injector.close()
    else:
        env.run(until=scenario.horizon)
    for service in world.services.values():
        service.stop()
    for runtime in world.streaming.values():
        runtime.stop()
        if injector is not None:
            injector.records.extend(runtime.faults)
    for name, asked in (world.services | world.assistants).items():
        unfinished = asked.close()
        if unfinished and scenario.horizon is None:
            raise SimulatorError(
                f"service {name!r} has stopped with {unfinished} requests that it never answered"
            )
    ends_s = [session.end_s for run in world.streaming.values() for session in run.sessions.values()]
    end_s = env.now if world.services or world.assistants else max(ends_s, default=env.now)
    return RunResult(
        scenario=scenario,
        seed=scenario.seed,
        replication=replication,
        simulated_s=end_s,
        requests={name: service.records for name, service in world.services.items()},
        intervals={
            name: service.intervals
            for name, service in world.services.items()
            if service.intervals is not None
        },
        generations={
            name: service.generations
            for name, service in world.services.items()
            if service.generations is not None
        },
        devices=totals_by_device(
            scenario,
            world.services,
            world.storage,
            world.streaming,
            world.assistants,
            world.processors,
            end_s,
        ),
        notes=(
            *world.notes,
            *accounting_notes(scenario),
            *_outcome_notes(scenario, world),
            *(
                note
                for name, service in (world.services | world.assistants).items()
                for note in cautions(scenario, name, service.records)
            ),
            *(note for run in world.streaming.values() for note in run.notes),
        ),
        viewers={name: run.viewers for name, run in world.streaming.items()},
        sessions={name: run.sessions for name, run in world.streaming.items()},
        pointers={
            name: service.pointers for name, service in world.services.items() if service.pointers is not None
        },
        asks={name: assistant.records for name, assistant in world.assistants.items()},
        faults=None if injector is None else injector.records,
        events=env.count_events(),
    )


@dataclass(slots=True)
class _World:
    services: dict[str, ServiceRuntime]
    streaming: dict[str, StreamingRuntime]
    assistants: dict[str, AssistantRuntime]
    processors: dict[str, list[WorkQueue]]
    storage: dict[str, StorageDevice]
    feeds: list[Feed]
    notes: list[str]


def _build(
    env: Environment,
    scenario: Scenario,
    streams: Streams,
    faults: Faults,
    resolve: Callable[[str], Path],
    step_by_step: bool,
    costs: Mapping[str, StepCost],
) -> _World:
    workloads = scenario.request_workloads
    requests = {name: build(spec, name, streams.stream, resolve) for name, spec in workloads.items()}
    links = {
        name: build_link(env, name, link, streams, faults, resolve) for name, link in scenario.links.items()
    }
    replicas = {
        name: replica_places(service, scenario.devices) for name, service in scenario.llm_services.items()
    }
    ports = [phase.replica_gpus for places in replicas.values() for phase, _ in places]
    storage: dict[str, StorageDevice] = {}
    for name, device in scenario.devices.items():
        if isinstance(load_profile(device.profile), StorageProfile):
            storage[name] = build_storage(env, name, device, links, ports, streams, faults, resolve)
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
    services: dict[str, ServiceRuntime] = {}
    first_port = 0
    for index, (name, service) in enumerate(scenario.llm_services.items()):
        # Blocks of a service that decodes parts of another one's answers are those of that one's workloads.
        asked = {
            other
            for other, it in scenario.llm_services.items()
            if other == name or name in it.policies.decoding.services  # type: ignore[attr-defined]
        }
        sizes = {
            size: workload
            for workload, spec in workloads.items()
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
        services[name] = build_service(
            around,
            name,
            index,
            service,
            replicas[name],
            costs.get(name),
            next(iter(sizes), 0),
            first_port,
            name in scenario.graph_services,
        )
        first_port += len(replicas[name])
    for runtime in services.values():
        runtime.peers = services
    assistants = {
        name: _assistant(env, scenario, name, services, links, requests, streams)
        for name in scenario.assistants
    }
    processors = _processors(env, scenario)
    _share_gpus(scenario, services, processors)
    streaming = _streaming(env, scenario, streams, resolve, links, processors)
    world = _World(services, streaming, assistants, processors, storage, [], [])
    for index, (name, spec) in enumerate(workloads.items()):
        stream = requests[name]
        namespace = index * WORKLOAD_NAMESPACE
        asked_service = services.get(spec.service) or assistants[spec.service]
        world.feeds.append(Feed(asked_service, name, stream, namespace, spec.slo))
        world.notes += [f"workloads.{name}: {note}" for note in stream.notes]
        reachable = [services[it] for it in reached(scenario.services, spec.service)]
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
    return world


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


def _outcome_notes(scenario: Scenario, world: _World) -> Iterator[str]:
    """Say what the figures alone would hide."""
    for name, runtime in world.services.items():
        records = runtime.records
        if runtime.oversized:
            yield (
                f"services.{name}: {runtime.oversized} requests are longer than the whole KV cache of a replica: failed"
            )
        given_up = int((records.column("status") == FAILED).sum()) - runtime.oversized
        if given_up:
            yield f"services.{name}: {given_up} requests were lost to faults and not rescued: failed"
        service = scenario.llm_services[name]
        if name not in scenario.graph_services and not isinstance(service.policies.decoding, Autoregressive):
            yield (
                f"services.{name}: its requests have no dependency graphs, so that all are decoded one token after "
                "the other, whatever policies.decoding says"
            )
        decoding: Decoding = service.policies.decoding  # type: ignore[assignment]
        for other in decoding.services:
            yield (
                f"services.{other}: decodes parts of the answers of {name}, which are counted there; the quality "
                "surrogate does not count the size of its model"
            )
        model = load_model(service.model)
        for gpu in {it.gpus: it.cost.gpu for it in runtime.replicas if not it.cost.gpu.tdp_w}.values():
            yield f"services.{name}: the power of {gpu.name} is not known; its energy is left out (0 J)"
        tokens = records.column("input_tokens") + records.column("output_tokens")
        beyond = int((tokens > model.context_tokens).sum())
        if beyond:
            yield (
                f"services.{name}: {beyond} requests exceed the {model.context_tokens} tokens of context that "
                f"{model.name} was trained for; they are simulated all the same"
            )
