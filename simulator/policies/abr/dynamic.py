"""DYNAMIC: throughput while the buffer is low, BOLA while it is high."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.abr.bola import Bola
from simulator.policies.abr.protocol import AbrSession, AbrView, Choice, Download, Ladder
from simulator.policies.abr.throughput import Throughput
from simulator.policies.registry import register


@register("abr", "dynamic")
@dataclass(frozen=True, slots=True)
class Dynamic:
    """Two rules side by side; the one that does better at the present buffer decides.

    Source: Spiteri, Sitaraman, Sparacio, "From Theory to Practice: Improving Bitrate Adaptation in the DASH Reference
    Player", MMSys 2018 and TOMM 2019 (rule DYNAMIC).
    """

    threshold_s: float = 10.0
    """Buffer above which it may turn to BOLA, and below which it may turn back, in s."""

    def session(self, ladder: Ladder, max_buffer_s: float) -> AbrSession:
        """Return the rule at work on one playback."""
        return _Session(
            self.threshold_s, Bola().session(ladder, max_buffer_s), Throughput().session(ladder, max_buffer_s)
        )


class _Session(AbrSession):
    def __init__(self, threshold_s: float, bola: AbrSession, throughput: AbrSession) -> None:
        self._threshold_s = threshold_s
        self._bola, self._throughput = bola, throughput
        self._uses_bola = False

    def choose(self, view: AbrView) -> Choice:
        bola, throughput = self._bola.choose(view), self._throughput.choose(view)
        if self._uses_bola:
            if view.buffer_s < self._threshold_s and bola.level < throughput.level:
                self._uses_bola = False
        elif view.buffer_s > self._threshold_s and bola.level >= throughput.level:
            self._uses_bola = True
        return bola if self._uses_bola else throughput

    def waited(self, wait_s: float) -> None:
        self._bola.waited(wait_s)
        self._throughput.waited(wait_s)

    def downloaded(self, download: Download) -> None:
        self._bola.downloaded(download)
        self._throughput.downloaded(download)
