"""From an `LlmService` of the scenario to its runtime."""

from __future__ import annotations

from collections.abc import Mapping

from devices.catalogue import engine_fit, load_profile
from devices.errors import Fault, InputError
from devices.profiles import GpuProfile
from simulator.core import Environment, Streams, Table
from simulator.policies.batching import Batching
from simulator.policies.kv_loading import KvLoading
from simulator.policies.recovery import Recovery
from simulator.policies.routing import Routing
from simulator.scenario.spec import DeviceSpec, LlmService
from simulator.serving.engines import load_engine
from simulator.serving.kv_cache import BlockPool
from simulator.serving.kv_manager import KvManager
from simulator.serving.kv_tiers import NAMESPACE, KvTiers
from simulator.serving.memory import kv_capacity_blocks, number_format
from simulator.serving.models import ModelSpec, load_model
from simulator.serving.pipeline_cost import PipelineCost
from simulator.serving.pointers import POINTERS, Pointers
from simulator.serving.prefix_ids import Instructions
from simulator.serving.replica import Replica
from simulator.serving.service import ServiceRuntime
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
    rest = (
        model,
        profile,
        fit,
        engine,
        service.tensor_parallel,
        number_format(service, model),
        budget - own_budget(service),
        service.background_context_tokens,
        service.expert_parallel,
        service.expert_imbalance,
    )
    stages = service.pipeline_parallel
    return StepCost(*rest) if stages == 1 else PipelineCost(stages, *rest)


def token_budget(service: LlmService) -> int:
    """Return the token budget of a step, the background's share included."""
    batching: Batching = service.policies.batching  # type: ignore[assignment]
    return batching.token_budget or int(load_engine(service.engine).default_token_budget)


def own_budget(service: LlmService) -> int:
    """Return the token budget of a step that the scenario's own requests may use; at least 1."""
    return max(1, round(token_budget(service) * (1.0 - service.background_share)))


def stored_token_bytes(service: LlmService, model: ModelSpec) -> float:
    """Return the bytes of one token's KV in a storage tier."""
    return model.kv_bytes_per_token * (service.kv_bits or model.kv_bits) / model.kv_bits


def replica_count(service: LlmService, device: DeviceSpec) -> int:
    """Return the number of replicas: as asked for, else as many as the GPUs allow, else one."""
    if service.replicas is not None:
        return service.replicas
    return 1 if device.count is None else device.count // service.replica_gpus


def build_service(
    env: Environment,
    name: str,
    index: int,
    service: LlmService,
    device: DeviceSpec,
    storage: Mapping[str, StorageDevice],
    prefix_block_tokens: int,
    streams: Streams,
    record_intervals: bool,
    step_by_step: bool,
    cost: StepCost,
    first_port: int,
    graphs: bool,
    faults: bool,
) -> ServiceRuntime:
    """Build replicas, KV caches and router of one service.

    Parameters
    ----------
    index
        Number of the service, by which its prefix blocks are told from those of others.
    storage
        The scenario's storage devices by name.
    prefix_block_tokens
        Tokens per hash id of its workloads; 0 where they carry none.
    first_port
        Number of its first replica among those of all services: each has its own path to storage.
    graphs
        Whether its requests have dependency graphs.
    faults
        Whether the scenario has faults.
    """
    policies = service.policies
    batching: Batching = policies.batching  # type: ignore[assignment]
    kv_loading: KvLoading = policies.kv_loading  # type: ignore[assignment]
    routing: Routing = policies.routing  # type: ignore[assignment]
    recovery: Recovery = policies.recovery  # type: ignore[assignment]
    if prefix_block_tokens % service.block_tokens:
        raise InputError(
            Fault(
                f"prefix blocks of {prefix_block_tokens} tokens are no whole number of KV blocks of "
                f"{service.block_tokens} tokens",
                f"services.{name}.block_tokens",
            )
        )
    model = cost.model
    budget = own_budget(service)
    engine = cost.engine
    sequences = batching.max_sequences or int(engine.default_max_sequences)
    token_bytes = stored_token_bytes(service, model)
    tiers = KvTiers(
        [storage[tier] for tier in service.kv_tiers],
        index * NAMESPACE,
        prefix_block_tokens,
        token_bytes,
        service.io_chunk_tokens * token_bytes,
    )
    runtime = ServiceRuntime(
        env,
        name,
        routing,
        tiers,
        policies.decoding,  # type: ignore[arg-type]
        policies.node_order,  # type: ignore[arg-type]
        Instructions(prefix_block_tokens, service.prefix_cache),
        engine.request_overhead_s,
        recovery,
        graphs,
        faults,
    )
    if record_intervals:
        runtime.intervals, runtime.pointers = Table(INTERVALS), Table(POINTERS)
    for number in range(replica_count(service, device)):
        port = first_port + number
        pool = BlockPool(
            kv_capacity_blocks(service, device, model, cost.gpu),
            prefix_block_tokens // service.block_tokens,
            service.prefix_cache,
            on_evict=lambda ids, port=port: tiers.write(ids, port),  # type: ignore[misc]
        )
        kv = KvManager(
            pool,
            tiers,
            kv_loading,
            cost,
            port,
            service.block_tokens,
            prefix_block_tokens,
            budget,
            service.io_chunk_tokens,
            service.kv_write == "write_through",
        )
        runtime.pool.add(
            Replica(
                env,
                number,
                cost,
                kv,
                batching,
                kv_loading,
                policies.queueing,  # type: ignore[arg-type]
                budget,
                min(sequences, budget),
                service.dequantisation_s_per_token,
                streams.stream(f"{name}/batching/{number}"),
                runtime.finish,
                runtime.progress,
                runtime.intervals,
                None
                if runtime.pointers is None
                else Pointers(runtime.pointers, number, runtime.tier_names, runtime.workload_of),
                step_by_step,
            )
        )
    return runtime
