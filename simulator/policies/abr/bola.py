"""BOLA for videos of finite length."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.abr.bola_basic import BolaSession
from simulator.policies.abr.protocol import AbrSession, Ladder
from simulator.policies.registry import register


@register("abr", "bola")
@dataclass(frozen=True, slots=True)
class Bola:
    """BOLA that plans with a smaller buffer near the start and the end of the video.

    Source: Spiteri, Urgaonkar, Sitaraman, "BOLA: Near-Optimal Bitrate Adaptation for Online Videos", INFOCOM 2016,
    BOLA-FINITE and BOLA-U.
    """

    gamma_p: float = 5.0
    """Weight of smooth playback, in units of utility."""
    least_segments: float = 3.0
    """Segments in the buffer that it plans with at least."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(self, ladder, max_buffer_s)


class _Session(BolaSession):
    def __init__(self, rule: Bola, ladder: Ladder, max_buffer_s: float) -> None:
        super().__init__(ladder, max_buffer_s, rule.gamma_p)
        self._least_segments = rule.least_segments

    def planned_s(self, segment: int) -> float:
        near_end = min(segment, self._ladder.segments - segment)
        segments = max(near_end / 2, self._least_segments)
        return min(self._max_buffer_s, self._ladder.segment_s * segments)
