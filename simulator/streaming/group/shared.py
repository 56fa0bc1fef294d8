"""What a session shares with everything else on the clock: links of the scenario, and GPUs of edge servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.core import Channel
from simulator.streaming.sr_processor import SrProcessor


@dataclass(frozen=True, slots=True)
class SharedLink:
    """A link that others use too, by name; `Shared` knows its channels."""

    name: str
    """Name in the scenario."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What is there besides the group."""

    links: Mapping[str, tuple[Channel, Channel]] = field(default_factory=dict)
    """Channels of each link by name: to the phones, and back."""
    processors: Mapping[str, SrProcessor] = field(default_factory=dict)
    """What does the SR of helpers, by `Helper.processor`."""
