"""Who of those that wait for a replica is admitted next."""

from simulator.policies.queueing.protocol import Queueing, WaitingRequest

__all__ = ["Queueing", "WaitingRequest"]
