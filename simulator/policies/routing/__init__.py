"""Which replica serves a request."""

from simulator.policies.routing.protocol import ReplicaView, Routing

__all__ = ["ReplicaView", "Routing"]
