"""Every question at one kind of place: the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.policies.placement.protocol import Ask, PlaceView
from simulator.policies.registry import register


def _only(name: str, places: Sequence[PlaceView]) -> str | None:
    return name if any(place.name == name for place in places) else None


@register("placement", "device_only")
@dataclass(frozen=True, slots=True)
class DeviceOnly:
    """The phone answers everything itself; what does not fit into its model's context has failed."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The phone's own model."""
        return ("device",)

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the phone."""
        return _only("device", places)


@register("placement", "edge_only")
@dataclass(frozen=True, slots=True)
class EdgeOnly:
    """The edge answers everything."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The edge."""
        return ("edge",)

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the edge."""
        return _only("edge", places)


@register("placement", "cloud_only")
@dataclass(frozen=True, slots=True)
class CloudOnly:
    """The cloud answers everything."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The cloud."""
        return ("cloud",)

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the cloud."""
        return _only("cloud", places)
