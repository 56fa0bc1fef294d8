"""In which order the ready nodes of answers enter the engine."""

from simulator.policies.node_order.protocol import NodeOrder, ReadyNode

__all__ = ["NodeOrder", "ReadyNode"]
