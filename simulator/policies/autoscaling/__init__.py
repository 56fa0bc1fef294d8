"""How many replicas of a service are switched on."""

from simulator.policies.autoscaling.protocol import Autoscaling, PoolView

__all__ = ["Autoscaling", "PoolView"]
