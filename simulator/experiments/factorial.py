"""Effects of factors that are off or on: what each does alone, what they do to one another, what all do together.

The effect of a set of factors is the difference of differences over it: of one factor on minus off, of two what the
second changes about the effect of the first, and so on. With all other factors off these are the terms that add up to
what all do together; averaged over all values of the others they are the main effects and interactions of a factorial
design, in units of the figure. All points of a replication share its random numbers: each one gives a value of every
effect, and intervals are over replications.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.experiments.statistics import Estimate, over_replications

if TYPE_CHECKING:
    import pandas

_ROUNDING = 1e-13
"""Share of the greatest value below which a difference is rounding."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one factor does, or what several do to one another."""

    factors: tuple[int, ...]
    """Places of the factors in the design."""
    alone: Estimate
    """With all other factors off."""
    average: Estimate
    """The mean over all values of the others."""


def factorial_effects(values: NDArray[np.float64]) -> list[Effect]:
    """Return the effects of every set of factors, single ones first.

    The estimates `alone` add up to the one of `together`.

    Parameters
    ----------
    values
        Shape (replications, 2, ..., 2): a figure by replication and by each factor, off and on.
    """
    factors = range(values.ndim - 1)
    return [
        Effect(chosen, _difference(values, chosen, average=False), _difference(values, chosen, average=True))
        for chosen in chain.from_iterable(combinations(factors, size + 1) for size in factors)
    ]


def together(values: NDArray[np.float64]) -> Estimate:
    """Return what all factors do together: all on minus all off; `values` as for `factorial_effects`."""
    flat = values.reshape(len(values), -1)
    return over_replications((flat[:, -1] - flat[:, 0]).tolist())


def _difference(values: NDArray[np.float64], chosen: Sequence[int], *, average: bool) -> Estimate:
    left = values
    for _ in range(values.ndim - 1):  # the last factor first
        off, on = left[..., 0], left[..., 1]
        rest = (off + on) / 2.0 if average else off
        left = on - off if left.ndim - 2 in chosen else rest
    # what rounding leaves where there is no effect is none
    return over_replications(np.where(np.abs(left) <= _ROUNDING * np.abs(values).max(), 0.0, left).tolist())


def design_values(
    frame: pandas.DataFrame, levels: Sequence[tuple[str, Sequence[object]]], figure: str
) -> NDArray[np.float64]:
    """Return a figure of the runs of a sweep by replication and factor, as `factorial_effects` takes it.

    Replications in which a point has no value are left out.

    Parameters
    ----------
    frame
        One row per run: axes, ``replication``, figures.
    levels
        Column of each factor, and its two values: off, on.
    figure
        Column of the figure.
    """
    replications = sorted(set(frame["replication"]))
    values = np.full((len(replications), *(2,) * len(levels)), np.nan)
    places = [[*map(order.index, frame[path])] for path, order in levels]
    rows = [*map(replications.index, frame["replication"])]
    values[(rows, *places)] = frame[figure].astype(float)
    whole: NDArray[np.bool_] = ~np.isnan(values).reshape(len(values), -1).any(axis=1)
    return values[whole]
