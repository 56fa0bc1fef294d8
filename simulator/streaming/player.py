"""One player: downloads a video's segments over a network trace, one after the other, and plays them.

The semantics are those of Sabre (Spiteri, Sitaraman, Sparacio, MMSys 2018), abandonment left out:

- Before a request the buffer must have room for one more segment; where it has none, playback makes it.
- Then the rule is asked. A wait that it wants passes, and the segment is requested.
- A request costs one latency and then the integral of bandwidth. The next one follows at once.
- Playback starts when the first segment is there. Until then is start-up; later standstills are rebuffering.
- After the last download the buffer is played out.

`PENSIEVE` sets what Pensieve's environment (Mao et al., SIGCOMM 2017) does otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from devices.errors import Fault, InputError
from simulator.policies.abr import Abr, AbrSession, AbrView, Choice, Download
from simulator.policies.abr.protocol import check_choice
from simulator.streaming.network_trace import NetworkTrace
from simulator.streaming.video import Video

ROUNDING_S = 1e-9
"""A standstill that is shorter is the rounding of a segment that came just in time."""


@dataclass(frozen=True, slots=True)
class Player:
    """What a player does whatever the rule. The defaults are Sabre's.

    Raises
    ------
    InputError
        Where a number is out of range; every fault at once.
    """

    max_buffer_s: float = 25.0
    """Most playing time in the buffer, in s."""
    room_for_next: bool = True
    """The segment to be requested counts towards `max_buffer_s`; False: only what is in the buffer does."""
    sleep_s: float = 0.0
    """A full buffer is waited for in multiples of this, in s; 0: just as long as needed."""
    rtt_s: float | None = None
    """Latency of every request, during which the trace stands still, in s; None: the trace's own, which passes."""
    payload_share: float = 1.0
    """Share of the bandwidth that carries segments and not headers."""
    first_level: int | None = None
    """Level of the first segment, whatever the rule; None: the rule decides."""
    startup_is_rebuffering: bool = False
    """Waiting for the first segment counts as rebuffering."""

    def __post_init__(self) -> None:
        ranges = {
            "max_buffer_s": (self.max_buffer_s, 0.0, math.inf),
            "sleep_s": (self.sleep_s, 0.0, 3600.0),
            "rtt_s": (self.rtt_s or 0.0, 0.0, 3600.0),
            "payload_share": (self.payload_share, 1e-6, 1.0),
            "first_level": (self.first_level or 0, 0, math.inf),
        }
        faults = [
            Fault(f"{value!r} is out of range; allowed: {low:g} to {high:g}", name)
            for name, (value, low, high) in ranges.items()
            if not low <= value <= high
        ]
        if faults:
            raise InputError(faults)

    def play(self, video: Video, trace: NetworkTrace, rule: Abr, start_s: float = 0.0) -> Session:
        """Play a whole video.

        Parameters
        ----------
        video
            What is played.
        trace
            The network; it starts over where it ends.
        rule
            Chooses the levels.
        start_s
            Where in the trace the session begins, in s from its start.

        Returns
        -------
        Session
            Every download, and the figures that follow from them.

        Raises
        ------
        InputError
            Where the buffer holds less than a segment, or `start_s` is negative.
        PolicyError
            Where the rule answers with a level that is not in the ladder, or a wait that is negative.
        """
        most_s = self.max_buffer_s - (video.segment_s if self.room_for_next else 0.0)
        if most_s < 0.0:
            message = (
                f"a buffer of {self.max_buffer_s:g} s has no room for a segment of {video.segment_s:g} s"
            )
            raise InputError(Fault(message, "max_buffer_s"))
        if not 0.0 <= start_s < math.inf:
            raise InputError(Fault(f"a session cannot begin at {start_s!r} s of a trace", "start_s"))
        network = trace if self.payload_share == 1.0 else trace.scaled(self.payload_share)
        session = rule.session(video, self.max_buffer_s)
        playback = _Playback(network, start_s, self.rtt_s)
        downloads: list[Download] = []
        last: int | None = None
        for segment, sizes_bits in enumerate(video.sizes_bits):
            if playback.buffer_s > most_s:
                self._make_room(playback.buffer_s - most_s, playback, session)
            choice = session.choose(AbrView(segment, playback.buffer_s, last))
            check_choice(choice, rule, video.levels)
            if last is None and self.first_level is not None:
                choice = Choice(min(self.first_level, video.levels - 1))
            if choice.wait_s:
                playback.wait(choice.wait_s)
            download = playback.download(segment, choice.level, sizes_bits[choice.level])
            session.downloaded(download)
            downloads.append(download)
            playback.buffer_s += video.segment_s
            last = choice.level
        return Session(self, video, trace, start_s, playback.trace_s, tuple(downloads))

    def _make_room(self, wait_s: float, playback: _Playback, session: AbrSession) -> None:
        if self.sleep_s:
            wait_s = self.sleep_s * math.ceil(wait_s / self.sleep_s)
        playback.wait(wait_s)
        session.waited(wait_s)


