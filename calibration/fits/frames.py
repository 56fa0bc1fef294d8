"""Super-resolution frames on a processor: the phones' latency form (`simulator.streaming.sr_latency`), fitted here.

A processor has no memory on chip that a program fills itself; its last-level cache takes that place, and how much of
it a program gets is fitted too. Frames have 32 bits per value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calibration.fits.regression import Array, Regression, regress
from calibration.fits.tables import columns, values
from calibration.table import Measurement
from simulator.streaming.networks import load_network
from simulator.streaming.sr_latency import ELEMENT_BYTES, SrWork, sr_work

WIDTH = 4 / ELEMENT_BYTES["float"]
"""Bytes of a 32-bit value over those that the form counts for a float."""

START = {
    "overhead_s": 3e-4,
    "tensor_bandwidth_bytes_per_s": 3e9,
    "ops_per_s": 1e11,
    "vector_bandwidth_bytes_per_s": 1e10,
    "memory_bandwidth_bytes_per_s": 5e9,
    "cache_bytes": 1.6e7,
}
"""Starting values; ``cache_bytes`` is what of the cache holds feature maps."""

PRIORS = {
    "overhead_s": (3e-4, 0.05),
    "tensor_bandwidth_bytes_per_s": (3e9, 0.05),
    "vector_bandwidth_bytes_per_s": (1e10, 0.05),
    "cache_bytes": (1.6e7, 0.05),
}
"""Weak: they decide only where the frames are silent."""


def fit_frames(rows: Sequence[Measurement], bootstraps: int = 0) -> Regression:
    """Fit the latency of SR frames, ``sr`` rows; the whole network is held out at a time."""
    networks = [str(row.parameters["network"]) for row in rows]

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        points = zip(
            table["place"].astype(int), table["input_width_px"], table["input_height_px"], strict=True
        )
        return np.array(
            [
                frame_seconds(constants, networks[place], int(width), int(height))
                for place, width, height in points
            ]
        )

    table = columns(rows, "input_width_px", "input_height_px") | {
        "place": np.arange(len(rows), dtype=np.float64)
    }
    return regress(
        form,
        table,
        values(rows),
        START,
        priors=PRIORS,
        groups=networks,
        folds=len(set(networks)),
        bootstraps=bootstraps,
    )


def frame_seconds(constants: Mapping[str, float], network: str, width: int, height: int) -> float:
    """Return the predicted time of one frame of `width` x `height` pixels that becomes four times as wide, in s."""
    speeds = {name: value for name, value in constants.items() if name != "cache_bytes"}
    return _work(network, width, height, constants["cache_bytes"]).latency_s(**speeds)


def _work(network: str, width: int, height: int, cache_bytes: float) -> SrWork:
    described = load_network(network, 4)
    pixels = width * height * described.scale**2
    return sr_work(described.layers, width, height, "float", cache_bytes / WIDTH, output_pixels=pixels)
