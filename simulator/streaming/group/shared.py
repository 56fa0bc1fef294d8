"""What a session shares with everything else on the clock: links of the scenario, and GPUs of edge servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simulator.core import Channel, WorkQueue


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
    processors: Mapping[str, Sequence[WorkQueue]] = field(default_factory=dict)
    """SR on the units of each GPU device that helps, by name."""
