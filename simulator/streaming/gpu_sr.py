"""How fast a GPU super-resolves (SR), and what that draws: predicted from a network's layers, not measured.

A convolution is taken to be one matrix product whose rows are the pixels (an implicit GEMM), with the rates that the
GPU has for products of an LLM (`simulator.serving.kernels.gemm_s`). Assumed beyond that:

- Frames go one by one, in 16 bits, through kernels that are launched as one graph and tuned for their shapes.
- Feature maps go through device memory, whatever of them a cache would hold: too slow where they are small.
- Channels are padded to multiples of 8, as tensor cores want them.
- An activation is part of its convolution's kernel; additions, concatenations and resizing are kernels of their own.
- Frames come from the decoder in 4:2:0 with 8 bits and go to the encoder so: a kernel each turns them to RGB and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from devices.profiles import NUMBER_FORMATS, GpuProfile
from simulator.scenario.streaming_spec import HelperSpec
from simulator.serving.kernels import gemm_s, tiled
from simulator.streaming.networks import COLOURS, Layer, Network
from simulator.streaming.sr_rates import by_combination

PADDED_CHANNELS = 8
"""Tensor cores work on multiples of so many channels (NVIDIA, Convolutional Layers User's Guide, 16 bits)."""

YUV_BYTES = 1.5
"""Bytes of a pixel between SR and the video engines: 4:2:0, 8 bits."""

FULL_HD = 1080
"""Height of the frames that the rates of video engines are about."""

HOST_FRAMES_PER_S = {"decode": 600.0, "encode": 300.0}
"""Frames of 1920 x 1080 pixels per second where the GPU has no engine: the host's processor does it (assumed)."""


@dataclass(frozen=True, slots=True)
class SrSpeed:
    """SR of one combination on a GPU that does nothing else."""

    frames_per_s: float
    """Rate."""
    power_w: float
    """Power above that of the idle GPU."""


class _Kernel(NamedTuple):
    inputs: float
    """Length of a product's sums; 0: it multiplies nothing."""
    flops: float
    moved_bytes: float
    times: int


def predicted_sr(gpu: GpuProfile, network: Network, width: int, height: int) -> SrSpeed:
    """Return what a GPU is predicted to do with frames of `width` x `height` pixels before SR."""
    number_format = "bf16" if "bf16" in gpu.gemm else "fp32"
    rate, size = gpu.gemm[number_format], NUMBER_FORMATS[number_format] / 8
    bandwidth = gpu.memory_bandwidth_bytes_per_s * rate.memory_efficiency
    time_s = energy_j = 0.0
    for kernel in _kernels(network, width * height, size):
        if kernel.inputs:
            flops_per_s = rate.peak_flops * rate.efficiency
            kernel_s = gemm_s(
                rate, kernel.moved_bytes, kernel.flops, kernel.inputs, 0.0, bandwidth, flops_per_s
            )
        else:
            kernel_s = rate.launch_s + kernel.moved_bytes / bandwidth
        time_s += kernel.times * kernel_s
        work_j = kernel.flops * gpu.joules_per_flop + kernel.moved_bytes * gpu.joules_per_byte
        energy_j += kernel.times * min(work_j, (gpu.tdp_w - gpu.idle_w) * kernel_s)
    return SrSpeed(1.0 / time_s, energy_j / time_s)


def _kernels(network: Network, pixels: int, size: float) -> Iterator[_Kernel]:
    """Yield the kernels of one frame; `size` is the bytes of a value."""
    before: Layer | None = None
    for layer in network.layers:
        rows = pixels * layer.resolution**2
        if layer.kind == "conv":
            inputs = layer.kernel**2 * tiled(layer.inputs / layer.groups, PADDED_CHANNELS)
            outputs = layer.groups * tiled(layer.outputs / layer.groups, PADDED_CHANNELS)
            moved = size * (rows * (layer.inputs + layer.outputs) + layer.parameters)
            yield _Kernel(inputs, 2.0 * rows * inputs * outputs, moved, layer.times)
        elif layer.kind == "elementwise" and not _is_activation(layer, before):
            yield _Kernel(
                0.0, 0.0, size * rows * (layer.operands * layer.inputs + layer.outputs), layer.times
            )
        before = layer
    for frame_pixels in (pixels, pixels * network.scale**2):
        yield _Kernel(0.0, 0.0, frame_pixels * (YUV_BYTES + size * COLOURS), 1)


def _is_activation(layer: Layer, before: Layer | None) -> bool:
    return (
        layer.operands == 1
        and before is not None
        and before.kind == "conv"
        and (before.outputs, before.resolution) == (layer.inputs, layer.resolution)
    )


def helper_sr(spec: HelperSpec, gpu: GpuProfile, combinations: Iterable[str]) -> dict[str, SrSpeed]:
    """Return what a helper's GPU does with each combination that it can do.

    Of rates that the scenario gives nobody knows the power: the board is taken to be at its limit (assumed).
    """
    if spec.network is not None:
        return by_combination(spec.network, combinations, lambda *frame: predicted_sr(gpu, *frame))
    limit_w = gpu.tdp_w - gpu.idle_w
    return {name: SrSpeed(rate, limit_w) for name, rate in (spec.sr_rates or {}).items()}


def video_s_per_frame(gpu: GpuProfile, what: str, height: int, streams: int) -> float:
    """Return how long a GPU's video engine takes for a frame, in s.

    Parameters
    ----------
    gpu
        Its profile.
    what
        ``decode`` or ``encode``.
    height
        Height of the frame, in pixels; time goes with the number of pixels.
    streams
        Streams that the GPU works on; where they outnumber its engines all are taken to share them all the time.
    """
    engine = gpu.video.get(what)
    full_hd_s = 1.0 / HOST_FRAMES_PER_S[what]
    if engine is not None:
        full_hd_s = max(1.0, streams / engine.engines) / engine.frames_per_s
    return full_hd_s * (height / FULL_HD) ** 2
