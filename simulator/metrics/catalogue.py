"""What the figures of a summary are: name, unit, direction, definition, and what the path of one is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HIGHER, LOWER, NEITHER = "higher", "lower", ""
"""Which values of a figure are better."""

METRICS = (
    (
        "ttft_s",
        "s",
        LOWER,
        "time to first token: from arrival to the end of the step that yields the first token",
    ),
    (
        "tpot_s",
        "s",
        LOWER,
        "time per output token: (E2E - TTFT) / (output tokens - 1); not for answers of one token",
    ),
    (
        "e2e_s",
        "s",
        LOWER,
        "end-to-end latency: from arrival to the end of the step that yields the last token",
    ),
    (
        "throughput.requests_per_s",
        "1/s",
        HIGHER,
        "completed requests per second from first arrival to last completion",
    ),
    ("throughput.output_tokens_per_s", "1/s", HIGHER, "their output tokens per second"),
    ("requests.arrived", "", NEITHER, "requests that have arrived"),
    ("requests.completed", "", HIGHER, "requests that were answered"),
    ("requests.failed", "", LOWER, "requests that could not be served, or were given up; also dropped"),
    ("requests.dropped", "", LOWER, "requests that were turned away"),
    ("requests.unfinished", "", LOWER, "requests that were under way when the run ended"),
    (
        "cache.hit_rate.TIER",
        "",
        HIGHER,
        "share of prompt tokens found in a tier at admission (gpu: the prefix cache)",
    ),
    ("cache.loaded_tokens.TIER", "", NEITHER, "prompt tokens whose KV was loaded from a tier"),
    ("cache.computed_tokens", "", NEITHER, "prompt tokens that were computed"),
    ("cache.preemptions", "", LOWER, "times that a request lost its KV blocks and had to start over"),
    ("faults.failures", "", LOWER, "failures of a service's replicas or phones, in a scenario with faults"),
    ("faults.slowdowns", "", LOWER, "slow-downs of a service's replicas or phones"),
    ("faults.retries", "", LOWER, "times that requests which were lost with a GPU were tried again"),
    (
        "faults.lost_tokens",
        "",
        LOWER,
        "tokens of KV that requests under way had in the memory of failed GPUs",
    ),
    ("faults.downtime_s", "s", LOWER, "time for which replicas or phones were down, summed over them"),
    ("faults.availability", "", HIGHER, "share of their time in which replicas or phones were not down"),
    ("faults.KIND.failures", "", LOWER, "failures of gpu (replicas), storage, link or phone, of all units"),
    ("faults.KIND.outages", "", LOWER, "times that they moved nothing for a while"),
    ("faults.KIND.slowdowns", "", LOWER, "times that a share of their speed was left for a while"),
    ("faults.KIND.downtime_s", "s", LOWER, "time for which they were failed or out, summed over them"),
    ("decoding.generations", "", NEITHER, "sequences that an answer with a dependency graph was decoded in"),
    ("decoding.plan_tokens", "", LOWER, "tokens decoded for planning, per answer"),
    ("decoding.decoded_tokens", "", LOWER, "tokens decoded in all, per answer"),
    ("decoding.prompt_tokens", "", LOWER, "lengths of all prompts of an answer"),
    (
        "decoding.prefill_tokens",
        "",
        LOWER,
        "what was computed of the prompts of an answer, again or for the first time",
    ),
    ("decoding.ideal_speedup", "", NEITHER, "answer tokens over those on the longest path of the graph"),
    (
        "decoding.visible_dependencies",
        "",
        HIGHER,
        "share of dependencies that a node could see when it was decoded",
    ),
    (
        "decoding.quality_surrogate.net_win_rate_over_ar",
        "",
        HIGHER,
        "surrogate of the net win rate over autoregressive decoding; low, high: anchors off by 0.05",
    ),
    (
        "kv_transfer.wait_s",
        "s",
        LOWER,
        "from a first token until the KV of its prompt has a place to go to, where a service prefills apart",
    ),
    ("kv_transfer.transfer_s", "s", LOWER, "time that the KV of a prompt takes to the replica that decodes"),
    ("kv_transfer.bytes", "B", NEITHER, "KV that was moved so"),
    (
        "slo.attainment",
        "",
        HIGHER,
        "share of the requests of workloads with an `slo` that keep it, of those of which that is known",
    ),
    ("slo.goodput_per_s", "1/s", HIGHER, "their requests that keep it, per second, counted as throughput is"),
    (
        "slo.classes.NAME",
        "",
        HIGHER,
        "the same for one class; also ttft_attainment, tpot_attainment: shares that keep that limit alone",
    ),
    ("slo.classes.NAME.requests", "", NEITHER, "requests of the class of which that is known"),
    (
        "gpu_busy_share",
        "",
        NEITHER,
        "GPU time in engine steps and in SR for phones, over GPU time in all",
    ),
    ("storage.TIER.read_bytes", "B", NEITHER, "bytes loaded from a storage device"),
    ("storage.TIER.written_bytes", "B", NEITHER, "bytes written to a storage device"),
    ("storage.TIER.busy_share", "", NEITHER, "share of time in which the device moves data"),
    ("energy_j.total", "J", LOWER, "energy of all devices, idle power included"),
    ("energy_j.devices.NAME", "J", LOWER, "energy of a device, idle power included"),
    ("users.count", "", NEITHER, "users of all services, where the scenario has `accounting`"),
    (
        "users.energy_per_user_j",
        "J",
        LOWER,
        "energy of the run per user: own (their phones), infrastructure (all other devices), total",
    ),
    (
        "accounting.cost_per_hour",
        "",
        LOWER,
        "cost of an average hour of the run, in the currency of the prices",
    ),
    ("accounting.cost", "", LOWER, "price of every unit for the time for which it was switched on"),
    (
        "accounting.carbon_g",
        "g",
        LOWER,
        "carbon of the electricity: energy of all devices times the given intensity",
    ),
    ("places.NAME.share", "", NEITHER, "share of an assistant's questions that were answered at a place"),
    ("places.NAME.ttft_s", "s", LOWER, "mean TTFT of the questions that were answered there"),
    ("places.NAME.e2e_s", "s", LOWER, "mean E2E of the questions that were answered there"),
    ("places.NAME.energy_j", "J", LOWER, "mean energy of the phone for a question that was answered there"),
    ("placed_again", "", LOWER, "placements of questions that had failed somewhere else before"),
    (
        "quality_surrogate",
        "",
        HIGHER,
        "mean of the quality that the scenario declares of the places: a surrogate",
    ),
    (
        "energy_per_ask_j",
        "J",
        LOWER,
        "what a phone spends on a question, on top of being awake; components.chip, components.radio",
    ),
    ("bound.ttft_s", "s", NEITHER, "mean of the least TTFT that any placement could have given"),
    ("bound.e2e_s", "s", NEITHER, "mean of the least E2E that any placement could have given"),
    (
        "prediction.ttft_error_s",
        "s",
        LOWER,
        "mean distance of the TTFT predicted at placement from what it came to",
    ),
    (
        "sessions.played",
        "",
        NEITHER,
        "sessions of a streaming service",
    ),
    ("sessions.complete", "", HIGHER, "sessions in which all viewers that stayed saw the whole video"),
    ("viewers.watched", "", NEITHER, "viewers that saw anything"),
    ("viewers.complete", "", HIGHER, "viewers that saw the whole video"),
    ("viewers.gone", "", LOWER, "viewers that left, failed or ran out of battery"),
    (
        "qoe",
        "",
        HIGHER,
        "llm: how closely an answer keeps to the timeline that its reader expects, 0 to 1 (docs/accounting.md); "
        "streaming: per chunk, effective Mbit/s - 4.3 per second of stall - change, start-up apart",
    ),
    ("qoe.figures.NAME", "", HIGHER, "mean per chunk by another definition (hetsim list qoe)"),
    ("qoe.upper_bound", "", NEITHER, "what no policy can exceed, where the scenario asks for it"),
    ("viewers.never_started", "", LOWER, "viewers that saw nothing: their figures of viewing are left out"),
    ("rebuffer_s", "s", LOWER, "time for which playback stood still after it had begun"),
    ("rebuffer_events", "", LOWER, "how often playback stood still after it had begun"),
    ("startup_s", "s", LOWER, "from the first request, or from joining, to the first picture"),
    ("bitrate_kbps", "kbit/s", HIGHER, "mean nominal bitrate of what was downloaded for the viewer"),
    ("effective_kbps", "kbit/s", HIGHER, "the same as it looks after super-resolution"),
    ("sr_share", "", NEITHER, "share of chunks with super-resolution"),
    ("switches", "", LOWER, "changes of quality"),
    (
        "energy_per_phone_j",
        "J",
        LOWER,
        "energy of a phone in a session; components.NAME: cellular, wlan, decode and so on",
    ),
    (
        "energy_fairness",
        "",
        HIGHER,
        "Jain's index of the energies of a session's phones: 1 where all spend alike",
    ),
    ("battery_share.least", "", HIGHER, "lowest battery at the end of any session"),
    ("battery_share.mean", "", HIGHER, "mean battery at the end of a session"),
    ("steady_state.from_s", "s", NEITHER, "end of the warm-up, where the scenario leaves one out (`warmup`)"),
    ("steady_state.left_out", "", NEITHER, "requests before that; reached: whether a steady state was found"),
    ("custom.NAME", "", NEITHER, "figure of a metric of the user's own; its name ends with its unit"),
)
"""Figures of a summary: name, unit, which values are better, definition. Distributions have mean, p50, p90 and p99."""

ACROSS = (
    "qoe.mean",
    "qoe.p10",
    "users.energy_per_user_j.own",
    "users.energy_per_user_j.infrastructure",
    "accounting.cost_per_hour.total",
    "accounting.cost.total",
    "accounting.carbon_g.total",
)
"""Figures that services of unlike kinds, and whole clusters, are weighed by (docs/accounting.md)."""

_NAMES_FOLLOW = ("places", "storage", "devices", "hit_rate", "loaded_tokens", "classes")
"""Parts after which a name of the scenario's stands: it tells no unit."""

