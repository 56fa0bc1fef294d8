"""From an `LlmService` of the scenario to its runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from devices.catalogue import engine_fit, load_profile
from devices.errors import Fault, InputError
from devices.profiles import GpuProfile
from simulator.core import Channel, Environment, Streams, Table
from simulator.policies.autoscaling import Autoscaling
from simulator.policies.batching import Batching
from simulator.scenario.spec import DeviceSpec, LlmService
from simulator.serving.autoscaler import Autoscaler
from simulator.serving.decodes import Decodes
from simulator.serving.engines import load_engine
from simulator.serving.forecast import Saturation
from simulator.serving.kv_cache import BlockPool
from simulator.serving.kv_manager import KvManager
from simulator.serving.kv_tiers import NAMESPACE, KvTiers
from simulator.serving.memory import draft_model, kv_capacity_blocks, number_format, weights_bytes
from simulator.serving.models import ModelSpec, load_model
from simulator.serving.pipeline_cost import PipelineCost
from simulator.serving.pointers import POINTERS, Pointers
from simulator.serving.prefix_ids import Instructions
from simulator.serving.replica import Replica
from simulator.serving.replica_pool import ReplicaPool
from simulator.serving.sequence import Sequence
from simulator.serving.service import ServiceRuntime
from simulator.serving.speculative_cost import SpeculativeCost
from simulator.serving.speculative_decodes import SpeculativeDecodes
from simulator.serving.step_cost import StepCost
from simulator.serving.storage import StorageDevice

INTERVALS = {
    "replica": "i",
    "start_s": "d",
    "end_s": "d",
    "steps": "q",
    "decodes": "i",
    "prefill_tokens": "q",
    "waiting": "i",
    "admitted": "i",
    "kv_used_blocks": "q",
    "energy_j": "d",
}
"""Columns of the table of runs: what a replica did between two events."""


def step_cost(service: LlmService, device: DeviceSpec) -> StepCost:
    """Return the step cost of a service on its GPUs."""
    profile = load_profile(device.profile)
    if not isinstance(profile, GpuProfile):
        raise TypeError(f"{device.profile} is not a GPU")
    model = load_model(service.model)
    engine = load_engine(service.engine)
    fit, _ = engine_fit(profile, service.engine)
    budget = token_budget(service)
    draft, speculative = draft_model(service), service.speculative
    cost: Callable[..., StepCost]
    if draft is None or speculative is None:
        cost = StepCost if service.pipeline_parallel == 1 else PipelineCost
    else:
        own_format = number_format(replace(service, precision=None), draft)
        drafting = StepCost(draft, profile, fit, engine, service.tensor_parallel, own_format)
        cost = partial(SpeculativeCost, drafting, speculative.draft_tokens, speculative.acceptance)
    return cost(
        model,
        profile,
        fit,
        engine,
        tensor_parallel=service.tensor_parallel,
        number_format=number_format(service, model),
        background_tokens=budget - own_budget(service),
        background_context_tokens=service.background_context_tokens,
        expert_parallel=service.expert_parallel,
        expert_imbalance=service.expert_imbalance,
        **({} if speculative is not None else {"stages": service.pipeline_parallel}),
    )


def token_budget(service: LlmService) -> int:
    """Return the token budget of a step, the background's share included."""
    batching: Batching = service.policies.batching  # type: ignore[assignment]
    return batching.token_budget or int(load_engine(service.engine).default_token_budget)


def own_budget(service: LlmService) -> int:
    """Return the token budget of a step that the scenario's own requests may use; at least 1."""
    return max(1, round(token_budget(service) * (1.0 - service.background_share)))


def stored_token_bytes(service: LlmService, model: ModelSpec) -> float:
    """Return the bytes of one token's KV in a storage tier, the draft model's included."""
    models = [it for it in (model, draft_model(service)) if it is not None]
    return sum(it.kv_bytes_per_token * (service.kv_bits or it.kv_bits) / it.kv_bits for it in models)


