"""Every QoE figure, computed by hand on one short session."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, nan

import pytest

from devices.errors import InputError
from simulator.policies.abr.fixed import Fixed
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import PENSIEVE, Player
from simulator.streaming.qoe import ENVIVIO_LADDER_BPS, FIGURES, PlayedSession, Qoe, figure, qoe
from simulator.streaming.video import Video

LEVELS = (1, 3, 0, 0, 5)
"""750, 1850, 300, 300, 4300 kbit/s of the Envivio ladder."""
STALLS_S = (0.0, 0.5, 0.0, 1.5, 0.0)
PLAYED = PlayedSession(ENVIVIO_LADDER_BPS, LEVELS, STALLS_S, startup_s=2.0)


def of(name: str, played: PlayedSession = PLAYED) -> Qoe:
    result = figure(name).of(played)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("name", "quality", "switching", "stall", "startup"),
    [
        # sum q, changes |dq| = 1.1 + 1.55 + 0 + 4, two seconds of stall, two of start-up
        ("linear", 7.5, -6.65, -4.3 * 2.0, 4.3 * 2.0),
        (
            "log",
            log(2.5) + log(37 / 6) + log(43 / 3),
            -(log(37 / 15) + log(37 / 6) + log(43 / 3)),
            -2.66 * 2.0,
            2.66 * 2.0,
        ),
        ("hd", 2 + 12 + 1 + 1 + 20, -(10 + 11 + 0 + 19), -16.0, 16.0),
        ("yin", 7500.0, -6650.0, -6000.0, 6000.0),
        # VMAF 63.7, 85.1, 23.4, 23.4, 99.95
        ("vmaf", 0.8469 * 295.55, 0.298 * (21.4 + 76.55) - 1.061 * 61.7, -28.796 * 2.0, 28.796 * 2.0),
        ("oasis", 7.5, -6.65, -4.3 * 2.0, 0.0),
    ],
)
def test_figures_by_hand(name: str, quality: float, switching: float, stall: float, startup: float) -> None:
    found = of(name)
    assert found.quality == pytest.approx(quality)
    assert found.switching == pytest.approx(switching)
    assert found.stall == pytest.approx(stall)
    assert found.startup_penalty == pytest.approx(startup)
    assert found.session == pytest.approx(quality + switching + stall)
    changes = 4 if name == "oasis" else 5
    assert found.per_segment == pytest.approx((quality + stall) / 5 + switching / changes)


def test_ssim_is_that_of_the_segments() -> None:
    assert figure("ssim").of(PLAYED) is None
    found = of("ssim", replace_measured(ssim_db=(10.0, 14.0, 12.5, 12.5, 17.0)))
    assert found.quality == pytest.approx(66.0)
    assert found.switching == pytest.approx(-(4.0 + 1.5 + 4.5))
    assert found.stall == pytest.approx(-40.0)
    assert found.startup_penalty == 0.0


def replace_measured(**columns: tuple[float, ...]) -> PlayedSession:
    return PlayedSession(ENVIVIO_LADDER_BPS, LEVELS, STALLS_S, 2.0, columns)


def test_what_was_measured_comes_before_what_the_ladder_tells() -> None:
    vmaf = of("vmaf", replace_measured(vmaf=(50.0, 60.0, 40.0, 40.0, 90.0)))
    assert vmaf.quality == pytest.approx(0.8469 * 280.0)
    assert vmaf.switching == pytest.approx(0.298 * 60.0 - 1.061 * 20.0)
    oasis = of("oasis", replace_measured(effective_mbps=(0.45, 0.45, 1.8, 1.0, 1.0)))
    assert oasis.quality == pytest.approx(4.7)
    assert oasis.per_segment == pytest.approx((4.7 - 8.6) / 5 - (1.35 + 0.8) / 4)
    assert of("linear", replace_measured(effective_mbps=(9.0,) * 5)) == of("linear"), (
        "another figure's column"
    )


def test_startup_stands_apart() -> None:
    longer = PlayedSession(ENVIVIO_LADDER_BPS, LEVELS, STALLS_S, startup_s=30.0)
    for name in FIGURES:
        before, after = figure(name).of(PLAYED), figure(name).of(longer)
        if before is None or after is None:
            assert before is after
            continue
        assert (after.session, after.per_segment) == (before.session, before.per_segment)
        assert after.startup_penalty == pytest.approx(15.0 * before.startup_penalty)


def test_figures_of_one_ladder_are_unknown_for_others() -> None:
    other = PlayedSession((0.3e6, 1e6), (0, 1), (0.0, 0.0))
    found = qoe(other)
    assert set(found) == set(FIGURES)
    assert {name for name, it in found.items() if it is None} == {"hd", "vmaf", "ssim"}
    assert list(qoe(other, ["log", "linear"])) == ["log", "linear"]


def test_one_segment_has_no_changes() -> None:
    single = PlayedSession((1e6, 2e6), (1,), (0.0,))
    for name in ("linear", "oasis"):
        assert of(name, single).switching == 0.0
        assert of(name, single).per_segment == pytest.approx(2.0)


def test_scaling_laws() -> None:
    """Twice the same session has twice the figure, but for the change between them."""
    twice = PlayedSession(ENVIVIO_LADDER_BPS, LEVELS * 2, STALLS_S * 2)
    for name in ("linear", "hd", "yin", "log"):
        once, both = of(name), of(name, twice)
        assert both.quality == pytest.approx(2 * once.quality)
        assert both.stall == pytest.approx(2 * once.stall)
        assert both.switching < 2 * once.switching
    steady = PlayedSession(ENVIVIO_LADDER_BPS, (2,) * 7, (0.0,) * 7)
    assert of("linear", steady).per_segment == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("name", "nearest"), [("oasys", "oasis"), ("liner", "linear"), ("vmaff", "vmaf"), ("HD", "hd")]
)
def test_an_unknown_figure_has_a_nearest_match(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"QoE figure '{name}'.*{nearest}"):
        figure(name)
    with pytest.raises(InputError, match=name):
        qoe(PLAYED, ["linear", name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": (), "stalls_s": ()}, "without segments"),
        ({"levels": ((1, 2),), "stalls_s": (0.0,)}, "without segments"),
        ({"stalls_s": (0.0, 0.0)}, "stalls: needs one finite number for each of 5"),
        ({"stalls_s": (0.0, nan, 0.0, 0.0, 0.0)}, "stalls: needs one finite number"),
        ({"measured": {"vmaf": (1.0,)}}, "vmaf: needs one finite number"),
        ({"levels": (0, 1, 2, 3, 6)}, "levels must be from 0 to 5"),
        ({"levels": (0, 1, 2, 3, -1)}, "levels must be from 0 to 5"),
        ({"stalls_s": (0.0, -1.0, 0.0, 0.0, 0.0)}, "at least 0 seconds"),
        ({"startup_s": -1.0}, "at least 0 seconds"),
        ({"startup_s": inf}, "at least 0 seconds"),
        ({"startup_s": nan}, "at least 0 seconds"),
    ],
)
def test_sessions_that_cannot_be(changes: dict[str, object], message: str) -> None:
    fields: dict[str, object] = {"ladder_bps": ENVIVIO_LADDER_BPS, "levels": LEVELS, "stalls_s": STALLS_S}
    with pytest.raises(InputError, match=message):
        PlayedSession(**{**fields, **changes})  # type: ignore[arg-type]


def test_of_a_simulated_session() -> None:
    video = Video("cbr", 2.0, (1e6, 2e6), ((2e6, 4e6),) * 3)
    trace = NetworkTrace("steady", (1e4,), (0.5e6,))
    found = of("linear", PlayedSession.of(Player().play(video, trace, Fixed(0))))
    assert found.session == pytest.approx(3.0 - 4.3 * (2.0 + 2.0))  # 4 s for each segment of 2 s
    assert found.startup_penalty == pytest.approx(4.3 * 4.0)
    counted = replace(Player(), startup_is_rebuffering=True)
    found = of("linear", PlayedSession.of(counted.play(video, trace, Fixed(0))))
    assert found.session == pytest.approx(3.0 - 4.3 * 8.0)
    assert found.startup_penalty == 0.0
    assert PENSIEVE.startup_is_rebuffering