PENSIEVE = Player(
    max_buffer_s=60.0,
    room_for_next=False,
    sleep_s=0.5,
    rtt_s=0.08,
    payload_share=0.95,
    first_level=1,
    startup_is_rebuffering=True,
)
"""Pensieve's environment, without its noise: its first segment is of 750 kbit/s, the second level of its ladder."""


@dataclass(frozen=True, slots=True)
class Session:
    """One playback: every download, and what follows from them."""

    player: Player
    """What played."""
    video: Video
    """What was played."""
    trace: NetworkTrace
    """The network."""
    start_s: float
    """Where in the trace it began, in s."""
    trace_end_s: float
    """Where in the trace the last download ended, in s; beyond the trace's duration where that started over."""
    downloads: tuple[Download, ...]
    """One per segment, in order."""

    @property
    def levels(self) -> tuple[int, ...]:
        """Level of each segment."""
        return tuple(download.level for download in self.downloads)

    @property
    def stalls_s(self) -> tuple[float, ...]:
        """Rebuffering before each segment, in s."""
        first, *others = (download.stall_s for download in self.downloads)
        return (first if self.player.startup_is_rebuffering else 0.0, *others)

    @property
    def startup_s(self) -> float:
        """Time to the first picture, in s; 0 where that counts as rebuffering."""
        return 0.0 if self.player.startup_is_rebuffering else self.downloads[0].stall_s

    @property
    def rebuffer_s(self) -> float:
        """Time that playback stood still after its start, in s."""
        return sum(self.stalls_s)

    @property
    def rebuffer_events(self) -> int:
        """How often the buffer ran empty during playback."""
        return sum(stall_s > 0.0 for stall_s in self.stalls_s)

    @property
    def play_time_s(self) -> float:
        """Time from the first request to the last picture, in s."""
        return self.startup_s + self.rebuffer_s + self.video.duration_s

    @property
    def bitrate_bps(self) -> float:
        """Nominal bitrate on average over `play_time_s`, in bit/s."""
        rates = self.video.bitrates_bps
        return sum(rates[level] for level in self.levels) * self.video.segment_s / self.play_time_s

    def score(self, stall_per_segment: float = 5.0) -> float:
        """Return BOLA's utility less the price of rebuffering, on average over `play_time_s`.

        Parameters
        ----------
        stall_per_segment
            Price of standing still for a segment's playing time, in units of utility.
        """
        rates, segment_s = self.video.bitrates_bps, self.video.segment_s
        utility = sum(math.log(rates[level] / rates[0]) for level in self.levels)
        price = stall_per_segment * self.rebuffer_s / segment_s
        return (utility - price) * segment_s / self.play_time_s

    @property
    def notes(self) -> list[str]:
        """What a reader must know of this session."""
        notes = list(self.trace.notes) if self.player.rtt_s is None else []
        if self.trace_end_s > self.trace.duration_s:
            notes.append(
                f"{self.trace.name} ({self.trace.duration_s:.6g} s) is shorter than the session: it starts over"
            )
        return notes


class _Playback:
    """Where a session stands: in the trace, in time, and in its buffer."""

    def __init__(self, network: NetworkTrace, start_s: float, rtt_s: float | None) -> None:
        self._network, self._start_s, self._rtt_s = network, start_s, rtt_s
        self.trace_s = start_s
        self._held_s = 0.0  # time for which the trace stood still
        self.buffer_s = 0.0
        self._stall_s = 0.0  # since the last download

    @property
    def now_s(self) -> float:
        """Time since the session began, in s."""
        return self.trace_s - self._start_s + self._held_s

    def wait(self, wait_s: float) -> None:
        """Let time pass."""
        self.trace_s += wait_s
        self._play(wait_s)

    def download(self, segment: int, level: int, bits: float) -> Download:
        """Download a segment; it is not added to the buffer."""
        start_s, buffer_s = self.now_s, self.buffer_s
        if self._rtt_s is None:
            self.trace_s = self._network.first_byte_s(self.trace_s)
        else:
            self._held_s += self._rtt_s
        first_byte_s = self.now_s
        self.trace_s = self._network.last_byte_s(self.trace_s, bits)
        end_s = self.now_s
        self._play(end_s - start_s)
        stall_s, self._stall_s = self._stall_s, 0.0
        return Download(segment, level, bits, start_s, first_byte_s, end_s, buffer_s, stall_s)

    def _play(self, time_s: float) -> None:
        lack_s = time_s - self.buffer_s
        if lack_s > ROUNDING_S:
            self._stall_s += lack_s
        self.buffer_s = max(-lack_s, 0.0)
