"""Lost requests wait for their own replica."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import NonNegativeCount
from simulator.policies.recovery.protocol import LostRequest, Rescue
from simulator.policies.registry import register


@register("recovery", "retry")
@dataclass(frozen=True, slots=True)
class Retry:
    """Sent to the same replica again once that is repaired."""

    retries: NonNegativeCount = 3
    """How often one request is rescued; when it is lost once more, it has failed."""
    keep_generated: bool = True
    """Go on behind the tokens that were out (their KV is computed anew), instead of beginning the answer again."""

    def rescue(self, request: LostRequest) -> Rescue | None:
        """Return how a lost request goes on; None after too many retries."""
        return Rescue("same", self.keep_generated) if request.retries < self.retries else None
