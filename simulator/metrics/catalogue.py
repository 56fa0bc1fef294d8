"""What the figures of a summary are: name, unit and definition, and what the path of one is called in a figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

METRICS = (
    ("ttft_s", "s", "time to first token: from arrival to the end of the step that yields the first token"),
    (
        "tpot_s",
        "s",
        "time per output token: (E2E - TTFT) / (output tokens - 1); not for answers of one token",
    ),
    ("e2e_s", "s", "end-to-end latency: from arrival to the end of the step that yields the last token"),
    (
        "throughput.requests_per_s",
        "1/s",
        "completed requests per second from first arrival to last completion",
    ),
    ("throughput.output_tokens_per_s", "1/s", "their output tokens per second"),
    ("requests.arrived", "", "requests that have arrived; also completed, failed, dropped, unfinished"),
    (
        "cache.hit_rate.TIER",
        "",
        "share of prompt tokens found in a tier at admission (gpu: the prefix cache)",
    ),
    ("cache.loaded_tokens.TIER", "", "prompt tokens whose KV was loaded from a tier"),
    ("cache.computed_tokens", "", "prompt tokens that were computed"),
    ("cache.preemptions", "", "times that a request lost its KV blocks and had to start over"),
    ("faults.failures", "", "failures of a service's replicas, in a scenario with faults"),
    ("faults.retries", "", "times that requests which were lost with a GPU were tried again"),
    ("faults.lost_tokens", "", "tokens of KV that requests under way had in the memory of failed GPUs"),
    ("faults.downtime_s", "s", "time for which replicas were down, summed over them"),
    ("decoding.generations", "", "sequences that an answer with a dependency graph was decoded in"),
    ("decoding.plan_tokens", "", "tokens decoded for planning, per answer; decoded_tokens: in all"),
    (
        "decoding.prompt_tokens",
        "",
        "lengths of all prompts of an answer; prefill_tokens: what was computed of them",
    ),
    ("decoding.ideal_speedup", "", "answer tokens over those on the longest path of the graph"),
    ("decoding.visible_dependencies", "", "share of dependencies that a node could see when it was decoded"),
    (
        "decoding.quality_surrogate.net_win_rate_over_ar",
        "",
        "surrogate of the net win rate over autoregressive decoding; low, high: anchors off by 0.05",
    ),
    ("gpu_busy_share", "", "GPU time in engine steps over GPU time in all"),
    ("storage.TIER.read_bytes", "B", "bytes loaded from a storage device; also written_bytes"),
    ("storage.TIER.busy_share", "", "share of time in which the device moves data"),
    ("energy_j.total", "J", "energy of all devices, idle power included; also devices.NAME"),
    (
        "sessions.played",
        "",
        "sessions of a streaming service; complete: all viewers that stayed saw the whole video",
    ),
    ("viewers.watched", "", "viewers that saw anything; also complete, and gone (left or without battery)"),
    ("qoe", "", "per chunk: effective Mbit/s - 4.3 per second of stall - change; start-up apart"),
    ("qoe.figures.NAME", "", "mean per chunk by another definition (hetsim list qoe)"),
    ("qoe.upper_bound", "", "what no policy can exceed, where the scenario asks for it"),
    ("rebuffer_s", "s", "time for which playback stood still after it had begun; rebuffer_events: how often"),
    ("startup_s", "s", "from the first request, or from joining, to the first picture"),
    ("bitrate_kbps", "kbit/s", "mean nominal bitrate of what was downloaded for the viewer"),
    ("effective_kbps", "kbit/s", "the same as it looks after super-resolution"),
    ("sr_share", "", "share of chunks with super-resolution; switches: changes of quality"),
    (
        "energy_per_phone_j",
        "J",
        "energy of a phone in a session; components.NAME: cellular, wlan, decode and so on",
    ),
    ("energy_fairness", "", "Jain's index of the energies of a session's phones: 1 where all spend alike"),
    ("battery_share.least", "", "lowest battery at the end of any session; also mean"),
    ("steady_state.from_s", "s", "end of the warm-up, where the scenario leaves one out (`warmup`)"),
    ("steady_state.left_out", "", "requests before that; reached: whether a steady state was found"),
    ("custom.NAME", "", "figure of a metric of the user's own; its name ends with its unit"),
)
"""Figures of a summary: name, unit, definition. Distributions have mean, p50, p90 and p99."""

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
class Described:
    """What a figure of a summary is."""

    service: str
    """The service that it is of; empty: of the whole run."""
    inner: str
    """Its path below the service."""
    title: str
    """What it is called, without its service and its unit."""
    unit: str
    """SI unit, ``share``, or empty."""
    definition: str
    """What it is; empty where `METRICS` has no entry."""

    @property
    def label(self) -> str:
        """Title and unit, for an axis."""
        title = self.title[:1].upper() + self.title[1:]
        return f"{title} ({self.unit})" if self.unit else title


def described(path: str) -> Described:
    """Return what the figure at a dotted path of a summary is, such as ``services.chat.e2e_s.mean``."""
    service, inner = _split(path)
    parts = inner.split(".")
    return Described(service, inner, _title(parts), _unit(parts), _definition(inner))


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
