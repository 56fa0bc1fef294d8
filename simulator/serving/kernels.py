"""How long the kernels of a step take on a GPU: matrix products, prefill attention, all-reduces.

In a matrix product reading, arithmetic and the walk along the inputs overlap, so that a smooth maximum joins them
(`devices.profiles.GemmRate`). The time is flat in the number of rows as long as reading the weights takes longer
than the arithmetic (the small-batch plateau), and the arithmetic grows in steps, because a kernel works on whole
tiles of rows.

The functions take numbers and arrays alike: the engine and the fits (`calibration.fits.gemm`) share them.
"""

from __future__ import annotations

from typing import Any

from devices.profiles import GemmRate, GpuProfile

TILE_ROWS = 64
"""Rows of the smallest tile of a tensor-core kernel; the arithmetic of a part of a tile costs that of a whole one."""


def tile_rows(number_format: str) -> int:
    """Return the rows of the smallest tile: 32-bit values go through vector units, whose tiles are a few rows."""
    return 1 if number_format == "fp32" else TILE_ROWS


def tiled(rows: Any, tile: int = TILE_ROWS) -> Any:
    """Return `rows` rounded up to whole tiles of `tile` rows."""
    return -(-rows // tile) * tile


def gemm_s(
    rate: GemmRate,
    moved_bytes: Any,
    flops: Any,
    inputs: Any,
    activations: Any,
    bandwidth_bytes_per_s: float,
    flops_per_s: float,
) -> Any:
    """Return the time of one matrix product in s.

    Parameters
    ----------
    rate
        What the GPU makes of the number format.
    moved_bytes
        Bytes of the weights and of the rows read and written.
    flops
        Floating-point operations, rows rounded up to tiles (`tiled`).
    inputs
        Length of the sums: inputs of the layer.
    activations
        Values that come in, rows times inputs.
    bandwidth_bytes_per_s, flops_per_s
        What reading and arithmetic reach.
    """
    power = rate.sharpness
    joined = (
        (moved_bytes / bandwidth_bytes_per_s) ** power
        + (flops / flops_per_s) ** power
        + (rate.root_depth_s * inputs**0.5) ** power
    ) ** (1.0 / power)
    return rate.launch_s + rate.cast_bytes * activations / bandwidth_bytes_per_s + joined


def waves(rows: Any, heads: Any, multiprocessors: Any, tile: int = TILE_ROWS) -> Any:
    """Return the time of prefill attention over that of its pairs spread evenly over the GPU; at least 1.

    A tile of rows of one head walks along all keys on one multiprocessor, so that a last wave which fills the GPU in
    part takes as long as a whole one, and a part of a tile as long as a whole one.
    """
    tiles = heads * tiled(rows, tile) / tile
    return -(-tiles // multiprocessors) * multiprocessors * tile / (heads * rows)


def allreduce_s(gpu: GpuProfile, message_bytes: float, gpus: int) -> float:
    """Return the time in s of an all-reduce of `message_bytes` on each of `gpus` GPUs of one machine.

    Small messages: every GPU reads those of all others and sums them itself. Large ones: the GPUs share the sum,
    which costs a second stage (another kernel or library too: vLLM changes to NCCL at 8 MiB).
    """
    others = gpus - 1
    moved_s = gpu.allreduce_stage_s + (
        message_bytes * others**gpu.allreduce_growth / gpu.allreduce_bandwidth_bytes_per_s
    )
    if gpu.allreduce_direct_bandwidth_bytes_per_s:
        moved_s = min(moved_s, others * message_bytes / gpu.allreduce_direct_bandwidth_bytes_per_s)
    time_s: float = gpu.allreduce_latency_s + gpu.allreduce_hop_s * (others - 1) + moved_s
    return time_s
