"""Lost requests are lost for good."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.recovery.protocol import LostRequest, Rescue
from simulator.policies.registry import register


@register("recovery", "fail")
@dataclass(frozen=True, slots=True)
class Fail:
    """Counted as failed when its replica fails."""

    def rescue(self, request: LostRequest) -> Rescue | None:
        """Return None: nothing is tried again."""
        return None
