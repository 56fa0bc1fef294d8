"""Which replica serves a request."""

from simulator.policies.routing.protocol import Forecast, ReplicaView, RequestView, Routing

__all__ = ["Forecast", "ReplicaView", "RequestView", "Routing"]
