"""Which tokens go into an engine step."""

from simulator.policies.batching.protocol import Batching

__all__ = ["Batching"]
