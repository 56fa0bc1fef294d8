"""What the event core raises when asked for something it cannot honour."""

from __future__ import annotations

from devices.errors import SimulatorError


class CoreError(SimulatorError, ValueError):
    """An argument of the event core that makes no sense: a time in the past, a bandwidth below zero."""
