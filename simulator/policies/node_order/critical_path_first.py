"""What most hangs on goes first."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.node_order.protocol import ReadyNode
from simulator.policies.registry import register


@register("node_order", "critical_path_first")
@dataclass(frozen=True, slots=True)
class CriticalPathFirst:
    """The generation with the longest chain of tokens ahead goes first (the rule of list scheduling)."""

    ahead_of_requests: bool = False
    """Generations also go before requests that wait for their first one: answers begun are finished first."""

    def key(self, node: ReadyNode) -> float:
        """Return the tokens ahead, the most first."""
        return -node.ahead_tokens
