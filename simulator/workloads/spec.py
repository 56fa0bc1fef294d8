"""The `workloads` section of a scenario as frozen dataclasses.

A workload is what is asked of one service: a stream of requests, from a real trace read by path or a generator; or a
video to be played. The key ``trace`` tells which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from devices.quantity import (
    BytesPerSecond,
    Count,
    NonNegativeCount,
    PerSecond,
    Quantity,
    Ratio,
    Seconds,
    Tagged,
    Variation,
)
from simulator.workloads.arrival_spec import Arrivals, Poisson
from simulator.workloads.graph_shapes import ByCategory, GraphShape
from simulator.workloads.length_spec import Lengths
from simulator.workloads.slo import SloClass


@dataclass(frozen=True, slots=True)
class Sessions:
    """Conversations: each turn's prompt is all that was said before plus a new message."""

    turns: Lengths
    """Turns per session."""
    think_time: Seconds
    """Mean of the exponential pause between an answer's end and the next turn."""
    shared_prefix_tokens: NonNegativeCount = 0
    """System prompt that all sessions share."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Prompts whose KV lies in a tier before the run starts."""

    tier: str
    """Storage device that holds it."""
    share: Ratio = 1.0
    """Share of each prompt, from its front."""


@dataclass(frozen=True, slots=True)
class _Common:
    service: str
    """Service that answers the requests."""
    requests: Count | None = None
    """At most this many requests from `start` on; None: all (a generator needs this or `duration`)."""
    start: Seconds = 0.0
    """Skip what arrives before this time of the trace, counted before any `rate_scale`; it becomes time 0."""
    duration: Seconds | None = None
    """Stop this long after `start`, in time of the trace; None: to the end."""
    delay: Seconds = 0.0
    """Simulated time at which the workload begins."""
    stored: Stored | None = None
    """Prompt KV that is stored beforehand; None: only what the run itself has cached."""
    slo: SloClass | None = None
    """How much its requests matter and what they are promised; None: they have no class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureTrace(_Common):
    """Azure LLM inference trace 2023: CSV with TIMESTAMP, ContextTokens, GeneratedTokens."""

    trace: Literal["azure"]
    """Kind of workload."""
    path: str
    """The CSV file."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MooncakeTrace(_Common):
    """Mooncake trace: JSONL with timestamp (ms), input_length, output_length, hash_ids per 512 tokens."""

    trace: Literal["mooncake"]
    """Kind of workload."""
    path: str | None = None
    """The JSONL file. None: an embedded *synthetic* workload with the conversation trace's statistics."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareGptTrace(_Common):
    """ShareGPT-300: CSV with hardware, model, request_id, arrival_s, input_toks, output_toks."""

    trace: Literal["sharegpt"]
    """Kind of workload."""
    path: str
    """The CSV file."""
    hardware: str | None = None
    """Keep only rows of this set-up; None: the file's first one."""
    model: str | None = None
    """Keep only rows of this model; None: the first one of that hardware."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvTrace(_Common):
    """Plain CSV: arrival_s, input_tokens, output_tokens, and optionally hash_ids (space-separated)."""

    trace: Literal["csv"]
    """Kind of workload."""
    path: str
    """The CSV file."""
    hash_block_tokens: Count = 512
    """Tokens per entry of hash_ids."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic(_Common):
    """Generated requests: an arrival process and two length distributions."""

    trace: Literal["synthetic"]
    """Kind of workload."""
    input_tokens: Lengths
    """Prompt lengths (of the new message of a turn, with `sessions`)."""
    output_tokens: Lengths
    """Answer lengths."""
    rate: PerSecond | None = None
    """Mean arrivals per second (of sessions, with `sessions`).

    Not used by at_once and closed; replay takes the file's own rate without it.
    """
    arrivals: Arrivals = field(default_factory=Poisson)
    """Arrival process."""
    sessions: Sessions | None = None
    """Multi-turn conversations; None: independent prompts."""
    hash_block_tokens: Count = 16
    """Tokens per prefix block of stored prompts and sessions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTrace(_Common):
    """Questions whose answers are dependency graphs: JSONL, one question per line (docs/traces.md)."""

    trace: Literal["graph"]
    """Kind of workload."""
    path: str
    """The JSONL file."""
    hash_block_tokens: Count = 16
    """Tokens per prefix block; where the file has hash_ids, tokens per entry of them."""
    rate_scale: float = 1.0
    """Arrivals come this many times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions(_Common):
    """Generated questions of benchmark sets whose answers are dependency graphs.

    Points and their lengths follow the structure of real answers (simulator/workloads/questions.yaml); dependencies are
    assumed.
    """

    trace: Literal["questions"]
    """Kind of workload."""
    dataset: Literal["vicuna-80", "wizardlm-218"] = "vicuna-80"
    """Whose categories, weighted by their number of questions."""
    categories: tuple[str, ...] = ()
    """Only these categories; empty: all of the set."""
    graph: GraphShape = field(default_factory=ByCategory)
    """Which nodes need which."""
    nodes: Lengths | None = None
    """Nodes per answer; None: as the points of real answers of the category."""
    input_tokens: Lengths | None = None
    """Prompt lengths; None: as the questions of the category."""
    output_tokens: Lengths | None = None
    """Answer lengths; None: as real answers of the category."""
    rate: PerSecond | None = None
    """Mean arrivals per second. Not used by at_once and closed; replay takes the file's own rate without it."""
    arrivals: Arrivals = field(default_factory=Poisson)
    """Arrival process."""
    hash_block_tokens: Count = 16
    """Tokens per prefix block."""


