"""Segment sizes drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from devices.errors import InputError
from simulator.streaming.vbr import VARIATION, vbr_video
from simulator.streaming.video import Video

LADDER_BPS = (0.3e6, 0.8e6, 4.3e6)


def drawn(seed: int, segments: int = 300, **fields: float) -> Video:
    return vbr_video("v", 2.0, segments, LADDER_BPS, np.random.default_rng(seed), **fields)


def test_every_level_keeps_its_bitrate() -> None:
    for seed in range(5):
        video = drawn(seed)
        rates_bps = np.sum(video.sizes_bits, axis=0) / video.duration_s
        np.testing.assert_allclose(rates_bps, LADDER_BPS, rtol=1e-12)


def test_a_segment_is_as_much_larger_at_every_level() -> None:
    factors = np.array(drawn(1).sizes_bits) / (2.0 * np.array(LADDER_BPS))
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1], factors.shape), rtol=1e-12)
    assert np.unique(factors[:, 0].round(9)).size == 300


def test_sizes_vary_as_said_and_are_log_normal() -> None:
    factors = np.array(drawn(2, 20_000, variation=0.4).sizes_bits)[:, 0] / 0.6e6
    assert factors.std() == pytest.approx(0.4, rel=0.03)
    logs = np.log(factors)
    assert logs.std() == pytest.approx(np.sqrt(np.log(1.16)), rel=0.03)
    assert ((logs - logs.mean()) ** 3).mean() / logs.std() ** 3 == pytest.approx(0.0, abs=0.06)
    default = np.array(drawn(3, 20_000).sizes_bits)[:, 0] / 0.6e6
    assert default.std() == pytest.approx(VARIATION, rel=0.03)
    assert np.corrcoef(factors[:-1], factors[1:])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_without_variation_the_bitrate_is_constant() -> None:
    assert drawn(4, 7, variation=0.0).sizes_bits == ((0.6e6, 1.6e6, 8.6e6),) * 7


def test_the_same_stream_gives_the_same_video() -> None:
    assert drawn(5) == drawn(5)
    assert drawn(5) != drawn(6)


def test_what_a_video_refuses_is_refused() -> None:
    with pytest.raises(InputError, match="must rise"):
        vbr_video("v", 2.0, 3, (2e6, 1e6), np.random.default_rng(0))
    with pytest.raises(InputError, match="heights"):
        vbr_video("v", 2.0, 3, (1e6, 2e6), np.random.default_rng(0), heights=(180,))
    assert vbr_video("v", 2.0, 3, (1e6, 2e6), np.random.default_rng(0), heights=(180, 360)).heights == (
        180,
        360,
    )
