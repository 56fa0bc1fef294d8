"""Means with intervals, over independent replications or one run's requests by batch means; paired differences.

docs/statistics.md says how to read them, and when not to trust them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Of every interval."""
BATCHES = 20
"""Batches of consecutive requests."""
BATCH_REQUESTS = 10
"""Least number of requests per batch: with fewer there are fewer batches."""
LEAST_BATCHES = 5
"""With fewer batches no interval is claimed."""
BOOTSTRAP_LEAST = 10
"""With fewer values there is no bootstrap interval: of five normal values a BCa interval that claims 95 % covers the
mean in 84 % of cases, of eight in 88 %, of ten in 91 %, of twenty in 92 %; Student's t keeps its 95 %."""
RESAMPLES = 9999
"""Of a bootstrap."""
SIGNIFICANCE = 0.05
"""Level of a test, after the correction for many comparisons."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how well it is known."""

    mean: float | None
    """The mean; None where there are no values."""
    half_width: float | None
    """Half the width of the 95 % interval around it; None where the values do not allow one."""
    values: int
    """How many independent values it stands on (replications or batches)."""
    sample: tuple[float, ...] = field(default=(), repr=False)
    """These values, where there is an interval."""

    def as_data(self) -> dict[str, float | int | None]:
        """Return mean, low, high and the number of values, ready for JSON."""
        low = high = None
        if self.mean is not None and self.half_width is not None:
            low, high = self.mean - self.half_width, self.mean + self.half_width
        return {"mean": self.mean, "low": low, "high": high, "values": self.values}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Estimate:
        """Return an estimate as the object of `as_data` says it, or as a file that lacks its interval does."""
        low, high = data.get("low"), data.get("high")
        half_width = None if low is None or high is None else (high - low) / 2.0
        return cls(data["mean"], half_width, data.get("values", 0))


@dataclass(frozen=True, slots=True)
class Difference(Estimate):
    """A mean of paired differences."""

    unpaired_half_width: float | None = None
    """Half the width of the 95 % interval (Welch) that as many independent, unpaired values of the same spread would
    have; None where that is not known."""

    @property
    def p(self) -> float | None:
        """Two-sided p-value of the paired t test that the mean is 0; None without an interval.

        Values that do not vary leave no doubt: 1 where all are 0, else 0.
        """
        if self.mean is None or self.half_width is None:
            return None
        if self.half_width == 0.0:
            return 1.0 if self.mean == 0.0 else 0.0
        from scipy.special import stdtr  # noqa: PLC0415 (slow import)

        freedom = self.values - 1
        return 2.0 * float(stdtr(freedom, -abs(self.mean) / self.half_width * _quantile(freedom)))

    @property
    def narrower_by(self) -> float | None:
        """How many times as wide the interval would be without pairing; None where that is not known."""
        if self.unpaired_half_width is None or not self.half_width:
            return None
        return self.unpaired_half_width / self.half_width


def over_replications(values: Iterable[float | None]) -> Estimate:
    """Return the mean of independent values with its Student t interval; None does not count."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return Estimate(None, None, 0)
    return Estimate(float(known.mean()), _half_width(known), len(known), _sample(known))


def mean_figures(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Estimate]:
    """Return the mean over runs of each figure that the first one has; a run that lacks one does not count."""
    return {path: over_replications([run.get(path) for run in runs]) for path in (runs[0] if runs else ())}


def paired(base: Iterable[float | None], other: Iterable[float | None]) -> Difference:
    """Return the mean of ``other - base``, replication by replication; pairs that lack one do not count."""
    pairs = [(a, b) for a, b in zip(base, other, strict=True) if a is not None and b is not None]
    if not pairs:
        return Difference(None, None, 0)
    first, second = np.array(pairs, dtype=np.float64).T
    values = second - first
    width = _half_width(values)
    return Difference(
        float(values.mean()), width, len(values), _sample(values), welch_half_width(first, second)
    )


def welch_half_width(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Return half the width of Welch's 95 % interval of a difference of two independent means.

    Parameters
    ----------
    first, second
        Shapes (n,) and (m,). None is returned where one has fewer than two values, 0 where none varies.
    """
    if min(len(first), len(second)) < 2:
        return None
    parts = np.array([it.var(ddof=1) / len(it) for it in (first, second)])
    if not parts.any():
        return 0.0
    freedom = parts.sum() ** 2 / (parts**2 / (np.array([len(first), len(second)]) - 1)).sum()
    return _quantile(freedom) * math.sqrt(parts.sum())


