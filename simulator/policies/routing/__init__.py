"""Which replica serves a request."""

from simulator.policies.routing.protocol import Forecast, ReplicaView, RequestShape, RequestView, Routing

__all__ = ["Forecast", "ReplicaView", "RequestShape", "RequestView", "Routing"]
