"""What becomes of a request whose GPU has failed."""

from simulator.policies.recovery.protocol import LostRequest, Recovery, Rescue

__all__ = ["LostRequest", "Recovery", "Rescue"]
