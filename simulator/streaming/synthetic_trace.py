"""Synthetic network traces: sessions on networks with the statistics of recorded ones, without any download.

One file per network in ``simulator/streaming/catalog/cellular``, written by ``calibration.fits.network_traces``;
files of one's own lie in the subfolder ``cellular`` of the folders in ``HETSIM_DEVICES``.
"""

from __future__ import annotations

import math
from bisect import bisect
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from devices.catalogue import catalogue_files
from devices.errors import Fault, InputError
from devices.sourced import unknown_name
from simulator.streaming.markov_file import read_markov_network
from simulator.streaming.markov_network import Floats, MarkovNetwork
from simulator.streaming.network_trace import NetworkTrace

__all__ = ["MarkovNetwork", "cellular_file", "cellular_names", "load_cellular", "markov_trace"]

PERIOD_S = 1.0
"""Length of a period of synthetic traces: the chains make one move a second."""

_FOLDER = Path(__file__).parent / "catalog" / "cellular"


def cellular_names() -> list[str]:
    """Return the names of the networks that there are chains of, in alphabetical order."""
    return sorted(catalogue_files(_FOLDER, "cellular"))


def cellular_file(name: str) -> Path:
    """Return the file of the network called `name`.

    Raises
    ------
    InputError
        Where there is no such network; the message names the nearest.
    """
    files = catalogue_files(_FOLDER, "cellular")
    if name not in files:
        raise InputError(Fault(unknown_name("network", name, files, "hetsim list networks")))
    return files[name]


def load_cellular(name: str) -> MarkovNetwork:
    """Return the network called `name`; a second call returns the same object.

    Raises
    ------
    InputError
        Where there is no such network (the message names the nearest), or its file has faults.
    """
    return _load(cellular_file(name))


@cache
def _load(path: Path) -> MarkovNetwork:
    shipped = path.parent == _FOLDER
    return read_markov_network(path, f"simulator/streaming/catalog/cellular/{path.name}" if shipped else "")


def markov_trace(
    network: MarkovNetwork, rng: np.random.Generator, duration_s: float, scale: float = 1.0
) -> NetworkTrace:
    """Draw one session on a network.

    Parameters
    ----------
    network
        As `load_cellular` returns it.
    rng
        Where everything is drawn from: the same state gives the same trace.
    duration_s
        After this time the trace starts over, in s; periods are 1 s, the last one what is left.
    scale
        Factor on bandwidth.

    Returns
    -------
    NetworkTrace
        With notes that say what it is. A session without any bandwidth is drawn again.

    Raises
    ------
    InputError
        Where `duration_s` or `scale` is not above 0 and finite.
    """
    for what, value in (("a duration in s", duration_s), ("a factor of bandwidth", scale)):
        if not 0.0 < value < math.inf:
            raise InputError(Fault(f"{what} must be above 0 and finite, not {value!r}"))
    periods = math.ceil(duration_s / PERIOD_S)
    bandwidths_bps = _session(network, rng, periods, scale)
    while not bandwidths_bps.any():
        bandwidths_bps = _session(network, rng, periods, scale)
    last_s = duration_s - (periods - 1) * PERIOD_S
    note = f"synthetic trace with the statistics of {network.title}, not a trace of that set"
    return NetworkTrace(
        network.name,
        (*(PERIOD_S,) * (periods - 1), last_s),
        tuple(bandwidths_bps.tolist()),
        (network.latency_s,) * periods,
        (note, *_assumed_latency(network)),
    )


def _assumed_latency(network: MarkovNetwork) -> tuple[str, ...]:
    evidence = network.evidence.get("latency_s")
    if evidence is None or evidence.kind != "assumed":
        return ()
    return (f"{network.name} has no measured latency: {1e3 * network.latency_s:g} ms assumed",)


def _session(network: MarkovNetwork, rng: np.random.Generator, periods: int, scale: float) -> Floats:
    """Return the bandwidth of each second in bit/s, (periods,)."""
    # every array is drawn whole and in this order, so that the path does not change which number is for what
    moves = rng.random(periods).tolist()
    switches = rng.random(periods).tolist()
    shocks = rng.standard_normal(periods).tolist()
    factor_rank = float(rng.random())
    states = _path(network, moves, switches)
    persistence, innovation = network.persistence, math.sqrt(1.0 - network.persistence**2)
    deviations = accumulate(shocks, lambda before, shock: persistence * before + innovation * shock)
    levels = network.levels
    medians = np.array([level.median_bps for level in levels] + [0.0] * len(levels))
    spreads = np.array([level.spread for level in levels] + [0.0] * len(levels))
    logs = np.log(network.session_factors)
    factor = math.exp(np.interp(factor_rank, np.linspace(0.0, 1.0, len(logs)), logs))
    off = np.fromiter(deviations, np.float64, periods)
    bandwidths_bps: Floats = scale * factor * medians[states] * np.exp(spreads[states] * off)
    return bandwidths_bps


def _path(network: MarkovNetwork, moves: list[float], switches: list[float]) -> list[int]:
    """Return the state of each second: a level, or n more in an outage of it."""
    # the last edge is left out, so that rounding cannot lead past the last level
    edges = [tuple(accumulate(level.follows))[:-1] for level in network.levels]
    fails = [level.fails for level in network.levels]
    recovers = [level.recovers for level in network.levels]
    count = len(edges)
    state = bisect(np.cumsum(network.stationary())[:-1].tolist(), moves[0])
    level, down = state % count, state >= count
    states = [state]
    for move, switch in zip(moves[1:], switches[1:], strict=True):
        level = bisect(edges[level], move)
        down = switch >= recovers[level] if down else switch < fails[level]
        states.append(level + count if down else level)
    return states
