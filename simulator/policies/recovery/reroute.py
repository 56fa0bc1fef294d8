"""Lost requests go to another replica at once."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import NonNegativeCount
from simulator.policies.recovery.protocol import LostRequest, Rescue
from simulator.policies.registry import register


@register("recovery", "reroute")
@dataclass(frozen=True, slots=True)
class Reroute:
    """Routed again among the replicas that are up; where none is, it waits for the first one."""

    retries: NonNegativeCount = 3
    """How often one request is rescued; when it is lost once more, it has failed."""
    keep_generated: bool = True
    """Go on behind the tokens that were out (their KV is computed anew), instead of beginning the answer again."""

    def rescue(self, request: LostRequest) -> Rescue | None:
        """Return how a lost request goes on; None after too many retries."""
        return Rescue("any", self.keep_generated) if request.retries < self.retries else None
