"""Which level of a video's bitrate ladder to request next."""

from simulator.policies.abr.protocol import Abr, AbrSession, AbrView, Choice, Download, Ladder

__all__ = ["Abr", "AbrSession", "AbrView", "Choice", "Download", "Ladder"]
