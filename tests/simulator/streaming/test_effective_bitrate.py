"""From the quality of a super-resolved picture to the bitrate that looks as good."""

from __future__ import annotations

import pytest

from devices.errors import InputError
from simulator.streaming.effective_bitrate import OASIS_EFFECTIVE_BPS, QualityRateCurve

CURVE = QualityRateCurve((300e3, 800e3, 1800e3, 4300e3), (28.0, 30.0, 33.0, 36.0))


def test_points_of_the_ladder_are_themselves() -> None:
    for bitrate_bps, quality in zip(CURVE.bitrates_bps, CURVE.qualities, strict=True):
        assert CURVE.effective_bps(quality) == pytest.approx(bitrate_bps)


def test_between_two_points_it_is_linear() -> None:
    assert CURVE.effective_bps(29.0) == pytest.approx(550e3)
    assert CURVE.effective_bps(31.0) == pytest.approx(800e3 + 1000e3 / 3)
    assert CURVE.effective_bps(35.25) == pytest.approx(1800e3 + 0.75 * 2500e3)


def test_it_does_not_leave_the_ladder() -> None:
    assert CURVE.effective_bps(1.0) == 300e3
    assert CURVE.effective_bps(99.0) == 4300e3


def test_better_pictures_are_worth_more() -> None:
    found = [CURVE.effective_bps(27.0 + 0.1 * step) for step in range(100)]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("bitrates_bps", "qualities", "message"),
    [
        ((1e6,), (30.0,), "at least two points"),
        ((), (), "at least two points"),
        ((1e6, 2e6), (30.0,), "not 2 bitrates and 1 qualities"),
        ((1e6, 1e6), (30.0, 31.0), "the bitrates of a quality-rate curve must rise"),
        ((1e6, 2e6), (31.0, 31.0), "the qualities of a quality-rate curve must rise"),
        ((1e6, 2e6), (float("nan"), 31.0), "the qualities of a quality-rate curve must rise"),
    ],
)
def test_curves_that_cannot_be_inverted(
    bitrates_bps: tuple[float, ...], qualities: tuple[float, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        QualityRateCurve(bitrates_bps, qualities)


def test_oasis_values_lie_between_input_and_output() -> None:
    nominal_bps = {180: 0.3e6, 360: 0.8e6, 720: 2.5e6, 1080: 4.3e6}
    assert dict(OASIS_EFFECTIVE_BPS) == {
        (180, 720): 0.45e6,
        (180, 1080): 0.6e6,
        (360, 720): 1.0e6,
        (360, 1080): 1.8e6,
    }
    for (source, target), effective_bps in OASIS_EFFECTIVE_BPS.items():
        assert nominal_bps[source] < effective_bps < nominal_bps[target]
