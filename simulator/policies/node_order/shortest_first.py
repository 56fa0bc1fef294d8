"""The shortest goes first."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.node_order.protocol import ReadyNode
from simulator.policies.registry import register


@register("node_order", "shortest_first")
@dataclass(frozen=True, slots=True)
class ShortestFirst:
    """The generation with the fewest tokens to decode goes first."""

    ahead_of_requests: bool = False
    """Generations also go before requests that wait for their first one: answers begun are finished first."""

    def key(self, node: ReadyNode) -> float:
        """Return the tokens to decode."""
        return node.tokens