def replica_places(service: LlmService, devices: Mapping[str, DeviceSpec]) -> list[tuple[LlmService, str]]:
    """Return phase of the service (`LlmService.phases`) and GPU device of each replica, in the order of their numbers.

    There are as many as asked for, else as many as the GPUs allow that no other phase takes, else one.
    """
    placed: list[tuple[LlmService, str]] = []
    for phase in service.phases:
        for name, replicas in phase.pool.items():
            count = devices[name].count
            taken = sum(it.replica_gpus * (it.pool.get(name) or 0) for it in service.phases)
            free = 1 if count is None else (count - taken) // phase.replica_gpus
            placed += [(phase, name)] * (replicas or max(1, free))
    return placed


def replica_devices(service: LlmService, devices: Mapping[str, DeviceSpec]) -> list[str]:
    """Return the GPU device of each replica."""
    return [name for _, name in replica_places(service, devices)]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What replicas of one phase on the same device have in common."""

    phase: LlmService
    gpus: str
    cost: StepCost
    kv_blocks: int
    full: Saturation


def _kinds(
    devices: Mapping[str, DeviceSpec],
    places: Iterable[tuple[LlmService, str]],
    cost: StepCost | None,
    decoding: LlmService | None,
) -> list[_Kind]:
    """Return the kind of each replica; `cost`: instead of the catalogue's; `decoding`: the phase that does no more."""
    kinds: dict[tuple[int, str], _Kind] = {}
    found = []
    for phase, gpus in places:
        key = id(phase), gpus
        if key not in kinds:
            own = cost or step_cost(phase, devices[gpus])
            blocks = kv_capacity_blocks(phase, devices[gpus], own.model, own.gpu)
            tokens = blocks * phase.block_tokens
            slots = _max_sequences(phase, own)
            full = Saturation(own, own_budget(phase), slots, tokens, prefills=phase is not decoding)
            kinds[key] = _Kind(phase, gpus, own, blocks, full)
        found.append(kinds[key])
    return found


