"""One token after the other."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.registry import register


@register("decoding", "autoregressive")
@dataclass(frozen=True, slots=True)
class Autoregressive:
    """Each engine step decodes one token of the answer."""
