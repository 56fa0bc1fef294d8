"""Does the model fit, and how much KV cache is left?"""

from __future__ import annotations

from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.scenario.spec import DeviceSpec, LlmService
from simulator.serving.models import ModelSpec, load_model
from simulator.serving.step_cost import kv_bytes_per_token_per_group

PRECISION_BITS = {"fp16": 16, "bf16": 16, "fp8": 8}
"""Bits per weight of the precisions that a service may ask for."""


def weight_bits(service: LlmService, model: ModelSpec) -> int:
    """Return the bits per layer weight of a service."""
    return model.weight_bits if service.precision is None else PRECISION_BITS[service.precision]


def kv_budget_bytes(service: LlmService, device: DeviceSpec) -> float:
    """Return the bytes per GPU that are left for KV; negative where the model does not fit."""
    model = load_model(service.model)
    profile = load_profile(device.profile)
    if not isinstance(profile, GpuProfile):
        raise TypeError(f"{device.profile} is not a GPU")
    memory = profile.memory_bytes if device.memory is None else device.memory
    weights = model.weight_bytes(weight_bits(service, model)) / service.tensor_parallel
    return memory * service.memory_utilization - weights - service.activation_memory


def kv_capacity_blocks(service: LlmService, device: DeviceSpec) -> int:
    """Return the number of paged KV blocks that a replica holds."""
    model = load_model(service.model)
    budget = kv_budget_bytes(service, device) * service.tensor_parallel
    block_bytes = kv_bytes_per_token_per_group(model, service.tensor_parallel) * service.block_tokens
    return int(budget // block_bytes)


def memory_shortfall_bytes(service: LlmService, device: DeviceSpec) -> float:
    """Return by how many bytes per GPU the model does not fit; 0 or less where it does.

    A model fits if its weights and one KV block are within the share of memory that the service may use.
    """
    model = load_model(service.model)
    block_bytes = (
        kv_bytes_per_token_per_group(model, service.tensor_parallel)
        * service.block_tokens
        / service.tensor_parallel
    )
    return block_bytes - kv_budget_bytes(service, device)
