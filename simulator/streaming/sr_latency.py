"""Latency of a super-resolution (SR) network on a phone's neural accelerator.

One frame costs::

    overhead + image bytes / tensor bandwidth
             + sum over layers of max(operations / rate, element-wise bytes / vector bandwidth,
                                      off-chip bytes / memory bandwidth)

A layer's off-chip bytes are its weights and, of each feature map that it reads or writes, what exceeds the
on-chip memory. A tile of 128 x 128 pixels stays on chip, so that the rate decides; at 540p a map of 32 channels
has 17 MB, and memory decides. The constants are fitted per SoC by `calibration.fit_phone_sr`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.catalogue import load_profile, profile_names, unknown_name
from devices.errors import Fault, InputError
from devices.phones import SocProfile
from simulator.streaming.networks import COLOURS, Layer, Network

ELEMENT_BYTES = {"w8a8": 1, "float": 2}
"""Bytes of a weight or activation by number format."""

IMAGE_BYTES = {"w8a8": 1, "float": 4}
"""Bytes per colour of a pixel handed over: a float network takes and gives 32-bit images."""

PRECISIONS = {"w8a8": "w8a8", "int8": "w8a8", "float": "float", "fp16": "float", "float16": "float"}
"""Spellings of the number formats."""

OPS_PER_MAC = 2
"""Operations of one multiply-accumulate."""


@dataclass(frozen=True, slots=True)
class SrWork:
    """What one frame takes, apart from the speed of anything."""

    ops: NDArray[np.float64]
    """Operations of each layer; shape (layers,)."""
    vector_bytes: NDArray[np.float64]
    """Bytes that each element-wise layer reads and writes; shape (layers,)."""
    memory_bytes: NDArray[np.float64]
    """Off-chip bytes of each layer; shape (layers,)."""
    image_bytes: float
    """Bytes of the input and output images."""

    def latency_s(
        self,
        *,
        overhead_s: float,
        tensor_bandwidth_bytes_per_s: float,
        ops_per_s: float,
        vector_bandwidth_bytes_per_s: float,
        memory_bandwidth_bytes_per_s: float,
    ) -> float:
        """Return the latency at the given speeds, in s."""
        layers_s = np.maximum(
            np.maximum(self.ops / ops_per_s, self.vector_bytes / vector_bandwidth_bytes_per_s),
            self.memory_bytes / memory_bandwidth_bytes_per_s,
        )
        return overhead_s + self.image_bytes / tensor_bandwidth_bytes_per_s + float(layers_s.sum())


def sr_latency_s(soc: SocProfile, network: Network, width: int, height: int, precision: str) -> float:
    """Return the latency of one frame, in s.

    Parameters
    ----------
    soc
        The chip; `load_soc` returns one by name.
    network
        The network at its scale.
    width, height
        Size of the input, in pixels.
    precision
        A key of `PRECISIONS`.

    Raises
    ------
    InputError
        Where the size is not positive or the accelerator has no rate for that number format.
    """
    if width < 1 or height < 1:
        raise InputError(Fault(f"an input of {width} x {height} pixels; allowed: at least 1 x 1"))
    if precision not in PRECISIONS:
        raise InputError(Fault(unknown_name("precision", precision, PRECISIONS)))
    used = PRECISIONS[precision]
    if used not in soc.precisions:
        known = ", ".join(soc.precisions)
        raise InputError(Fault(f"{soc.name} has no rate for precision {precision!r}; allowed: {known}"))
    work = sr_work(
        network.layers,
        width,
        height,
        used,
        soc.on_chip_bytes,
        output_pixels=width * height * network.scale**2,
    )
    return work.latency_s(
        overhead_s=soc.overhead_s,
        tensor_bandwidth_bytes_per_s=soc.tensor_bandwidth_bytes_per_s,
        ops_per_s=soc.precisions[used].ops_per_s,
        vector_bandwidth_bytes_per_s=soc.vector_bandwidth_bytes_per_s,
        memory_bandwidth_bytes_per_s=soc.memory_bandwidth_bytes_per_s,
    )


def sr_work(
    layers: tuple[Layer, ...],
    width: int,
    height: int,
    precision: str,
    on_chip_bytes: float,
    *,
    output_pixels: float,
    output_channels: int = COLOURS,
) -> SrWork:
    """Return what one frame of `width` x `height` input pixels takes.

    Parameters
    ----------
    layers
        The network's layers.
    width, height
        Size of the input, in pixels.
    precision
        A key of `ELEMENT_BYTES`.
    on_chip_bytes
        Size of the memory that feature maps may stay in.
    output_pixels, output_channels
        Size of the output.
    """
    size = ELEMENT_BYTES[precision]
    pixels = width * height
    ops, vector_bytes, memory_bytes = [], [], []
    for layer in layers:
        if layer.kind == "shuffle":  # part of handing the image over
            continue
        elements = pixels * layer.resolution**2 * size
        read, written = elements * layer.inputs, elements * layer.outputs
        ops.append(OPS_PER_MAC * pixels * layer.macs_per_pixel)
        vector_bytes.append(
            layer.times * (layer.operands * read + written) if layer.kind == "elementwise" else 0.0
        )
        spilled = layer.operands * max(0.0, read - on_chip_bytes) + max(0.0, written - on_chip_bytes)
        memory_bytes.append(layer.times * (spilled + layer.parameters * size))
    return SrWork(
        np.array(ops),
        np.array(vector_bytes),
        np.array(memory_bytes),
        IMAGE_BYTES[precision] * (pixels * COLOURS + output_pixels * output_channels),
    )


def load_soc(name: str) -> SocProfile:
    """Return the catalogue's SoC called `name`.

    Raises
    ------
    InputError
        Where there is no such SoC; the message names the nearest.
    """
    known = profile_names("soc")
    if name not in known:
        raise InputError(Fault(unknown_name("SoC", name, known)))
    profile = load_profile(name)
    assert isinstance(profile, SocProfile)
    return profile
