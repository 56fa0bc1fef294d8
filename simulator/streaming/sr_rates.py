"""How fast the phones of a scenario super-resolve: as measured on the handset, as said, or predicted for a chip."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from devices.errors import InputError
from devices.phones import PhoneProfile
from simulator.scenario.streaming_spec import Npu, PhoneSpec, StreamingService
from simulator.streaming.networks import Network, load_network
from simulator.streaming.sr_latency import load_soc, sr_latency_s

T = TypeVar("T")

ASPECT = 16 / 9
"""Width over height of a picture."""

_COMBINATION = re.compile(r"([1-9][0-9]{1,3})p-([1-9][0-9]{1,3})p")


def combination_heights(name: str) -> tuple[int, int] | None:
    """Return what ``180p-720p`` says: height downloaded, height played; None where it is no such name."""
    match = _COMBINATION.fullmatch(name)
    heights = None if match is None else (int(match[1]), int(match[2]))
    return heights if heights and heights[0] < heights[1] else None


def sr_frames_per_s(spec: PhoneSpec, profile: PhoneProfile, service: StreamingService) -> dict[str, float]:
    """Return the SR rate of the cool phone by combination, without those that it cannot do."""
    if spec.sr_rates is not None:
        rates: Mapping[str, float] = spec.sr_rates
    elif spec.npu is not None:
        rates = _npu_rates(spec.npu, service.super_resolution)
    else:
        rates = {name: rate.frames_per_s for name, rate in profile.sr.items()}
    return {name: spec.sr_scale * rate for name, rate in rates.items()}


def _npu_rates(npu: Npu, combinations: tuple[str, ...]) -> dict[str, float]:
    """Return the rates that a chip is predicted to have."""
    return by_combination(
        npu.network,
        combinations,
        lambda network, width, height: (
            1.0 / sr_latency_s(load_soc(npu.soc), network, width, height, npu.precision)
        ),
    )


def by_combination(
    network: str, combinations: Iterable[str], speed: Callable[[Network, int, int], T]
) -> dict[str, T]:
    """Return how fast something super-resolves by combination, without those that it cannot do.

    Parameters
    ----------
    network
        Name of the SR network; combinations that it has no scale for are left out.
    combinations
        Their names.
    speed
        From the network at a scale, and width and height of a frame before SR, in pixels; raises `InputError` where it
        cannot do that.
    """
    found = {}
    for name in combinations:
        heights = combination_heights(name)
        if heights is None or heights[1] % heights[0]:
            continue
        try:
            scaled = load_network(network, heights[1] // heights[0])
            found[name] = speed(scaled, round(ASPECT * heights[0]), heights[0])
        except InputError:  # no such scale, or no such number format: it cannot do that
            continue
    return found
