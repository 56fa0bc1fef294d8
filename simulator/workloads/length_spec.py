"""Distributions of lengths in tokens of a scenario as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from devices.quantity import Count, NonNegativeCount, Ratio, Tagged


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal lengths, rounded to whole tokens, at least 1."""

    mean: float
    """Mean in tokens."""
    cv: float
    """Coefficient of variation."""
    maximum: Count | None = None
    """Longer draws are cut to this."""
    distribution: Literal["lognormal"] = "lognormal"
    """Distribution of lengths."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Empirical lengths: the inverse of a piecewise-linear distribution function."""

    probabilities: tuple[Ratio, ...]
    """Ascending, from 0 to 1."""
    tokens: tuple[NonNegativeCount, ...]
    """Length at each probability, not descending."""
    distribution: Literal["quantiles"] = "quantiles"
    """Distribution of lengths."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Whole numbers of tokens, each equally likely."""

    low: Count
    """Smallest length."""
    high: Count
    """Largest length."""
    distribution: Literal["uniform"] = "uniform"
    """Distribution of lengths."""


@dataclass(frozen=True, slots=True)
class Evenly:
    """Lengths spread evenly from `low` to `high` over the requests, in order."""

    low: Count
    """Length of the first request."""
    high: Count
    """Length of the last request."""
    distribution: Literal["evenly"] = "evenly"
    """Distribution of lengths."""


Lengths = Count | Annotated[LogNormal | Quantiles | Uniform | Evenly, Tagged("distribution")]
