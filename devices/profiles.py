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
from devices.quantity import (
    Bytes,
    BytesPerSecond,
    Count,
    Exponent,
    Flops,
    Growth,
    Joules,
    Multiple,
    OptionalRate,
    Pairs,
    PerSecond,
    Ratio,
    Seconds,
    Watts,
)

NUMBER_FORMATS: Mapping[str, int] = {"fp32": 32, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4}
"""Number formats of matrix products and the bits of a value; fp16 costs what bf16 does."""


@dataclass(frozen=True, slots=True)
class GemmRate:
    """How fast a GPU multiplies matrices in one number format (see `simulator.serving.kernels.gemm_s`).

    A smooth maximum joins reading, arithmetic and the depth of the product::

        gemm_s = launch_s + cast_s + (memory_s^p + compute_s^p + depth_s^p)^(1/p)
    """

    peak_flops: Flops
    """Peak dense rate in FLOP/s (OP/s for int8)."""
    efficiency: Ratio
    """Share of the peak that large products reach."""
    memory_efficiency: Ratio
    """Share of the peak memory bandwidth at which large weights are read."""
    launch_s: Seconds
    """Time of a kernel inside a CUDA graph that does nothing."""
    root_depth_s: Seconds
    """Least time of a product per square root of its inputs: a narrow and deep one has too few tiles for all
    multiprocessors, and one tile walks along its inputs serially (the root is empirical)."""
    cast_bytes: Bytes
    """Bytes moved per activation to bring it into an 8-bit format; 0 for 16 bits."""
    sharpness: Exponent
    """Exponent p of the smooth maximum: the larger, the harder the corner of the roofline."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class EngineFit:
    """What one serving engine version gets out of a GPU's kernels, as multiples of their rates."""

    gemm_share: Multiple
    """Arithmetic rate in the dense layers over that of the GEMM tables."""
    attention_share: Multiple
    """Rate of prefill attention over that of the attention tables."""
    memory_share: Multiple
    """Rate at which weights and KV are read over that of the tables."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


KERNELS_ALONE = EngineFit(1.0, 1.0, 1.0)
"""An engine that was not fitted on a GPU is taken to run its kernels at the rates of the tables (assumed)."""


VIDEO_ENGINES = ("decode", "encode")
"""What a GPU may have engines for."""


@dataclass(frozen=True, slots=True)
class VideoEngine:
    """Fixed-function decoders or encoders of video (NVDEC, NVENC), which take no time of the multiprocessors."""

    engines: Count
    """How many the GPU has; one stream is on one of them."""
    frames_per_s: PerSecond
    """Frames of 1920 x 1080 pixels in H.264 per second and engine."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""


@dataclass(frozen=True, slots=True)
class GpuProfile:
    """A datacentre or consumer GPU, or a CPU that serves in its place."""

    name: str
    """Catalogue name, such as ``a100-80g-sxm``."""
    title: str
    """Name as the vendor writes it."""
    memory_bytes: Bytes
    """Device memory capacity."""
    memory_bandwidth_bytes_per_s: BytesPerSecond
    """Peak memory bandwidth."""
    weight_only_efficiency: Ratio
    """Rate of GEMMs with weights of 8 bits or fewer expanded on the fly, as a share of the 16-bit rate."""
    attention_efficiency: Ratio
    """Share of the peak 16-bit rate that prefill attention reaches."""
    attention_launch_s: Seconds
    """Time of a prefill attention kernel that does nothing, per layer."""
    attention_token_pairs: Pairs
    """Query-key pairs that reading and writing one token costs as much as, in prefill attention."""
    kv_read_efficiency: Ratio
    """Share of the peak memory bandwidth at which decode attention reads KV."""
    kv_read_launch_s: Seconds
    """Time of a decode attention kernel that reads nothing, per layer."""
    kv_read_stream_s: Seconds
    """Time that each stream, one sequence's context of one KV head, adds to it."""
    multiprocessors: Count
    """Units that each work on one tile of a kernel at a time (SMs, compute units, cores)."""
    expert_share: Ratio
    """Arithmetic rate of the grouped products of a mixture of experts over that of dense ones."""
    expert_launch_s: Seconds
    """Time to sort tokens by expert, per layer."""
    allreduce_latency_s: Seconds
    """Time of an all-reduce of nothing between two GPUs."""
    allreduce_hop_s: Seconds
    """What each further GPU adds to it."""
    allreduce_direct_bandwidth_bytes_per_s: OptionalRate
    """Rate at which each GPU reads the messages of the others (small messages); 0: there is no such kernel."""
    allreduce_stage_s: Seconds
    """Time of the second stage of an all-reduce whose sum the GPUs share (large messages)."""
    allreduce_bandwidth_bytes_per_s: BytesPerSecond
    """Bytes of message per second of such an all-reduce between two GPUs."""
    allreduce_growth: Growth
    """Exponent with which its time grows with the other GPUs: about 0 behind a switch that adds, 0.3 in a ring, 1 and
    more where all share one path."""
    idle_w: Watts
    """Power drawn when nothing runs."""
    tdp_w: Watts
    """Board power limit."""
    joules_per_flop: Joules
    """Energy per floating-point operation on top of idle power."""
    joules_per_byte: Joules
    """Energy per byte of device memory traffic on top of idle power."""
    gemm: Mapping[str, GemmRate]
    """Matrix products by number format, of `NUMBER_FORMATS`; a format that is absent has no hardware."""
    engines: Mapping[str, EngineFit]
    """What engines get out of these rates, by version, such as ``vllm-0.6``."""
    video: Mapping[str, VideoEngine] = field(default_factory=dict)
    """Engines for video beside the multiprocessors, of `VIDEO_ENGINES`; what is absent is done by the host."""
    evidence: Mapping[str, Evidence] = field(default_factory=dict, compare=False)
    """Provenance by field name."""

    @property
    def peak_flops(self) -> float:
        """Peak rate of the format that activations are computed in, in FLOP/s: 16 bit, else 32 bit."""
        return self.gemm["bf16" if "bf16" in self.gemm else "fp32"].peak_flops


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
