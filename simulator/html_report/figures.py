"""What a figure of a summary is called, its unit, its definition, and with which others it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.metrics.catalogue import described

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Latency": ("ttft_s", "tpot_s", "e2e_s"),
    "Viewing": (
        "qoe", "rebuffer_s", "rebuffer_events", "startup_s", "bitrate_kbps", "effective_kbps", "sr_share", "switches",
    ),
    "Requests": ("requests", "throughput", "gpu_busy_share"),
    "Sessions": ("sessions", "viewers"),
    "KV cache": ("cache",),
    "Decoding": ("decoding",),
    "Places": ("places", "placed_again", "quality_surrogate", "bound", "prediction"),
    "Phones": ("energy_per_ask_j", "energy_per_phone_j", "energy_fairness", "battery_share"),
    "Faults": ("faults",),
    "Own metrics": ("custom",),
    "Accounting": ("users", "accounting"),
    "Devices": ("storage", "energy_j", "simulated_s"),
}  # fmt: skip
"""Heading -> first parts of the paths below it; what is in none of them is under `OTHER`."""

OTHER: Final = "Other"

SURROGATE: Final = "quality_surrogate"
"""Part of the paths of what is no measurement and no simulation."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a summary."""

    path: str
    """Its dotted path."""
    title: str
    """What it is called, without its service and its unit."""
    service: str
    """The service that it is of; empty: of the whole run."""
    group: str
    """Heading, a key of `GROUPS` or `OTHER`; with the service before it where there are several."""
    unit: str
    """SI unit, ``share``, or empty."""
    definition: str
    """What it is, as `hetsim list metrics` says; empty where that has no entry."""
    surrogate: bool
    """Neither measured nor simulated."""


def figures(paths: Sequence[str]) -> list[Figure]:
    """Return the figures of these paths, service by service, in the order of `GROUPS`."""
    services = list(dict.fromkeys(it.service for it in map(described, paths) if it.service))
    firsts = [*(first for several in GROUPS.values() for first in several)]

    def place(it: Figure) -> tuple[int, int]:
        first = described(it.path).inner.partition(".")[0]
        return (
            services.index(it.service) if it.service else len(services),
            firsts.index(first) if first in firsts else len(firsts),
        )

    return sorted((_figure(path, len(services) > 1) for path in paths), key=place)


def _figure(path: str, several: bool) -> Figure:
    it = described(path)
    parts = it.inner.split(".")
    group = next((name for name, firsts in GROUPS.items() if parts[0] in firsts), OTHER)
    if it.service and several:
        group = f"{it.service} · {group}"
    return Figure(path, it.title, it.service, group, it.unit, it.definition, SURROGATE in parts)
