"""Where an assistant's question is answered: on the phone, at the edge or in the cloud."""

from simulator.policies.placement.protocol import Ask, Placement, PlaceView, least_e2e

__all__ = ["Ask", "PlaceView", "Placement", "least_e2e"]