def _max_sequences(service: LlmService, cost: StepCost) -> int:
    """Return how many sequences a replica admits at most."""
    batching: Batching = service.policies.batching  # type: ignore[assignment]
    sequences = batching.max_sequences or int(cost.engine.default_max_sequences)
    width = 1 if service.speculative is None else service.speculative.draft_tokens + 1
    return max(1, min(sequences, own_budget(service) // width))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is built into."""

    env: Environment
    """The simulation's environment."""
    devices: Mapping[str, DeviceSpec]
    """The scenario's devices by name."""
    storage: Mapping[str, StorageDevice]
    """Its storage devices by name."""
    links: Mapping[str, tuple[Channel, Channel]]
    """Channels of its links by name, there and back."""
    streams: Streams
    """Its random streams."""
    record_intervals: bool
    """Keep a row per run of engine steps."""
    step_by_step: bool
    """Advance one engine step at a time."""
    faults: bool
    """Whether anything may fail."""


def build_service(
    around: Surroundings,
    name: str,
    index: int,
    service: LlmService,
    places: Several[tuple[LlmService, str]],
    cost: StepCost | None,
    prefix_block_tokens: int,
    first_port: int,
    graphs: bool,
) -> ServiceRuntime:
    """Build replicas, KV caches and router of one service.

    Parameters
    ----------
    around
        What it is built into.
    name, index
        Name of the service, and its number, by which its prefix blocks are told from those of others.
    service
        What the scenario says.
    places
        Where its replicas are (`replica_places`).
    cost
        Step cost instead of the catalogue's.
    prefix_block_tokens
        Tokens per hash id of its workloads; 0 where they carry none.
    first_port
        Number of its first replica among those of all services: each has its own path to storage.
    graphs
        Whether its requests have dependency graphs.
    """
    if prefix_block_tokens % service.block_tokens:
        raise InputError(
            Fault(
                f"prefix blocks of {prefix_block_tokens} tokens are no whole number of KV blocks of "
                f"{service.block_tokens} tokens",
                f"services.{name}.block_tokens",
            )
        )
    policies = service.policies
    decoding = places[0][0] if service.prefill is not None and len(service.phases) > 1 else None
    kinds = _kinds(around.devices, places, cost, decoding)
    cost = kinds[0].cost
    token_bytes = stored_token_bytes(service, cost.model)
    operation_bytes = service.io_chunk_tokens * token_bytes
    stores = [around.storage[tier] for tier in service.kv_tiers]
    tiers = KvTiers(stores, index * NAMESPACE, prefix_block_tokens, token_bytes, operation_bytes)
    prefill = service.prefill if len(service.phases) > 1 else None
    runtime = ServiceRuntime(
        around.env,
        name,
        policies.routing,  # type: ignore[arg-type]
        tiers,
        policies.decoding,  # type: ignore[arg-type]
        policies.node_order,  # type: ignore[arg-type]
        Instructions(prefix_block_tokens, service.prefix_cache),
        cost.engine.request_overhead_s,
        policies.recovery,  # type: ignore[arg-type]
        graphs,
        around.faults,
        prefill is not None,
    )
    if around.record_intervals:
        runtime.intervals, runtime.pointers = Table(INTERVALS), Table(POINTERS)
    prefilling, on_prefilled = runtime.pool, None
    if prefill is not None:
        prefilling = ReplicaPool(policies.routing)  # type: ignore[arg-type]
        channel, _ = around.links[prefill.link]
        on_prefilled = runtime.prefill_apart(prefilling, channel, cost.model.kv_bytes_per_token)
    for number, kind in enumerate(kinds):
        port = first_port + number
        if prefill is not None and kind.phase is kinds[0].phase:  # decodes only: it shares and stores nothing
            bare = KvTiers([], index * NAMESPACE, 0, token_bytes, operation_bytes)
            runtime.pool.add(_replica(around, runtime, kind, number, port, bare, None))
        else:
            prefilling.add(_replica(around, runtime, kind, number, port, tiers, on_prefilled))
    autoscaling: Autoscaling = policies.autoscaling  # type: ignore[assignment]
    if autoscaling.minimum is not None:
        start = service.cold_start
        runtime.autoscaler = Autoscaler(
            around.env,
            runtime.pool,
            autoscaling,
            start.startup,
            weights_bytes(service, cost.model),
            None if start.weights_from is None else around.storage[start.weights_from],
            first_port,
            lambda: runtime.outstanding_requests,
            runtime.rescues.recover,
        )
    return runtime


def _replica(
    around: Surroundings,
    runtime: ServiceRuntime,
    kind: _Kind,
    number: int,
    port: int,
    tiers: KvTiers,
    on_prefilled: Callable[[Replica, Sequence], None] | None,
) -> Replica:
    """Build replica `number` of a service."""
    service, cost = kind.phase, kind.cost
    policies = service.policies
    budget, prefix_block_tokens = own_budget(service), tiers.block_tokens
    pool = BlockPool(
        kind.kv_blocks,
        prefix_block_tokens // service.block_tokens,
        service.prefix_cache,
        on_evict=lambda ids: tiers.write(ids, port),
    )
    kv = KvManager(
        pool,
        tiers,
        policies.kv_loading,  # type: ignore[arg-type]
        cost,
        port,
        service.block_tokens,
        prefix_block_tokens,
        budget,
        service.io_chunk_tokens,
        service.kv_write == "write_through",
        0 if service.speculative is None else service.speculative.draft_tokens,
    )
    pointers = None
    if runtime.pointers is not None:
        pointers = Pointers(runtime.pointers, number, runtime.tier_names, runtime.workload_of)
    return Replica(
        around.env,
        number,
        kind.gpus,
        cost,
        kv,
        policies.batching,  # type: ignore[arg-type]
        policies.kv_loading,  # type: ignore[arg-type]
        policies.queueing,  # type: ignore[arg-type]
        budget,
        _max_sequences(service, cost),
        service.dequantisation_s_per_token,
        around.streams.stream(f"{runtime.name}/batching/{number}"),
        kind.full,
        runtime.finish,
        runtime.progress,
        runtime.intervals,
        pointers,
        around.step_by_step,
        on_prefilled,
        _speculative_decodes(around, runtime, service, kv),
    )


def _speculative_decodes(
    around: Surroundings, runtime: ServiceRuntime, service: LlmService, kv: KvManager
) -> Decodes | None:
    """Return the decodes of a replica with drafts; each request has its own luck, whoever decodes it and when."""
    spec = service.speculative
    if spec is None:
        return None

    def luck(sequence: Sequence) -> np.random.Generator:
        request = f"{runtime.workload_of(sequence)}/{sequence.index}/{sequence.generated_tokens}"
        return around.streams.stream(f"{runtime.name}/speculative/{request}")

    return SpeculativeDecodes(kv.block_tokens, kv.pool.chunk_blocks, spec.draft_tokens, spec.acceptance, luck)
