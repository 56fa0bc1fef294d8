"""Robust regression in logarithms, with bootstrap intervals and cross-validated errors.

Times, powers and rates span decades and their errors are relative, so every fit here minimises a soft loss of
ln(predicted / measured) over the logarithms of positive constants. Neighbouring points of a table are not
independent: points come in *groups* (one matrix shape, one model), whole groups are resampled for the intervals
and whole groups are held out for the cross-validated error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Array = NDArray[np.float64]
Form = Callable[[Mapping[str, float], Mapping[str, Array]], Array]
"""A formula: constants by name and columns by name (arrays of one length) -> predicted values, all positive."""

BOUND_WIDTH = 1e-3
"""Relative distance from an end of its range up to which a constant counts as lying there."""

INTERVAL = (0.05, 0.95)
"""Quantiles of the resampled constants between which an interval lies."""


@dataclass(frozen=True)
class Regression:
    """Fitted constants and how far to trust them."""

    constants: Mapping[str, float]
    """Fitted value by name."""
    low: Mapping[str, float]
    """Lower end of the 90 % bootstrap interval."""
    high: Mapping[str, float]
    """Upper end of it."""
    errors: Array
    """ln(predicted / measured) of every point, of the fit to all points."""
    held_out: Array
    """The same, of a fit that has not seen the point's group."""
    on_bound: Mapping[str, str] = field(default_factory=dict)
    """Constants that the search has left at the end of their range: ``least`` or ``greatest`` by name."""

    @property
    def median_error(self) -> float:
        """Median relative error over the points of the fit."""
        return _median(self.errors)

    @property
    def worst_error(self) -> float:
        """Largest relative error over the points of the fit."""
        return float(np.abs(np.expm1(self.errors)).max())

    @property
    def cross_validated_error(self) -> float:
        """Median relative error over points whose group was held out."""
        return _median(self.held_out)

    def cross_validated_interval(self, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Return the 90 % bootstrap interval of `cross_validated_error`: points drawn anew."""
        rng = np.random.default_rng(seed)
        drawn = np.abs(np.expm1(self.held_out))[
            rng.integers(len(self.held_out), size=(draws, len(self.held_out)))
        ]
        low, high = np.quantile(np.median(drawn, axis=1), INTERVAL)
        return float(low), float(high)


def regress(
    form: Form,
    columns: Mapping[str, Array],
    measured: Array,
    start: Mapping[str, float],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    groups: Sequence[Hashable] | None = None,
    weights: Array | None = None,
    folds: int = 5,
    bootstraps: int = 200,
    seed: int = 0,
    soft: float = 0.1,
    priors: Mapping[str, tuple[float, float]] | None = None,
) -> Regression:
    """Fit the constants of `form`; the same arguments always give the same result.

    Parameters
    ----------
    form
        What to fit.
    columns
        What the formula takes, shape ``(points,)`` each.
    measured
        Measured values, positive, shape ``(points,)``.
    start
        Where the search begins; its names are the constants, all positive.
    bounds
        Least and greatest value of a constant, positive.
    groups
        Label of each point's group; without, each point is its own.
    weights
        How often each point counts, shape ``(points,)``.
    folds
        Parts into which the groups are dealt for the cross-validation.
    bootstraps
        Resamples of the groups behind the intervals.
    seed
        Of the dealing and the resampling.
    soft
        Residual, in logarithms, from which on a point's pull grows no further (`soft_l1`).
    priors
        Name -> (centre, weight): one residual more, weight * ln(value / centre), with no soft loss. For constants
        on which the points may be silent.

    Raises
    ------
    ValueError
        Where there is nothing to fit: no points, fewer than two groups, a measured value that is not positive.
    """
    if not len(measured) or not (np.isfinite(measured) & (measured > 0)).all():
        raise ValueError("a regression needs points, and positive measured values")
    counts = np.ones(len(measured)) if weights is None else weights
    labels = range(len(measured)) if groups is None else groups
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(label, len(numbers)) for label in labels])
    if len(numbers) < 2:
        raise ValueError("a regression needs points of at least two groups")
    search = _Search(form, columns, measured, tuple(start), bounds or {}, soft, priors or {})

    constants = search.run(start, counts)
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(numbers)) % min(folds, len(numbers))
    held_out = np.empty(len(measured))
    for part in range(int(fold.max()) + 1):
        out = fold[group] == part
        held_out[out] = search.errors(search.run(constants, np.where(out, 0.0, counts)))[out]
    resampled = [constants]
    for _ in range(bootstraps):
        drawn = np.bincount(rng.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        resampled.append(search.run(constants, counts * drawn[group]))
    spread = {name: np.quantile([each[name] for each in resampled], INTERVAL) for name in constants}
    return Regression(
        constants,
        low={name: min(value, float(spread[name][0])) for name, value in constants.items()},
        high={name: max(value, float(spread[name][1])) for name, value in constants.items()},
        errors=search.errors(constants),
        held_out=held_out,
        on_bound=_on_bound(constants, bounds or {}),
    )


def _on_bound(constants: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Return which constants lie at an end of their range, within `BOUND_WIDTH`."""
    return {
        name: side
        for name, ends in bounds.items()
        for side, end in zip(("least", "greatest"), ends, strict=True)
        if abs(constants[name] - end) <= BOUND_WIDTH * end
    }


@dataclass(frozen=True)
class _Search:
    """One problem, searched again with other weights."""

    form: Form
    columns: Mapping[str, Array]
    measured: Array
    names: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    soft: float
    priors: Mapping[str, tuple[float, float]]

    def errors(self, constants: Mapping[str, float]) -> Array:
        logs: Array = np.log(self.form(constants, self.columns) / self.measured)
        return logs

    def run(self, start: Mapping[str, float], counts: Array) -> dict[str, float]:
        """Return the constants that fit best where each point counts `counts` times; those of none are skipped."""
        seen = np.flatnonzero(counts)
        columns = {name: column[seen] for name, column in self.columns.items()}
        measured = self.measured[seen]
        pulled = [self.names.index(name) for name in self.priors]
        centres = np.log([centre for centre, _ in self.priors.values()])
        pull = np.array([weight for _, weight in self.priors.values()])

        def residuals(logs: Array) -> Array:
            values = self.form(dict(zip(self.names, np.exp(logs).tolist(), strict=True)), columns)
            return np.concatenate([np.log(values / measured), pull * (logs[pulled] - centres)])

        # Weights and priors need a loss of their own: weights count losses, not residuals, and a prior must
        # keep pulling far away. scipy asks for the loss and two derivatives at the squared residuals over soft^2.
        times = np.concatenate([counts[seen], np.ones(len(pull))])
        is_prior = np.arange(len(times)) >= len(seen)

        def loss(squares: Array) -> Array:
            root = np.sqrt(1 + np.where(is_prior, 0.0, squares))
            soft = np.array([2 * (root - 1), 1 / root, -0.5 / root**3])
            soft[:, is_prior] = [squares[is_prior], np.ones(len(pull)), np.zeros(len(pull))]
            weighted: Array = soft * times
            return weighted

        limits = [self.bounds.get(name, (0.0, math.inf)) for name in self.names]
        low = np.array([math.log(least) if least > 0 else -math.inf for least, _ in limits])
        high = np.array([math.log(most) if most < math.inf else math.inf for _, most in limits])
        origin = np.log([start[name] for name in self.names])
        # A step inside the bounds: the search may not begin on them.
        inside = np.clip(origin, low + 1e-9, high - 1e-9)
        found = least_squares(
            residuals,
            inside,
            bounds=(low, high),
            loss=loss,  # type: ignore[arg-type]  # the stub asks for a keyword that scipy never passes
            f_scale=self.soft,
        )
        return dict(zip(self.names, np.exp(found.x).tolist(), strict=True))


def _median(errors: Array) -> float:
    return float(np.median(np.abs(np.expm1(errors))))