def batch_means(values: NDArray[np.float64]) -> Difference:
    """Return the mean of values that follow one another in time, with an interval by batch means.

    Neighbours in a queue resemble one another, so that an interval over single requests would be far too
    narrow. The means of long batches of neighbours are nearly independent. That holds where a batch is long
    against the queue's memory; the interval is too narrow near saturation.

    Parameters
    ----------
    values
        Shape (n,), differences of pairs in order of arrival, without NaN.
    """
    batches = min(BATCHES, len(values) // BATCH_REQUESTS)
    if not len(values):
        return Difference(None, None, 0)
    mean = float(values.mean())
    if batches < LEAST_BATCHES:
        return Difference(mean, None, batches)
    means = np.array([batch.mean() for batch in np.array_split(values, batches)])
    return Difference(mean, _half_width(means), batches, _sample(means))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being so many (Holm–Bonferroni), in their order.

    Where each one up to a level is taken for a finding, the chance of even one false finding is at most that level,
    however the tests depend on one another.
    """
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def estimates_data(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, Any]]:
    """Return estimates ready for JSON, with their bootstrap intervals (see `bootstrap_intervals`)."""
    intervals = bootstrap_intervals([it.sample for it in estimates.values()])
    return {
        path: it.as_data() | {"bootstrap_low": low, "bootstrap_high": high}
        for (path, it), (low, high) in zip(estimates.items(), intervals, strict=True)
    }


def bootstrap_intervals(samples: Sequence[Sequence[float]]) -> list[tuple[float | None, float | None]]:
    """Return the 95 % BCa bootstrap interval of the mean of each sample.

    The resamples of a length are the same for every sample and in every call, so that an interval does not depend on
    what else is asked for. Nothing is claimed (None, None) of fewer than `BOOTSTRAP_LEAST` values: there the bootstrap
    takes the spread of too few values for all there is, and its interval is too narrow. A sample whose values are all
    equal has an interval without width.
    """
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(samples)
    by_length: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        if len(sample) < BOOTSTRAP_LEAST:
            continue
        if min(sample) == max(sample):
            found[place] = (sample[0], sample[0])
        else:
            by_length.setdefault(len(sample), []).append(place)
    for places in by_length.values():
        for start in range(0, len(places), _SAMPLES_AT_ONCE):
            some = places[start : start + _SAMPLES_AT_ONCE]
            values = np.array([samples[place] for place in some], dtype=np.float64)
            for place, sample, means in zip(some, values, _resampled_means(values), strict=True):
                found[place] = _bca_interval(sample, means)
    return found


_SAMPLES_AT_ONCE = 200
_INDICES_AT_ONCE = 2**20
"""These two bound the memory of a bootstrap, whose results do not depend on them: 16 MB of means, 8 MB of indices."""


def _resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of resamples, shape (samples, `RESAMPLES`), of samples, shape (samples, length)."""
    length = values.shape[1]
    random = np.random.default_rng(0)
    means = np.empty((len(values), RESAMPLES))
    rows = max(_INDICES_AT_ONCE // length, 1)
    for start in range(0, RESAMPLES, rows):
        part = means[:, start : start + rows]
        indices = random.integers(0, length, (part.shape[1], length))
        for sample, out in zip(values, part, strict=True):
            sample[indices].mean(axis=1, out=out)
    return means


def _bca_interval(
    sample: NDArray[np.float64], means: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """Return the bias-corrected and accelerated interval (Efron 1987) of a mean, by the means of resamples."""
    from scipy.special import ndtr, ndtri  # noqa: PLC0415 (slow import)

    away = means - sample.mean()
    # a resample of the same mean differs by rounding at most: half of these count as below
    tied = np.abs(away) <= 1e-12 * np.abs(sample).max()
    bias = ndtri((np.count_nonzero((away < 0.0) & ~tied) + 0.5 * np.count_nonzero(tied)) / len(means))
    spread = sample - sample.mean()
    acceleration = (spread**3).sum() / (6.0 * (spread**2).sum() ** 1.5)
    shifted = bias + ndtri(np.array([1.0 - CONFIDENCE, 1.0 + CONFIDENCE]) / 2.0)
    levels = ndtr(bias + shifted / (1.0 - acceleration * shifted))
    if not np.isfinite(levels).all():
        return (None, None)
    low, high = np.quantile(means, levels).tolist()
    return (low, high)


def _half_width(values: NDArray[np.float64]) -> float | None:
    count = len(values)
    if count < 2:
        return None
    if (values == values[0]).all():
        return 0.0  # and not what is left of rounding
    return _quantile(count - 1) * float(values.std(ddof=1)) / math.sqrt(count)


def _quantile(freedom: float) -> float:
    """Return Student's t of a two-sided interval."""
    from scipy.special import stdtrit  # noqa: PLC0415 (slow import)

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _sample(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.tolist()) if len(values) > 1 else ()
