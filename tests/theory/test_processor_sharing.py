"""Processor sharing in queueing theory: what must come out whatever the implementation.

M/G/1-PS (Kleinrock, Queueing Systems, vol. 2, section 4.4): a job of size x spends x / (1 - rho) on average,
whatever the distribution of sizes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.core import Channel, ConstantBandwidth, Environment, Streams, Transfer

RATE_BYTES_PER_S = 1e9
MEAN_BYTES = 1e6
MEAN_SERVICE_S = MEAN_BYTES / RATE_BYTES_PER_S
JOBS = 6_000
WARM_UP = 1_000

Sizes = Callable[[np.random.Generator, int], NDArray[np.float64]]


def exponential(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.exponential(MEAN_BYTES, n)


def deterministic(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return np.full(n, MEAN_BYTES)


def hyperexponential(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Two phases with balanced means, squared coefficient of variation 4."""
    p = (1 + math.sqrt(3 / 5)) / 2
    mean = np.where(rng.random(n) < p, MEAN_BYTES / (2 * p), MEAN_BYTES / (2 * (1 - p)))
    return rng.exponential(1.0, n) * mean


DISTRIBUTIONS: dict[str, Sizes] = {f.__name__: f for f in (exponential, deterministic, hyperexponential)}


@dataclass
class Run:
    """One replication that was run until empty."""

    sizes: NDArray[np.float64]
    sojourn_s: NDArray[np.float64]
    end_s: float
    channel: Channel


@cache
def replicate(name: str, load: float, streams: Streams) -> Run:
    gaps = streams.stream(f"{name}, load {load}/arrivals").exponential(MEAN_SERVICE_S / load, JOBS)
    sizes = DISTRIBUTIONS[name](streams.stream(f"{name}, load {load}/sizes"), JOBS)
    times, amounts = np.cumsum(gaps).tolist(), sizes.tolist()
    env = Environment()
    channel = Channel(env, ConstantBandwidth(RATE_BYTES_PER_S))
    sojourn = np.empty(JOBS)
    transfers: dict[Transfer, int] = {}

    def done(transfer: Transfer) -> None:
        index = transfers.pop(transfer)
        sojourn[index] = env.now - times[index]

    def arrive() -> None:
        index = next(numbers)
        transfers[channel.transfer(amounts[index], on_done=done)] = index
        if index + 1 < JOBS:
            env.call_at(times[index + 1], arrive)

    numbers = iter(range(JOBS))
    env.call_at(times[0], arrive)
    env.run()
    return Run(sizes, sojourn, env.now, channel)


CASES: Any = [(name, load) for name in DISTRIBUTIONS for load in (0.5, 0.8)]


@pytest.mark.parametrize(("name", "load"), CASES)
def test_mean_sojourn_time_of_m_g_1_ps(name: str, load: float, study: Any, compare: Any) -> None:
    """The mean is that of M/M/1, whatever the distribution (insensitivity)."""
    runs = [replicate(name, load, Streams(study.seed, k)) for k in range(study.replications)]
    means = [run.sojourn_s[WARM_UP:].mean() / MEAN_SERVICE_S for run in runs]
    compare(f"M/G/1-PS ({name}), load {load}", "mean response", 1 / (1 - load), means, 0.09)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_slowdown_does_not_depend_on_the_size(load: float, study: Any, compare: Any) -> None:
    """Small and large jobs are slowed down alike: E[T | x] = x / (1 - rho)."""
    for low_quantile, high_quantile in ((0.2, 0.5), (0.8, 1.0)):
        ratios = []
        for k in range(study.replications):
            run = replicate("exponential", load, Streams(study.seed, k))
            amounts, sojourn = run.sizes[WARM_UP:], run.sojourn_s[WARM_UP:]
            low, high = np.quantile(amounts, [low_quantile, high_quantile])
            chosen = (amounts >= low) & (amounts <= high)
            ratios.append(float(sojourn[chosen].sum() / (amounts[chosen].sum() / RATE_BYTES_PER_S)))
        sizes = f"sizes at {low_quantile:.0%} to {high_quantile:.0%}"
        compare(f"M/M/1-PS, load {load}", f"mean slowdown, {sizes}", 1 / (1 - load), ratios, 0.09)


@pytest.mark.parametrize(("name", "load"), CASES)
def test_sample_path_identities(name: str, load: float) -> None:
    """Little's law, conservation of bytes and work conservation hold on every path, not only on average."""
    run = replicate(name, load, Streams(seed=1))
    assert run.channel.active_s == pytest.approx(run.sojourn_s.sum(), rel=1e-9)
    assert run.channel.moved_bytes == pytest.approx(run.sizes.sum(), rel=1e-12)
    assert run.channel.busy_s == pytest.approx(run.sizes.sum() / RATE_BYTES_PER_S, rel=1e-9)
    assert run.channel.busy_s / run.end_s == pytest.approx(load, rel=0.1)
    assert (run.sojourn_s >= run.sizes / RATE_BYTES_PER_S - 1e-13).all()
