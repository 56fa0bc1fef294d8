"""First ready, first admitted."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.node_order.protocol import ReadyNode
from simulator.policies.registry import register


@register("node_order", "fifo")
@dataclass(frozen=True, slots=True)
class Fifo:
    """Generations keep the order in which they became ready."""

    ahead_of_requests: bool = False
    """Generations also go before requests that wait for their first one: answers begun are finished first."""

    def key(self, node: ReadyNode) -> float:
        """Treat all alike."""
        return 0.0