RequestSpec = AzureTrace | MooncakeTrace | ShareGptTrace | CsvTrace | Synthetic | GraphTrace | Questions
"""Workloads of requests, for an LLM service."""


Segments = Annotated[int, Quantity("", low=1, high=1e6, whole=True)]
"""Segments of a video, 1 to 1,000,000."""


@dataclass(frozen=True, slots=True)
class LadderStep:
    """One level of a bitrate ladder."""

    bitrate: BytesPerSecond
    """Nominal bitrate."""
    height: NonNegativeCount = 0
    """Lines of the picture; 0: unknown, so that super-resolution cannot start from it."""
    vmaf: float | None = None
    """Mean VMAF of the level; None: unknown. For the QoE figure of that name every level needs one."""
    ssim_db: float | None = None
    """Mean SSIM of the level in dB, likewise."""


OASIS_LADDER = tuple(
    LadderStep(kbps * 125.0, height)
    for kbps, height in ((300, 180), (800, 360), (1800, 540), (2500, 720), (4300, 1080))
)
"""Ladder of the OASIS paper (MMSys 2024)."""


@dataclass(frozen=True, slots=True)
class VideoWorkload:
    """Video: what a streaming service plays, from a manifest or drawn from a ladder, once or several times."""

    trace: Literal["video"]
    """Kind of workload."""
    service: str
    """Streaming service that plays it."""
    sessions: Count = 1
    """Sessions of each group, one after the other. Each plays the video from the start, with phones as they are at the
    start, and their times count from its start; what is drawn at random (networks) differs between sessions."""
    delay: Seconds = 0.0
    """Simulated time from which on groups begin to watch."""
    spread: Seconds = 0.0
    """Each group begins at a time drawn evenly from so long a time after `delay`; 0: all at once."""
    path: str | None = None
    """Manifest: Sabre's JSON, Pensieve's CSV of sizes, or our YAML ladder. None: the fields below."""
    heights: tuple[NonNegativeCount, ...] = ()
    """Lines of the picture by level of a manifest that does not tell them, so that super-resolution can be used."""
    ladder: tuple[LadderStep, ...] = OASIS_LADDER
    """Levels, rising."""
    segment: Seconds = 1.0
    """Duration of a chunk; above 0."""
    segments: Segments = 300
    """Chunks of the video."""
    variation: Variation = 0.0
    """Standard deviation of chunk sizes over their mean (variable bitrate); 0: constant bitrate."""


WorkloadSpec = Annotated[
    AzureTrace
    | MooncakeTrace
    | ShareGptTrace
    | CsvTrace
    | Synthetic
    | GraphTrace
    | Questions
    | VideoWorkload,
    Tagged("trace"),
]
