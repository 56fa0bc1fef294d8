"""Quality of experience (QoE) of a played session, by every usual definition.

All figures have one shape, so that one class holds them: a quality per segment, a weight per second of stall, a
weight per unit of change between neighbouring segments (up and down apart), a weight per second of start-up::

    value = quality_weight * sum(q) + rise * sum(max(dq, 0)) + fall * sum(max(-dq, 0)) - stall_per_s * sum(stall)

Two forms are given. The *session* form is the sum above. The *per segment* form is its mean over segments; OASIS
divides the changes by their number, one less than that of segments. The start-up penalty stands apart in both: what
a figure's source subtracts for it is `Qoe.startup_penalty`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from devices.catalogue import unknown_name
from devices.errors import Fault, InputError

if TYPE_CHECKING:
    from simulator.streaming.player import Session

Floats = NDArray[np.float64]

ENVIVIO_LADDER_BPS = (300e3, 750e3, 1200e3, 1850e3, 2850e3, 4300e3)
"""Ladder of the EnvivioDash3 video of Pensieve's test bed: where two figures below are defined."""


@dataclass(frozen=True, slots=True, init=False)
class PlayedSession:
    """What a viewer has seen, segment by segment.

    Parameters
    ----------
    ladder_bps
        Nominal bitrates of the levels, rising, bit/s.
    levels
        Level of each segment as downloaded, shape ``(segments,)``.
    stalls_s
        Seconds for which playback stood still before each segment, shape ``(segments,)``; start-up is not a stall.
    startup_s
        Seconds from the request to the first picture.
    measured
        What is known per segment beyond the ladder, by name, each of shape ``(segments,)``: ``vmaf``,
        ``ssim_db``, ``effective_mbps`` (Mbit/s, see `simulator.streaming.effective_bitrate`).

    Raises
    ------
    InputError
        Where there is no segment, the shapes differ, a level is not on the ladder, or a time is below 0 or not
        finite.
    """

    ladder_bps: tuple[float, ...]
    levels: NDArray[np.int64]
    stalls_s: Floats
    startup_s: float
    measured: Mapping[str, Floats]

    def __init__(
        self,
        ladder_bps: Iterable[float],
        levels: ArrayLike,
        stalls_s: ArrayLike,
        startup_s: float = 0.0,
        measured: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        columns = {name: np.asarray(values, np.float64) for name, values in (measured or {}).items()}
        for name, value in (
            ("ladder_bps", tuple(ladder_bps)),
            ("levels", np.asarray(levels, np.int64)),
            ("stalls_s", np.asarray(stalls_s, np.float64)),
            ("startup_s", float(startup_s)),
            ("measured", columns),
        ):
            object.__setattr__(self, name, value)
        self._check()

    @classmethod
    def of(cls, session: Session) -> PlayedSession:
        """Return what the viewer of a simulated session has seen."""
        return cls(session.video.bitrates_bps, session.levels, session.stalls_s, session.startup_s)

    def _check(self) -> None:
        shape = self.levels.shape
        if len(shape) != 1 or not shape[0]:
            raise InputError(Fault("a session without segments has no QoE"))
        for name, values in {"stalls": self.stalls_s, **self.measured}.items():
            if values.shape != shape or not np.isfinite(values).all():
                raise InputError(Fault(f"{name}: needs one finite number for each of {shape[0]} segments"))
        if self.levels.min() < 0 or self.levels.max() >= len(self.ladder_bps):
            raise InputError(Fault(f"levels must be from 0 to {len(self.ladder_bps) - 1}"))
        if self.stalls_s.min() < 0 or not 0 <= self.startup_s < float("inf"):
            raise InputError(Fault("stalls and start-up must be at least 0 seconds"))


@dataclass(frozen=True, slots=True)
class Qoe:
    """One figure of one session, term by term, in the figure's own unit."""

    quality: float
    """What the quality of the segments adds, summed."""
    switching: float
    """What changes of quality add; mostly below 0."""
    stall: float
    """What stalls add; at most 0."""
    startup_penalty: float
    """What the figure's source subtracts for start-up, at least 0; in neither value below."""
    segments: int
    """Number of segments."""
    switches: int
    """What the changes are divided by in `per_segment`."""

    @property
    def session(self) -> float:
        """Sum over the session, without start-up."""
        return self.quality + self.switching + self.stall

    @property
    def per_segment(self) -> float:
        """Mean per segment, without start-up."""
        return (self.quality + self.stall) / self.segments + self.switching / self.switches


@dataclass(frozen=True, slots=True)
class QoeFigure:
    """A definition of QoE."""

    title: str
    """What it measures, in a line."""
    source: str
    """Where it is defined."""
    of_level: Callable[[tuple[float, ...]], tuple[float, ...] | None]
    """Quality of each level of a ladder (bit/s, rising); None where it is not known for that ladder."""
    stall_per_s: float
    """Subtracted for each second of stall."""
    startup_per_s: float
    """Subtracted by the source for each second of start-up; kept apart here."""
    measured: str = ""
    """Column of `PlayedSession.measured` that takes precedence over the ladder, where the session has it."""
    quality_weight: float = 1.0
    """Factor of the quality of a segment."""
    rise: float = -1.0
    """Added for each unit by which quality rises from one segment to the next."""
    fall: float = -1.0
    """Added for each unit by which it falls."""
    mean_of_changes: bool = False
    """Whether `Qoe.per_segment` divides the changes by their number instead of that of segments."""

    def qualities(self, played: PlayedSession) -> Floats | None:
        """Return the quality of each segment, shape ``(segments,)``; None where it is not known."""
        if self.measured in played.measured:
            return played.measured[self.measured]
        of_level = self.of_level(played.ladder_bps)
        return None if of_level is None else np.array(of_level)[played.levels]

    def of(self, played: PlayedSession) -> Qoe | None:
        """Return the figure of a session; None where the quality of its segments is not known."""
        quality = self.qualities(played)
        if quality is None:
            return None
        change = np.diff(quality)
        up, down = float(change[change > 0].sum()), float(-change[change < 0].sum())
        segments = len(quality)
        return Qoe(
            quality=self.quality_weight * float(quality.sum()),
            switching=self.rise * up + self.fall * down,
            stall=-self.stall_per_s * float(played.stalls_s.sum()),
            startup_penalty=self.startup_per_s * played.startup_s,
            segments=segments,
            switches=max(segments - 1, 1) if self.mean_of_changes else segments,
        )


def mbps(ladder_bps: tuple[float, ...]) -> tuple[float, ...]:
    """Quality of each level: its bitrate in Mbit/s."""
    return tuple(bitrate / 1e6 for bitrate in ladder_bps)


def _kbps(ladder_bps: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(bitrate / 1e3 for bitrate in ladder_bps)


def _log(ladder_bps: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(log(bitrate / ladder_bps[0]) for bitrate in ladder_bps)


def _on_envivio(*qualities: float) -> Callable[[tuple[float, ...]], tuple[float, ...] | None]:
    """Qualities that are known for the Envivio ladder only."""
    return lambda ladder_bps: qualities if ladder_bps == ENVIVIO_LADDER_BPS else None


def _unknown(ladder_bps: tuple[float, ...]) -> None:
    """Quality that no ladder tells."""


_PENSIEVE = "Mao, Netravali, Alizadeh, 'Neural Adaptive Video Streaming with Pensieve', SIGCOMM 2017"

FIGURES: dict[str, QoeFigure] = {
    "linear": QoeFigure(
        title="Mbit/s of each segment - 4.3 per second of stall - change in Mbit/s (Pensieve's QoE_lin)",
        source=_PENSIEVE,
        of_level=mbps,
        stall_per_s=4.3,
        startup_per_s=4.3,  # its environment counts the first segment's download as rebuffering
    ),
    "log": QoeFigure(
        title="ln(bitrate / lowest) of each segment - 2.66 per second of stall - change (Pensieve's QoE_log)",
        source=_PENSIEVE + ", after BOLA (INFOCOM 2016)",
        of_level=_log,
        stall_per_s=2.66,
        startup_per_s=2.66,
    ),
    "hd": QoeFigure(
        title="score 1, 2, 3, 12, 15, 20 of each segment - 8 per second of stall - change (Pensieve's QoE_hd)",
        source=_PENSIEVE + "; defined for the Envivio ladder only",
        of_level=_on_envivio(1, 2, 3, 12, 15, 20),
        stall_per_s=8.0,
        startup_per_s=8.0,
    ),
    "yin": QoeFigure(
        title="kbit/s of each segment - 3000 per second of stall and of start-up - change in kbit/s (MPC)",
        source="Yin, Jindal, Sekar, Sinopoli, 'A Control-Theoretic Approach for Dynamic Adaptive Video Streaming "
        "over HTTP', SIGCOMM 2015",
        of_level=_kbps,
        stall_per_s=3000.0,
        startup_per_s=3000.0,
    ),
    "vmaf": QoeFigure(
        title="0.8469 VMAF - 28.796 per second of stall + 0.298 per unit up - 1.061 per unit down (Comyco)",
        source="Huang et al., 'Comyco: Quality-Aware Adaptive Video Streaming via Imitation Learning', ACM MM 2019; "
        "without VMAF per segment: the means of the Envivio ladder",
        of_level=_on_envivio(23.4, 63.7, 76.1, 85.1, 93.3, 99.95),
        measured="vmaf",
        quality_weight=0.8469,
        rise=0.298,
        fall=-1.061,
        stall_per_s=28.796,
        startup_per_s=28.796,
    ),
    "ssim": QoeFigure(
        title="SSIM in dB of each segment - 20 per second of stall - change in dB (Puffer's form)",
        source="Yan et al., 'Learning in situ: a randomized experiment in video streaming', NSDI 2020, for the form; "
        "Fugu itself weighs stalls by 100; needs SSIM per segment",
        of_level=_unknown,
        measured="ssim_db",
        stall_per_s=20.0,
        startup_per_s=0.0,  # reported apart
    ),
    "oasis": QoeFigure(
        title="effective Mbit/s (SR output on the plain quality-rate curve) - 4.3 per second of stall - change",
        source="Jin et al., 'OASIS: Collaborative Neural-Enhanced Mobile Video Streaming', MMSys 2024; without "
        "effective bitrates (no SR): the nominal ones",
        of_level=mbps,
        measured="effective_mbps",
        stall_per_s=4.3,
        startup_per_s=0.0,  # reported apart
        mean_of_changes=True,
    ),
}
"""Every figure by name."""


def figure(name: str) -> QoeFigure:
    """Return the figure called `name`.

    Raises
    ------
    InputError
        Where there is none; the message names the nearest one, or lists what there is.
    """
    if name not in FIGURES:
        raise InputError(Fault(unknown_name("QoE figure", name, FIGURES)))
    return FIGURES[name]


def qoe(played: PlayedSession, names: Iterable[str] | None = None) -> dict[str, Qoe | None]:
    """Return several figures of one session by name, all of `FIGURES` by default; None: not known for it.

    Raises
    ------
    InputError
        Where a name is unknown.
    """
    return {name: figure(name).of(played) for name in (FIGURES if names is None else names)}
