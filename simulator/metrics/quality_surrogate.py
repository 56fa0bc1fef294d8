"""A surrogate for the quality of answers that are decoded in parts. It is no measurement and no language model.

What a policy does to the dependencies of an answer is known: the share of them that a node could see when it was
decoded (`visible`), and whether the answer was planned. Two published figures of Plato (COLM 2025) are the anchors: it
wins 40 % more comparisons than it loses against autoregressive decoding, and 90 % more against Skeleton-of-Thought.
Between them stands a Bradley-Terry model: an answer has a strength s, and of two answers the net win rate (wins less
losses) of the first is tanh((s1 - s2) / 2). Planning adds to an answer's strength, dependencies unseen take from it in
proportion:

    s = gain * planned - loss * (1 - visible),   gain = 2 artanh(0.40),   loss = 2 artanh(0.90)

so that Plato (planned, all seen) and Skeleton-of-Thought (planned, none seen) come out at the anchors. An answer
without dependencies has seen all of them. What follows for Skeleton-of-Thought over autoregressive decoding, -0.78
where there are dependencies, is harsher than what its own authors report (not worse in about 60 % of answers).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WHAT = "surrogate: share of dependencies seen, anchored on two published net win rates; not a measurement"
"""Stands wherever the figure is shown."""

CAVEAT = (
    "Without dependencies Skeleton-of-Thought comes out like Plato, with them harsher than its own authors report (not "
    "worse in about 60 % of answers). The size of the model that decodes is not counted."
)
"""What a reader of the figure must know."""

SHIFT = 0.05
"""How far each anchor is moved to show what hangs on it."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """Published net win rates between which the surrogate stands."""

    plato_over_ar: float = 0.40
    """Plato over autoregressive decoding."""
    plato_over_sot: float = 0.90
    """Plato over Skeleton-of-Thought."""


def net_win_rate_over_ar(visible: Floats, planned: NDArray[np.bool_], anchors: Anchors = Anchors()) -> Floats:
    """Return the surrogate's net win rate of each answer over autoregressive decoding.

    Parameters
    ----------
    visible
        Shape (n,). Share of the answer's dependencies that could be seen; 1 where it has none.
    planned
        Shape (n,). Whether the answer was planned.
    anchors
        Published net win rates.

    Returns
    -------
    NDArray
        Shape (n,), from -1 to 1.
    """
    rate: Floats = np.tanh(0.5 * _strength(visible, planned, anchors))
    return rate


def net_win_rate(
    one: tuple[Floats, NDArray[np.bool_]],
    other: tuple[Floats, NDArray[np.bool_]],
    anchors: Anchors = Anchors(),
) -> Floats:
    """Return the surrogate's net win rate of answers over others to the same questions.

    Parameters
    ----------
    one, other
        (visible, planned) as in `net_win_rate_over_ar`, question by question.
    anchors
        Published net win rates.
    """
    rate: Floats = np.tanh(0.5 * (_strength(*one, anchors) - _strength(*other, anchors)))
    return rate


def _strength(visible: Floats, planned: NDArray[np.bool_], anchors: Anchors) -> Floats:
    gain, loss = 2.0 * np.arctanh(anchors.plato_over_ar), 2.0 * np.arctanh(anchors.plato_over_sot)
    strength: Floats = gain * planned - loss * (1.0 - visible)
    return strength


def surrogate(visible: Floats, planned: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the mean net win rate over autoregressive decoding, and its range where the anchors are off by 0.05."""
    if not len(visible):
        return {"net_win_rate_over_ar": None, "low": None, "high": None, "what": WHAT}
    published = Anchors()
    moved = [
        float(np.mean(net_win_rate_over_ar(visible, planned, Anchors(*anchors))))
        for anchors in product(
            (published.plato_over_ar - SHIFT, published.plato_over_ar + SHIFT),
            (published.plato_over_sot - SHIFT, published.plato_over_sot + SHIFT),
        )
    ]
    mean = float(np.mean(net_win_rate_over_ar(visible, planned)))
    return {"net_win_rate_over_ar": mean, "low": min(moved), "high": max(moved), "what": WHAT}
