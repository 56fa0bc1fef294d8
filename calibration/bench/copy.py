"""Copies between host and device by block size, and within the host where there is no device.

Blocks go round page-locked buffers that no cache holds; each is a copy of its own, issued from Python one after
another, so that small blocks show what one operation costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration.bench.harness import Options, Parameters, Point, Prepare, Trial, need

REQUIRES: tuple[str, ...] = ()

BLOCKS = (4096, 16384, 32768, 65536, 131072, 2**18, 2**19, 2**20, 2**21, 2**22, 2**24, 2**26, 2**28)
"""Block sizes in bytes."""

QUICK_BLOCKS = (4096, 2**20)

BUFFER_BYTES = 2**28
"""What the blocks of one direction lie in."""

TRIAL_BYTES = {"cpu": 2**26, "cuda": 2**28}
TRIAL_COPIES = 2000
"""A trial ends after so many bytes or copies."""

DIRECTIONS = {"cpu": ("h2h",), "cuda": ("h2d", "d2h", "both")}


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Every direction of the device by block size."""
    return [
        ("copy", {"direction": direction, "block_bytes": block})
        for direction in DIRECTIONS[options.device]
        for block in (QUICK_BLOCKS if options.quick else BLOCKS)
    ]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Prepare copies; the bandwidth of ``both`` counts the bytes of both directions."""
    cuda = options.device == "cuda"
    channels = _cuda_channels() if cuda else {"h2h": _host_channel()}

    def prepare(name: str, parameters: Parameters) -> Point:
        block, direction = int(parameters["block_bytes"]), str(parameters["direction"])
        chosen = [channel for key, channel in channels.items() if direction in (key, "both")]
        count = max(1, min(TRIAL_BYTES[options.device] // block, TRIAL_COPIES))
        return Point("bandwidth", "B/s", _trial(chosen, block, count))

    try:
        yield prepare
    finally:
        if cuda:  # what runs next must not find itself on a stream of ours
            torch = need("torch")
            torch.cuda.set_stream(torch.cuda.default_stream())


@dataclass(frozen=True, slots=True)
class Channel:
    """One direction of copying."""

    target: Any
    """Buffer of `BUFFER_BYTES`."""
    source: Any
    """Another."""
    copy: Callable[[Any, Any], object]
    """Starts the copy of a slice."""
    enter: Callable[[], object] = lambda: None
    """Makes what is started next belong to this channel."""
    finish: Callable[[], object] = lambda: None
    """Waits for all that was started, on any channel."""


def _trial(channels: list[Channel], block: int, count: int) -> Trial:
    places = BUFFER_BYTES // block
    slices = [slice(number % places * block, (number % places + 1) * block) for number in range(count)]
    moves = [
        (channel, channel.target[place], channel.source[place]) for place in slices for channel in channels
    ]
    switching = len(channels) > 1

    def trial() -> float:
        channels[0].finish()
        channels[0].enter()
        start = time.perf_counter()
        for channel, target, source in moves:
            if switching:
                channel.enter()
            channel.copy(target, source)
        channels[0].finish()
        return len(moves) * block / (time.perf_counter() - start)

    return trial


def _host_channel() -> Channel:
    source, target = np.ones(BUFFER_BYTES, np.uint8), np.ones(BUFFER_BYTES, np.uint8)
    return Channel(target, source, np.copyto)


def _cuda_channels() -> dict[str, Channel]:
    torch = need("torch")

    def channel(target: str, source: str) -> Channel:
        stream = torch.cuda.Stream()
        return Channel(
            buffer(target),
            buffer(source),
            copy=lambda target, source: target.copy_(source, non_blocking=True),
            enter=lambda: torch.cuda.set_stream(stream),
            finish=torch.cuda.synchronize,
        )

    def buffer(device: str) -> Any:
        return torch.ones(BUFFER_BYTES, dtype=torch.uint8, device=device, pin_memory=device == "cpu")

    return {"h2d": channel("cuda", "cpu"), "d2h": channel("cpu", "cuda")}
