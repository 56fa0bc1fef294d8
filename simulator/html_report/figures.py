"""What a figure of a summary is called, its unit, its definition, and with which others it is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulator.commands.listing import METRICS

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "Latency": ("ttft_s", "tpot_s", "e2e_s"),
    "Viewing": (
        "qoe", "rebuffer_s", "rebuffer_events", "startup_s", "bitrate_kbps", "effective_kbps", "sr_share", "switches",
    ),
    "Requests": ("requests", "throughput", "gpu_busy_share"),
    "Sessions": ("sessions", "viewers"),
    "KV cache": ("cache",),
    "Decoding": ("decoding",),
    "Phones": ("energy_per_phone_j", "energy_fairness", "battery_share"),
    "Own metrics": ("custom",),
    "Devices": ("storage", "energy_j", "simulated_s"),
}  # fmt: skip
"""Heading -> first parts of the paths below it; what is in none of them is under `OTHER`."""

OTHER: Final = "Other"

SURROGATE: Final = "quality_surrogate"
"""Part of the paths of what is no measurement and no simulation."""

_NAMES_FOLLOW = ("storage", "devices", "hit_rate", "loaded_tokens")
"""Parts after which a name of the scenario's stands: it tells no unit."""

_UNITS = (
    ("_per_s", "1/s"), ("_bytes", "B"), ("_kbps", "kbit/s"), ("_j", "J"), ("_s", "s"), ("_share", "share"),
    ("hit_rate", "share"), ("visible_dependencies", "share"),
)  # fmt: skip

_WORDS = {
    "ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "qoe": "QoE", "sr": "SR", "gpu": "GPU", "ar": "AR", "kv": "KV",
    "kbps": "", "wlan": "WLAN",
}  # fmt: skip


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
    services = list(dict.fromkeys(service for service, _ in map(_split, paths) if service))
    firsts = [*(first for several in GROUPS.values() for first in several)]

    def place(it: Figure) -> tuple[int, int]:
        first = _split(it.path)[1].partition(".")[0]
        return (
            services.index(it.service) if it.service else len(services),
            firsts.index(first) if first in firsts else len(firsts),
        )

    return sorted((_figure(path, len(services) > 1) for path in paths), key=place)


def _figure(path: str, several: bool) -> Figure:
    service, inner = _split(path)
    parts = inner.split(".")
    group = next((name for name, firsts in GROUPS.items() if parts[0] in firsts), OTHER)
    if service and several:
        group = f"{service} · {group}"
    return Figure(path, _title(parts), service, group, _unit(parts), _definition(inner), SURROGATE in parts)


def _split(path: str) -> tuple[str, str]:
    """Return the service of a path, and what follows it."""
    if not path.startswith("services."):
        return "", path
    _, service, inner = path.split(".", 2)
    return service, inner


def _unit(parts: Sequence[str]) -> str:
    known = [part for before, part in zip(("", *parts), parts, strict=False) if before not in _NAMES_FOLLOW]
    for part in reversed(known):
        for ending, unit in _UNITS:
            if part.endswith(ending):
                return unit
    return ""


def _title(parts: Sequence[str]) -> str:
    texts = []
    for before, part in zip(("", *parts), parts, strict=False):
        if before in _NAMES_FOLLOW:
            texts.append(part)
            continue
        bare = re.sub(r"_(s|j|bytes|share)$", "", part) if not part.endswith("_per_s") else part
        words = [_WORDS.get(word, word) for word in bare.removesuffix("_per_s").split("_")]
        texts.append(" ".join(filter(None, words)))
    return " ".join(texts)


def _definition(inner: str) -> str:
    """Return the definition under the longest name that the path begins with."""
    best, text = 0, ""
    for name, _, definition in METRICS:
        pattern = re.escape(name).replace("TIER", r"[^.]+").replace("NAME", r"[^.]+")
        match = re.match(rf"{pattern}(?=\.|$)", inner)
        if match and match.end() > best:
            best, text = match.end(), definition
    return text