_UNITS = (
    ("_per_s", "1/s"), ("_g", "g"), ("_bytes", "B"), ("_kbps", "kbit/s"), ("_j", "J"), ("_s", "s"), ("_share", "share"),
    ("hit_rate", "share"), ("visible_dependencies", "share"), ("attainment", "share"), ("availability", "share"),
)  # fmt: skip

_WORDS = {
    "ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "qoe": "QoE", "sr": "SR", "gpu": "GPU", "ar": "AR", "kv": "KV",
    "kbps": "", "wlan": "WLAN", "slo": "SLO",
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
    better: str
    """Which values are better: `HIGHER`, `LOWER` or `NEITHER`."""
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
    return Described(service, inner, _title(parts), _unit(parts), *_better_and_definition(inner))


def across(paths: Iterable[str]) -> list[str]:
    """Return those of the paths that are in `ACROSS`, service by service; those of the whole run come last.

    Where there is but one service, and nothing is accounted, there are none.
    """
    parts = {path: _split(path) for path in paths}
    services = [*dict.fromkeys(service for service, _ in parts.values() if service), ""]
    accounted = any(path.startswith(("users.", "accounting.")) for path in parts)
    if len(services) < 3 and not accounted:
        return []
    places = {place: path for path, place in parts.items()}
    return [places[service, name] for service in services for name in ACROSS if (service, name) in places]


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
    if parts[0] in ("users", "accounting") and len(parts) > 2:
        parts = parts[1:]  # what follows says it all
    texts = []
    for before, part in zip(("", *parts), parts, strict=False):
        if before in _NAMES_FOLLOW:
            texts.append(part)
            continue
        bare = re.sub(r"_(s|j|g|bytes|share)$", "", part) if not part.endswith("_per_s") else part
        words = [_WORDS.get(word, word) for word in bare.removesuffix("_per_s").split("_")]
        texts.append(" ".join(filter(None, words)))
    return " ".join(texts)


def _better_and_definition(inner: str) -> tuple[str, str]:
    """Return what stands with the longest name that the path begins with."""
    best, found = 0, (NEITHER, "")
    for name, _, better, definition in METRICS:
        pattern = (
            re.escape(name).replace("TIER", r"[^.]+").replace("NAME", r"[^.]+").replace("KIND", r"[^.]+")
        )
        match = re.match(rf"{pattern}(?=\.|$)", inner)
        if match and match.end() > best:
            best, found = match.end(), (better, definition)
    return found
