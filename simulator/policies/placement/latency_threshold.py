"""As near as the latency allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.quantity import Seconds
from simulator.policies.placement.protocol import Ask, PlaceView, least_e2e
from simulator.policies.registry import register


@register("placement", "latency_threshold")
@dataclass(frozen=True, slots=True)
class LatencyThreshold:
    """The nearest place (device, edge, cloud) whose predicted TTFT and TPOT keep two limits, else the quickest one."""

    ttft: Seconds = 1.0
    """Limit of the predicted time to first token."""
    tpot: Seconds = 0.1
    """Limit of the predicted time per further token."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the first place within the limits."""
        for place in places:
            if place.ttft_s <= self.ttft and place.tpot_s <= self.tpot:
                return place.name
        return least_e2e(places).name
