"""Convolutional super-resolution networks by input resolution, through torch and through onnxruntime.

Networks are described by their layers, weights are random. A frame goes in whole, batch of one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.bench.clocks import latency_trial
from calibration.bench.harness import Options, Parameters, Point, Prepare, Trial, need
from calibration.bench.transformer import random_tensor

REQUIRES = ("torch",)

RESOLUTIONS = ((128, 128), (320, 180), (480, 270), (640, 360), (854, 480), (960, 540), (1280, 720))
"""Width and height of the frames that go in."""

QUICK_RESOLUTIONS = ((64, 36), (128, 72))


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution of kernel 3 that keeps the resolution."""

    inputs: int
    """Channels in."""
    outputs: int
    """Channels out."""
    relu: bool = False
    """An activation follows."""
    shuffle: int = 1
    """A pixel shuffle by this factor follows."""
    save: bool = False
    """What goes in is kept for a later `add`; the last kept is added first."""
    add: bool = False
    """What was kept last is added to what comes out."""


def quicksrnet(channels: int, middle: int, scale: int) -> list[Conv]:
    """QuickSRNet (Berger et al., 2023): a plain chain, one pixel shuffle at its end."""
    return [
        Conv(3, channels, relu=True),
        *[Conv(channels, channels, relu=True)] * middle,
        Conv(channels, 3 * scale**2, shuffle=scale),
    ]


def edsr(channels: int, blocks: int, scale: int) -> list[Conv]:
    """EDSR (Lim et al., 2017): residual blocks within one residual, upsampling by twos (or by three)."""
    block = [Conv(channels, channels, relu=True, save=True), Conv(channels, channels, add=True)]
    # the outer residual spans all blocks: what enters the first is kept below what each block keeps for itself
    outer = [Conv(channels, channels, relu=True, save=True), *block[1:]]
    factors = {2: (2,), 3: (3,), 4: (2, 2)}[scale]
    return [
        Conv(3, channels),
        *(outer + block * (blocks - 1)),
        Conv(channels, channels),
        *(Conv(channels, channels * factor**2, shuffle=factor) for factor in factors),
        Conv(channels, 3),
    ]
