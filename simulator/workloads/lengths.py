"""Length distributions: how many tokens a prompt or an answer has, or how many turns a session."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.length_spec import Evenly, Lengths, LogNormal, Quantiles, Uniform
from simulator.workloads.sources import MAX_TOKENS

MOST_VARIATION = 1000.0
"""Largest coefficient of variation: what varies more is a slip, and its square leaves what a float holds."""


def mean_length(spec: Lengths) -> float:
    """Return the mean of a distribution without faults, in tokens; of a log-normal one before longer draws are cut."""
    match spec:
        case LogNormal():
            return spec.mean
        case Quantiles():
            pieces = zip(pairwise(spec.tokens), pairwise(spec.probabilities), strict=True)
            return sum((end - begin) * (low + high) / 2 for (low, high), (begin, end) in pieces)
        case Uniform() | Evenly():
            return (spec.low + spec.high) / 2
        case _:
            return float(spec)


def draw_lengths(spec: Lengths, n: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw n lengths, each a whole number of at least 1.

    Every distribution but `Uniform` draws one number per request and transforms it, so that the lengths under
    two settings of it rise and fall together. `Evenly` and a fixed count draw none.

    Returns
    -------
    NDArray
        Shape (n,), tokens.
    """
    match spec:
        case LogNormal():
            variance = math.log1p(spec.cv**2)
            normal = random.standard_normal(n)
            values = np.exp(math.log(spec.mean) - variance / 2 + math.sqrt(variance) * normal)
            values = np.minimum(values, MAX_TOKENS if spec.maximum is None else spec.maximum)
        case Quantiles():
            values = np.interp(random.random(n), spec.probabilities, spec.tokens)
        case Uniform():
            return random.integers(spec.low, spec.high, n, dtype=np.int64, endpoint=True)
        case Evenly():
            values = np.linspace(spec.low, spec.high, n)
        case _:
            return np.full(n, spec, np.int64)
    return np.maximum(np.rint(values), 1).astype(np.int64)


def length_faults(spec: Lengths) -> list[str]:
    """Return what is wrong with `spec` beyond what its types say."""
    match spec:
        case LogNormal():
            wrong = []
            if not 0 < spec.mean <= MAX_TOKENS:
                wrong.append(f"mean is {spec.mean}; allowed: finite numbers above 0, at most {MAX_TOKENS:,}")
            if not 0 <= spec.cv <= MOST_VARIATION:
                wrong.append(f"cv is {spec.cv}; allowed: finite numbers from 0 to {MOST_VARIATION:g}")
            return wrong
        case Quantiles():
            return _quantile_faults(spec)
        case Uniform() if spec.low > spec.high:
            return [f"low ({spec.low}) is above high ({spec.high})"]
        case _:
            return []


def _quantile_faults(spec: Quantiles) -> list[str]:
    wrong = []
    probabilities, tokens = spec.probabilities, spec.tokens
    if len(probabilities) != len(tokens):
        wrong.append(f"{len(probabilities)} probabilities but {len(tokens)} tokens; allowed: as many of both")
    if len(probabilities) < 2 or probabilities[0] != 0 or probabilities[-1] != 1:
        wrong.append(f"probabilities are {list(probabilities)}; allowed: from 0 to 1, both included")
    if any(later <= earlier for earlier, later in pairwise(probabilities)):
        wrong.append(f"probabilities {list(probabilities)} do not ascend")
    if any(later < earlier for earlier, later in pairwise(tokens)):
        wrong.append(f"tokens {list(tokens)} descend")
    return wrong
