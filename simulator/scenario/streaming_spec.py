"""The streaming parts of a scenario file: phones and their networks, and the service that plays video to them.

As in `simulator.scenario.spec`, field names are the keys of the YAML file and types carry the unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from devices.quantity import (
    BytesPerSecond,
    Count,
    Metres,
    Multiple,
    NonNegativeCount,
    PerSecond,
    Ratio,
    Seconds,
    Tagged,
)
from simulator.policies.collaboration.oasis import Oasis
from simulator.policies.registry import PolicyOf


@dataclass(frozen=True, slots=True)
class SteadyNetwork:
    """A network that never changes."""

    bandwidth: BytesPerSecond
    """Download bandwidth of each phone."""
    latency: Seconds = 0.08
    """Round trip of a request."""
    trace: Literal["steady"] = "steady"
    """Kind of network."""


@dataclass(frozen=True, slots=True)
class SyntheticNetwork:
    """Markov-modulated bandwidth with the statistics of a real data set, drawn anew for each phone and session."""

    like: str = "norway-3g"
    """Name in the catalogue of networks (`hetsim list networks`)."""
    scale: Multiple = 1.0
    """Factor of every bandwidth."""
    trace: Literal["synthetic"] = "synthetic"
    """Kind of network."""


@dataclass(frozen=True, slots=True)
class RecordedNetwork:
    """A recorded trace: Sabre's JSON, Pensieve's two columns, Mahimahi's one, or a CSV of the Irish 5G data set."""

    path: str
    """The file; or a folder, from whose files each phone and session draws one."""
    start: Seconds | None = None
    """Time of the trace at which a session begins; None: drawn for each phone and session."""
    scale: Multiple = 1.0
    """Factor of every bandwidth."""
    trace: Literal["recorded"] = "recorded"
    """Kind of network."""


@dataclass(frozen=True, slots=True)
class LinkNetwork:
    """A link of the scenario, whose bandwidth each download shares with all other transfers on it."""

    link: str
    """Name of the link; its latency is that of a request."""
    trace: Literal["link"] = "link"
    """Kind of network."""


Network = Annotated[SteadyNetwork | SyntheticNetwork | RecordedNetwork | LinkNetwork, Tagged("trace")]


@dataclass(frozen=True, slots=True)
class Npu:
    """A neural accelerator whose SR rates are predicted from a network's layers instead of measured on a handset."""

    soc: str
    """Chip, a device of kind soc (`hetsim list devices`)."""
    network: str = "quicksrnet-small"
    """SR network, such as ``quicksrnet-small``, ``xlsr`` or ``edsr-f32b5``."""
    precision: Literal["w8a8", "float"] = "w8a8"
    """Number format; not every chip has both."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where a phone goes."""

    at: Seconds
    """When."""
    x: Metres
    """Where to, east."""
    y: Metres = 0.0
    """Where to, north."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time out of range; the viewer plays on what is in its buffer."""

    start: Seconds
    """When the phone goes."""
    end: Seconds | None = None
    """When it is back; None: never."""


@dataclass(frozen=True, slots=True)
class ThermalSpec:
    """How a phone heats up: one thermal resistance, from its profile, and one capacity, with two thresholds."""

    ambient_c: float = 25.0
    """Temperature of the surroundings, and of the phone at the start, in degrees Celsius."""
    throttle_c: float = 43.0
    """From here on super-resolution is slower (the profile says by how much)."""
    stop_c: float = 48.0
    """From here on there is none, until the phone has cooled by two degrees."""
    time_constant: Seconds = 158.0
    """Time in which the distance to the final temperature falls to 37 %; above 0."""
    resistance_scale: Multiple = 1.0
    """Factor of the thermal resistance that the profile gives; above 1: in a case, on a bed."""


