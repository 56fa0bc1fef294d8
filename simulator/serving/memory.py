"""Does the model fit, and how much KV cache is left?"""

from __future__ import annotations

from devices.catalogue import load_profile
from devices.profiles import NUMBER_FORMATS, GpuProfile
from simulator.scenario.spec import DeviceSpec, LlmService
from simulator.serving.models import ModelSpec, load_model
from simulator.serving.work import kv_bytes_per_token_per_group

_PUBLISHED = {32: "fp32", 16: "bf16", 8: "fp8", 4: "int4"}


def number_format(service: LlmService, model: ModelSpec) -> str:
    """Return the number format of a service's layer weights, of `devices.profiles.NUMBER_FORMATS`."""
    precision = service.precision or _PUBLISHED[model.weight_bits]
    return "bf16" if precision == "fp16" else precision


def draft_model(service: LlmService) -> ModelSpec | None:
    """Return the model that drafts for a service; None: it does not decode speculatively."""
    return None if service.speculative is None else load_model(service.speculative.draft_model)


def _group_token_bytes(service: LlmService, model: ModelSpec) -> float:
    """Return the KV of a token on a replica's GPUs, the draft model's included."""
    draft = draft_model(service)
    more = 0.0 if draft is None else kv_bytes_per_token_per_group(draft, service.tensor_parallel)
    return kv_bytes_per_token_per_group(model, service.tensor_parallel) + more


def weights_bytes(service: LlmService, model: ModelSpec) -> float:
    """Return the bytes of a replica's weights, the draft model's included."""
    weights = model.weight_bytes(NUMBER_FORMATS[number_format(service, model)])
    draft = draft_model(service)
    return weights if draft is None else weights + draft.weight_bytes(draft.weight_bits)


def kv_budget_bytes(service: LlmService, device: DeviceSpec, model: ModelSpec, gpu: GpuProfile) -> float:
    """Return the bytes per GPU that are left for KV; negative where the model does not fit."""
    memory = gpu.memory_bytes if device.memory is None else device.memory
    weights = weights_bytes(service, model) / service.replica_gpus
    return memory * service.memory_utilization - weights - service.activation_memory


def kv_capacity_blocks(
    service: LlmService, device: DeviceSpec, model: ModelSpec | None = None, gpu: GpuProfile | None = None
) -> int:
    """Return the number of paged KV blocks that a replica holds; `model` and `gpu`: instead of the named ones."""
    model = model or load_model(service.model)
    budget = kv_budget_bytes(service, device, model, gpu or _gpu(device)) * service.replica_gpus
    block_bytes = _group_token_bytes(service, model) * service.block_tokens
    return int(budget // block_bytes)


def memory_shortfall_bytes(service: LlmService, device: DeviceSpec) -> float:
    """Return by how many bytes per GPU the model does not fit; 0 or less where it does.

    A model fits if its weights and one KV block are within the share of memory that the service may use.
    """
    model = load_model(service.model)
    tokens = service.block_tokens / service.replica_gpus
    block_bytes = _group_token_bytes(service, model) * tokens
    return block_bytes - kv_budget_bytes(service, device, model, _gpu(device))


def _gpu(device: DeviceSpec) -> GpuProfile:
    profile = load_profile(device.profile)
    if not isinstance(profile, GpuProfile):
        raise TypeError(f"{device.profile} is not a GPU")
    return profile
