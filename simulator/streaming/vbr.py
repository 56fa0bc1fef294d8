"""Segment sizes of an encoder with variable bitrate, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from simulator.streaming.video import Video

VARIATION = 0.18
"""Standard deviation of segment sizes over their mean: that of Big Buck Bunny in Sabre's manifest."""


def vbr_video(
    name: str,
    segment_s: float,
    segments: int,
    bitrates_bps: Sequence[float],
    rng: np.random.Generator,
    variation: float = VARIATION,
    heights: Sequence[int] = (),
) -> Video:
    """Return a video whose segments differ in size as scenes differ in what there is to encode.

    A segment is larger or smaller by the same factor at every level. Factors are log-normal, independent (segments of
    Big Buck Bunny are even anticorrelated: the encoder keeps its bitrate), and scaled to a mean of exactly 1, so that a
    level's bitrate over the whole video is the nominal one.

    Parameters
    ----------
    name, segment_s, bitrates_bps, heights
        As in `Video`.
    segments
        How many there are.
    rng
        Where the factors are drawn from.
    variation
        Standard deviation of the factors; 0: constant bitrate.

    Raises
    ------
    InputError
        Where `Video` refuses the ladder.
    """
    factors = rng.lognormal(0.0, math.sqrt(math.log1p(variation**2)), segments)
    factors /= factors.mean()
    sizes = tuple(
        tuple(bitrate * segment_s * factor for bitrate in bitrates_bps) for factor in factors.tolist()
    )
    return Video(name, segment_s, tuple(bitrates_bps), sizes, tuple(heights))