@dataclass(frozen=True, slots=True)
class PhoneSpec:
    """What a phone has and does, beyond its profile; the same for every phone of a device's `count`."""

    wwan: Network | None = None
    """Its own cellular network; None: it has none and lives on the others."""
    radio: Literal["lte", "5g-low", "5g-mmwave"] = "lte"
    """Technology of that network, for its power."""
    battery: Ratio = 1.0
    """How full the battery is at the start; above 0."""
    sr_rates: Mapping[str, PerSecond] | None = None
    """Frames super-resolved per second by combination, such as ``{180p-720p: 12/s}``, instead of the profile's."""
    npu: Npu | None = None
    """Chip and SR network that rates are predicted for, instead of the profile's; energy per frame is the chip's."""
    sr_scale: Multiple = 1.0
    """Factor of all these rates."""
    sr_overhead: Seconds = 0.0
    """Time that SR loses with each chunk, at no energy (0.14 s agrees best with the OASIS paper's tables)."""
    thermal: ThermalSpec = field(default_factory=ThermalSpec)
    """How it heats up (all but the profile's anchor is assumed)."""
    x: Metres = 0.0
    """Where it is at the start, east."""
    y: Metres = 0.0
    """Where it is at the start, north."""
    moves: tuple[Move, ...] = ()
    """Where it goes, in the order of time."""
    joins: Seconds = 0.0
    """When it begins to look for the group; at 0 it is a member from the start."""
    leaves: Seconds | None = None
    """When it leaves for good; None: it stays."""
    away: tuple[Absence, ...] = ()
    """Times out of range, in their order."""


@dataclass(frozen=True, slots=True)
class HelperSpec:
    """A GPU of an edge server that super-resolves for the phones of each group, and may download for them."""

    gpu: str
    """Device of kind gpu; its units are dealt out to the groups in turn."""
    network: str | None = None
    """SR network, such as ``edsr-f32b5``, whose rates are predicted from its layers (`hetsim list networks`)."""
    sr_rates: Mapping[str, PerSecond] | None = None
    """Instead: frames that a unit super-resolves per second by combination, where it does nothing else (assumed unless
    the scenario says where they are from)."""
    download: str | None = None
    """Link over which it can download chunks itself; None: phones bring it what it is to super-resolve."""
    access: str | None = None
    """Link over which each group's controller reaches it with its cellular radio, and the others through that phone;
    None: it is a station of their network."""
    x: Metres = 0.0
    """Where it is in each group's network, east; not used with `access`."""
    y: Metres = 0.0
    """Where it is in each group's network, north; not used with `access`."""


@dataclass(frozen=True, slots=True)
class StreamingPolicies:
    """The exchangeable decisions of a streaming service."""

    collaboration: Annotated[object, PolicyOf("collaboration")] = field(default_factory=Oasis)
    """Who downloads and who super-resolves each chunk; and which bitrate, unless `abr` says otherwise."""
    abr: Annotated[object, PolicyOf("collaboration")] | None = None
    """A collaboration policy whose half that picks bitrate and SR model replaces that of `collaboration`."""


@dataclass(frozen=True, slots=True)
class StreamingService:
    """Groups of phones, each of which watches one video together; a group of one phone is a single player."""

    kind: Literal["streaming"]
    """Kind of service."""
    phones: tuple[str, ...]
    """Devices of kind phone that take part; the first phone of a group runs the scheduler and the hotspot."""
    group_size: Count | None = None
    """Phones of a group, which are taken in their order (the last group may be smaller); None: all are one group."""
    helpers: Mapping[str, HelperSpec] = field(default_factory=dict)
    """Edge servers' GPUs that take part in every group, by name."""
    super_resolution: tuple[str, ...] = ("180p-720p", "180p-1080p", "360p-720p", "360p-1080p")
    """Combinations of a height that is downloaded and one that super-resolution (SR) makes of it; may be empty."""
    effective_bitrates: Mapping[str, BytesPerSecond] | None = None
    """By combination: bitrate at which the plain video looks as good. None: those inferred for OASIS's models."""
    wlan: Literal["hotspot", "wifi_direct"] = "hotspot"
    """Network among the phones."""
    buffer: Seconds = 25.0
    """Most video in the buffer of the viewer who has played most: it paces the downloads."""
    startup_chunks: Count = 1
    """Chunks in the buffer with which playback begins."""
    plain_first: NonNegativeCount = 0
    """Chunks at the start that are taken at the lowest level without SR, so that playback begins soon."""
    pipelined: bool = True
    """Whether a phone decodes, super-resolves and encodes side by side, or one whole chunk after the other."""
    radio_includes_idle: bool = True
    """Whether the published power of a cellular radio contains that of the awake phone (not documented: assumed)."""
    upper_bound: Literal["none", "any", "sr_only"] = "none"
    """Also compute a bound on the QoE that no policy can exceed (a linear programme for each session): over all
    policies, or over those that super-resolve every chunk, which is sharper."""
    policies: StreamingPolicies = field(default_factory=StreamingPolicies)
    """The exchangeable decisions."""
