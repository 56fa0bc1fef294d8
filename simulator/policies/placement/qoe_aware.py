"""What the user gets against what it costs, by declared weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.quantity import Weight
from simulator.policies.placement.protocol import Ask, PlaceView
from simulator.policies.registry import register


@register("placement", "qoe_aware")
@dataclass(frozen=True, slots=True)
class QoeAware:
    """The highest score: streamed-text QoE and declared quality, less the phone's energy and the latency, by weight."""

    qoe: Weight = 1.0
    """Weight of the predicted streamed-text QoE (0 to 1)."""
    quality: Weight = 0.1
    """Weight of the place's declared quality (0 to 1, a surrogate)."""
    per_joule: Weight = 0.002
    """What one joule of the phone's battery takes off."""
    per_second: Weight = 0.005
    """What one second of predicted end-to-end latency takes off."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the place with the highest score, the first of several."""
        return max(places, key=self.score).name

    def score(self, place: PlaceView) -> float:
        """Return what a place is worth."""
        gain = self.qoe * place.qoe + self.quality * place.quality
        return gain - self.per_joule * place.energy_j - self.per_second * place.e2e_s
