"""What hardware can do: one frozen profile per kind of device.

A profile is data. It is read from ``devices/catalog/*.yaml`` (see `devices.catalogue`), where every value
names its source; the field names here are the keys of those files. All values are in SI base units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from devices.evidence import Evidence
from devices.phones import PhoneProfile, SocProfile
from devices.quantity import Bytes, BytesPerSecond, Flops, Joules, Ratio, Seconds, Watts


@dataclass(frozen=True, slots=True)
class EngineFit:
    """What one serving engine version gets out of one GPU."""

    gemm_efficiency: Ratio
    """Achieved share of the peak rate in the dense layers of a prefill step of 512 or more tokens."""
    fp8_gemm_efficiency: Ratio
    """The same for fp8 weights and activations, as a share of the fp8 peak; 0 where the GPU has no fp8."""
    attention_efficiency: Ratio
    """Achieved share of the peak bf16 rate in attention of prefill chunks over their prefix."""
    memory_efficiency: Ratio
    """Achieved share of the peak memory bandwidth when weights and KV are read."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """A datacentre or consumer GPU."""

    name: str
    """Catalogue name, such as ``a100-80g-sxm``."""
    title: str
    """Name as the vendor writes it."""
    memory_bytes: Bytes
    """Device memory capacity."""
    memory_bandwidth_bytes_per_s: BytesPerSecond
    """Peak memory bandwidth."""
    bf16_flops: Flops
    """Peak dense bf16 (and fp16) tensor rate in FLOP/s."""
    fp8_flops: Flops
    """Peak dense fp8 rate; 0 where the GPU has none and fp8 weights are expanded to bf16 (weight-only)."""
    int8_flops: Flops
    """Peak dense int8 rate in OP/s; 0 where absent."""
    weight_only_efficiency: Ratio
    """Rate of GEMMs with 8-bit weights expanded on the fly, as a share of the bf16 rate."""
    host_bandwidth_bytes_per_s: BytesPerSecond
    """Peak bandwidth of the link to the host, one direction."""
    allreduce_bandwidth_bytes_per_s: BytesPerSecond
    """Bytes of message per second that a large two-GPU all-reduce sustains."""
    allreduce_latency_s: Seconds
    """Time of a small all-reduce."""
    idle_w: Watts
    """Power drawn when nothing runs."""
    tdp_w: Watts
    """Board power limit."""
    joules_per_flop: Joules
    """Energy per floating-point operation on top of idle power."""
    joules_per_byte: Joules
    """Energy per byte of device memory traffic on top of idle power."""
    engines: Mapping[str, EngineFit] = field(default_factory=dict)
    """Fitted efficiencies by engine version, such as ``vllm-0.6``."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class StorageProfile:
    """A tier that can hold KV caches: host DRAM, a disk, an array of disks, a remote store."""

    name: str
    """Catalogue name, such as ``nvme-gen4``."""
    title: str
    """What the tier is, in words."""
    capacity_bytes: Bytes
    """Default capacity."""
    read_bandwidth_bytes_per_s: BytesPerSecond
    """Sequential read bandwidth with large blocks."""
    write_bandwidth_bytes_per_s: BytesPerSecond
    """Sequential write bandwidth with large blocks."""
    latency_s: Seconds
    """Delay before the first byte of a transfer; does not occupy the channel."""
    per_operation_s: Seconds
    """Channel time that each operation (one block) costs beyond its bytes."""
    attachment: Literal["shared", "per_gpu"]
    """``shared``: one channel for all; ``per_gpu``: each GPU has its own, as with host DRAM over PCIe."""
    duplex: Literal["half", "full"]
    """``full``: reads and writes do not slow each other."""
    idle_w: Watts
    """Power drawn when idle."""
    active_w: Watts
    """Power drawn while a transfer runs."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A network link or bus."""

    name: str
    """Catalogue name, such as ``ethernet-100g``."""
    title: str
    """What the link is, in words."""
    bandwidth_bytes_per_s: BytesPerSecond
    """Bandwidth of one direction."""
    latency_s: Seconds
    """One-way delay of the first byte."""
    per_operation_s: Seconds
    """Channel time that each operation (one message) costs beyond its bytes."""
    duplex: Literal["half", "full"]
    """``full``: the directions do not slow each other."""
    active_w: Watts
    """Extra power while a transfer runs, at both ends together."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


Profile = GpuProfile | StorageProfile | LinkProfile | SocProfile | PhoneProfile
