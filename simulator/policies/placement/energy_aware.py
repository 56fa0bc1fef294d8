"""As little of the battery as patience allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.quantity import Multiple
from simulator.policies.placement.protocol import Ask, PlaceView, least_e2e
from simulator.policies.registry import register


@register("placement", "energy_aware")
@dataclass(frozen=True, slots=True)
class EnergyAware:
    """The place that costs the phone least energy, among those that are not much slower than the quickest one."""

    patience: Multiple = 2.0
    """Most predicted end-to-end latency, as a multiple of that of the quickest place; below 1: the quickest place."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the cheapest place that is quick enough."""
        quickest = least_e2e(places)
        allowed_s = self.patience * quickest.e2e_s
        near = [place for place in places if place.e2e_s <= allowed_s] or [quickest]
        return min(near, key=lambda place: place.energy_j).name
