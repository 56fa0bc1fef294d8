"""How unlike the phones of a streaming service are, from the scenario alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from devices.catalogue import load_profile
from devices.phones import PhoneProfile
from simulator.scenario.spec import DeviceSpec, Scenario
from simulator.scenario.streaming_spec import PhoneSpec, RecordedNetwork, SteadyNetwork, SyntheticNetwork
from simulator.streaming.sr_rates import sr_frames_per_s


@dataclass(frozen=True, slots=True)
class Skew:
    """How unlike the phones are in each of some scenarios."""

    of: str
    """What they differ by."""
    ratios: tuple[float, ...]
    """Fastest over slowest phone, by scenario."""


def phones_of(scenario: Scenario, service: str) -> int:
    """Return how many phones take part in a streaming service."""
    return sum(device.count or 1 for device in _devices(scenario, service))


def skews(scenarios: Sequence[Scenario], service: str) -> dict[str, Skew]:
    """Return how unlike the phones are by super-resolution (SR) and by network, as far as both can be told.

    SR rates are compared at the first combination of the service that every phone which does any can do; networks
    by their bandwidth where it is steady, or by their scale where all phones have the same kind of network.
    """
    return {kind: skew for kind, of in _KINDS.items() if (skew := of(scenarios, service)) is not None}


def _by_sr(scenarios: Sequence[Scenario], service: str) -> Skew | None:
    tables = []
    for scenario in scenarios:
        spec = scenario.streaming_services[service]
        rates = []
        for device in _devices(scenario, service):
            profile = load_profile(device.profile)
            assert isinstance(profile, PhoneProfile)
            rates.append(sr_frames_per_s(device.phone or PhoneSpec(), profile, spec))
        tables.append([rate for rate in rates if rate])
    offered = scenarios[0].streaming_services[service].super_resolution
    for name in offered:
        if all(table and all(name in rates for rates in table) for table in tables):
            return Skew(
                f"SR rate ({name})", tuple(_ratio([rates[name] for rates in table]) for table in tables)
            )
    return None


def _by_wwan(scenarios: Sequence[Scenario], service: str) -> Skew | None:
    ratios, kinds = [], set()
    for scenario in scenarios:
        known = []
        for device in _devices(scenario, service):
            wwan = (device.phone or PhoneSpec()).wwan
            if isinstance(wwan, SteadyNetwork):
                known.append(("steady", wwan.bandwidth))
            elif isinstance(wwan, SyntheticNetwork):
                known.append((wwan.like, wwan.scale))
            elif isinstance(wwan, RecordedNetwork):
                known.append((wwan.path, wwan.scale))
        if len({kind for kind, _ in known}) != 1:
            return None
        kinds.add(known[0][0])
        ratios.append(_ratio([speed for _, speed in known]))
    return Skew("WWAN bandwidth" if kinds == {"steady"} else "scale of the WWAN's bandwidth", tuple(ratios))


_KINDS: Final[Mapping[str, Callable[[Sequence[Scenario], str], Skew | None]]] = MappingProxyType(
    {"sr": _by_sr, "wwan": _by_wwan}
)

PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sr": r"devices\.[^.]+\.(profile|phone\.(sr_rates|sr_scale|npu)(\..+)?)",
        "wwan": r"devices\.[^.]+\.phone\.wwan(\..+)?",
    }
)
"""Paths of a scenario that a skew comes from, as regular expressions."""


def _devices(scenario: Scenario, service: str) -> list[DeviceSpec]:
    return [scenario.devices[name] for name in scenario.streaming_services[service].phones]


def _ratio(speeds: Sequence[float]) -> float:
    return round(max(speeds) / min(speeds), 9)  # what differs by rounding is the same skew
