"""One player: hand-computed sessions, identities, and Pensieve's semantics."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import pytest

from devices.errors import InputError
from simulator.policies.abr import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.abr.fixed import Fixed
from simulator.policies.registry import PolicyError, find, policies
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.player import PENSIEVE, Player
from simulator.streaming.video import Video


def video(segments: int, segment_s: float = 2.0, mbps: tuple[float, ...] = (1.0, 2.0)) -> Video:
    """A video of constant bitrate."""
    rates = tuple(rate * 1e6 for rate in mbps)
    return Video("cbr", segment_s, rates, (tuple(rate * segment_s for rate in rates),) * segments)


def steady(mbps: float, latency_s: float = 0.0) -> NetworkTrace:
    """The same bandwidth for ever."""
    return NetworkTrace("steady", (1e4,), (mbps * 1e6,), (latency_s,))


@dataclass
class Script:
    """A rule that answers what it is told to, and remembers what it sees."""

    choices: list[Choice]

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        self.views: list[AbrView] = []
        self.waits: list[float] = []
        self.told: list[Download] = []
        script = self

        class Play(AbrSession):
            def choose(self, view: AbrView) -> Choice:
                script.views.append(view)
                return script.choices[min(view.segment, len(script.choices) - 1)]

            def waited(self, wait_s: float) -> None:
                script.waits.append(wait_s)

            def downloaded(self, download: Download) -> None:
                script.told.append(download)

        return Play()


def test_startup_is_no_rebuffering_and_a_slow_network_stalls_every_segment() -> None:
    # 2 s segments of 2 Mbit over 0.5 Mbit/s with 0.1 s: 4.1 s each, 2.1 s of which nothing plays
    session = Player().play(video(4), steady(0.5, 0.1), Fixed(0))
    assert session.startup_s == pytest.approx(4.1)
    assert session.stalls_s == pytest.approx((0.0, 2.1, 2.1, 2.1))
    assert (session.rebuffer_events, session.rebuffer_s) == (3, pytest.approx(6.3))
    assert session.play_time_s == pytest.approx(4.1 + 6.3 + 8.0)
    assert session.bitrate_bps == pytest.approx(1e6 * 8.0 / session.play_time_s)
    assert session.score() == pytest.approx(-5.0 * 6.3 / session.play_time_s)
    assert session.score(0.0) == 0.0
    assert session.notes == []


def test_utility_is_the_logarithm_of_the_bitrate() -> None:
    session = Player().play(video(3), steady(1e3), Fixed(1))
    assert session.score() == pytest.approx(math.log(2.0) * 6.0 / session.play_time_s)


def test_a_segment_just_in_time_is_no_event() -> None:
    for segment_s in (0.1, 0.3, 0.7, 3.0):
        for bandwidth in (1.0, 3.0, 7.0):
            just = video(50, segment_s, (bandwidth,))
            session = Player().play(just, steady(bandwidth), Fixed(0))
            assert (session.rebuffer_events, session.rebuffer_s) == (0, 0.0)


def test_the_next_segment_must_have_room() -> None:
    # 0.2 s per download: the buffer grows by 1.8 s until 3 s of 5 s are left for the next segment
    script = Script([Choice(0)])
    session = Player(max_buffer_s=5.0).play(video(6), steady(10.0), script)
    assert [view.buffer_s for view in script.views] == pytest.approx([0.0, 2.0, 3.0, 3.0, 3.0, 3.0])
    assert script.waits == pytest.approx([0.8, 1.8, 1.8, 1.8])
    starts_s = [download.start_s for download in session.downloads]
    assert starts_s == pytest.approx([0.0, 0.2, 1.2, 3.2, 5.2, 7.2])
    full = Player(max_buffer_s=5.0, room_for_next=False).play(video(6), steady(10.0), script)
    assert max(view.buffer_s for view in script.views) == pytest.approx(5.0)
    assert full.play_time_s == pytest.approx(session.play_time_s)


def test_a_rule_sees_the_buffer_and_its_wait_passes() -> None:
    script = Script([Choice(0), Choice(1, wait_s=0.5), Choice(0, wait_s=9.0)])
    session = Player().play(video(3), steady(4.0), script)
    assert [(view.segment, view.last_level) for view in script.views] == [(0, None), (1, 0), (2, 1)]
    assert [view.buffer_s for view in script.views] == pytest.approx([0.0, 2.0, 2.5])
    assert session.downloads == tuple(script.told)
    assert [download.start_s for download in script.told] == pytest.approx([0.0, 1.0, 11.0])
    assert script.told[1].buffer_s == pytest.approx(1.5)
    assert script.waits == []
    assert session.stalls_s == pytest.approx((0.0, 0.0, 7.0))


def test_time_is_startup_playback_and_standstill() -> None:
    """The end of the last download and the buffer then left are the play time, whatever happens."""
    rng = random.Random(3)
    for rule in policies("abr").values():
        periods = [(rng.uniform(0.5, 4.0), rng.uniform(0.0, 4e6), 0.05) for _ in range(30)]
        trace = NetworkTrace("random", *map(tuple, zip(*periods, strict=True)))
        played = Player(max_buffer_s=12.0).play(video(60), trace, rule())
        last = played.downloads[-1]
        waited_s = last.end_s - last.start_s
        buffer_s = max(last.buffer_s - waited_s, 0.0) + 2.0
        assert played.play_time_s == pytest.approx(last.end_s + buffer_s)
        assert played.play_time_s == pytest.approx(played.startup_s + played.rebuffer_s + 120.0)
        for before, after in zip(played.downloads, played.downloads[1:], strict=False):
            assert before.start_s < before.first_byte_s < before.end_s <= after.start_s + 1e-9
            assert after.buffer_s <= 10.0 + 1e-9


def test_a_short_trace_starts_over_and_says_so_once() -> None:
    trace = NetworkTrace("short", (3.0,), (1e6,))
    session = Player().play(video(10), trace, Fixed(0))
    assert session.notes == ["short (3 s) is shorter than the session: it starts over"]
    long = Player().play(video(10), steady(1.0), Fixed(0))
    assert long.levels == session.levels
    assert long.play_time_s == pytest.approx(session.play_time_s)


def test_a_session_may_begin_anywhere_in_the_trace() -> None:
    trace = NetworkTrace("steps", (10.0, 10.0), (1e6, 4e6))
    session = Player().play(video(1), trace, Fixed(0), start_s=9.0)
    assert session.downloads[0].start_s == 0.0
    assert session.downloads[0].end_s == pytest.approx(1.25)
    assert Player().play(video(1), trace, Fixed(0), start_s=29.0).startup_s == pytest.approx(1.25)


def test_the_first_level_may_be_the_players() -> None:
    assert Player(first_level=1).play(video(3), steady(9.0), Fixed(0)).levels == (1, 0, 0)
    assert Player(first_level=9).play(video(2), steady(9.0), Fixed(0)).levels == (1, 0)


def test_pensieve() -> None:
    """Against Pensieve's loop, written down anew from its description: delays, sleeps and buffer of every chunk."""
    rng = random.Random(11)
    bandwidths = [rng.uniform(0.3, 12.0) for _ in range(80)]
    trace = NetworkTrace("cooked", (1.0,) * 80, tuple(mbps * 1e6 for mbps in bandwidths), (9.0,) * 80)
    sizes = tuple(tuple(rate * rng.uniform(3.0, 5.0) for rate in (0.3e6, 0.75e6, 1.2e6)) for _ in range(48))
    envivio = Video("envivio", 4.0, (0.3e6, 0.75e6, 1.2e6), sizes)
    levels = [1, *(rng.randrange(3) for _ in range(47))]
    session = PENSIEVE.play(envivio, trace, Script([Choice(0), *map(Choice, levels[1:])]))
    assert list(session.levels) == levels

    time_s = buffer_s = 0.0
    slept = False
    for segment, level in enumerate(levels):
        begin_s, left = time_s, sizes[segment][level]
        while left > 1e-6:
            rate = bandwidths[int(time_s + 1e-12) % 80] * 0.95e6
            step_s = min(left / rate, math.floor(time_s + 1e-12) + 1.0 - time_s)
            left, time_s = left - rate * step_s, time_s + step_s
        delay_s = time_s - begin_s + 0.08
        assert session.downloads[segment].time_s == pytest.approx(delay_s)
        assert session.stalls_s[segment] == pytest.approx(max(delay_s - buffer_s, 0.0), abs=1e-9)
        buffer_s = max(buffer_s - delay_s, 0.0) + 4.0
        if buffer_s > 60.0:
            sleep_s = math.ceil((buffer_s - 60.0) / 0.5) * 0.5
            buffer_s, time_s, slept = buffer_s - sleep_s, time_s + sleep_s, True
    assert slept
    assert session.startup_s == 0.0
    assert session.trace_end_s <= time_s


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_buffer_s": -1.0}, "max_buffer_s"),
        ({"max_buffer_s": math.nan}, "max_buffer_s"),
        ({"sleep_s": -1.0}, "sleep_s"),
        ({"rtt_s": -0.1}, "rtt_s"),
        ({"payload_share": 0.0}, "payload_share"),
        ({"payload_share": 1.5}, "payload_share"),
        ({"first_level": -1}, "first_level"),
    ],
)
def test_parameters_out_of_range(change: dict[str, float], field: str) -> None:
    with pytest.raises(InputError, match=f"{field}: .* is out of range"):
        replace(Player(), **change)


def test_a_buffer_without_room_and_a_start_before_the_trace() -> None:
    with pytest.raises(InputError, match=r"a buffer of 1.5 s has no room for a segment of 2 s"):
        Player(max_buffer_s=1.5).play(video(1), steady(1.0), Fixed(0))
    with pytest.raises(InputError, match="cannot begin at -1"):
        Player().play(video(1), steady(1.0), Fixed(0), start_s=-1.0)


@pytest.mark.parametrize(
    "answer",
    [Choice(2), Choice(-1), Choice(0.5), Choice(0, -1.0), Choice(0, math.inf), Choice(0, math.nan), 0],
)
def test_a_rule_that_decides_nonsense_is_named(answer: object) -> None:
    with pytest.raises(PolicyError, match="abr policy of class Script"):
        Player().play(video(2), steady(1.0), Script([answer]))  # type: ignore[list-item]


def test_tiny_segments_on_a_fast_network() -> None:
    tiny = Video("tiny", 1.0, (1.0, 2.0), ((1e-9, 2e-9),) * 20)
    for name in policies("abr"):
        session = Player().play(tiny, steady(1e6), find("abr", name)())
        assert session.rebuffer_s == 0.0
