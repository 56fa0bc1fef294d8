"""How much a scenario may ask for: what nobody could wait for, or no memory hold, is refused when it is loaded.

The bounds lie above all that has been run (ten million requests fit); they catch slips such as a rate in the wrong
unit. Only what the scenario itself says is looked at: a trace is bounded by the size of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf

from devices.document import Path_
from simulator.scenario.parts import Parts
from simulator.scenario.references import Problem
from simulator.scenario.spec import BandwidthUniform, DeviceSpec, LinkSpec, ServiceSpec
from simulator.scenario.streaming_spec import StreamingService
from simulator.workloads.arrival_spec import AtOnce, Closed, OnOff
from simulator.workloads.lengths import mean_length
from simulator.workloads.requests import MOST_REQUESTS
from simulator.workloads.spec import Questions, RequestSpec, Synthetic, VideoWorkload

MOST_BLOCKS = 1e9
"""Ids of prefix blocks that the prompts of one workload may have: 8 GB of them."""

MOST_PHONES = 1000
"""Phones of one group: each asks all others."""

MOST_ROWS = 50_000_000
"""Chunks that phones may play, and seconds that they may be watched for, all sessions of a service together."""

MOST_DRAWS = 50_000_000
"""Times that one bandwidth is drawn, one arrival process turns on, or one fault strikes, over a run."""


def check_sizes(parts: Parts) -> Iterator[Problem]:
    """Yield what asks for more than can be simulated; the workloads among `parts` go together in themselves."""
    span_s, total = 0.0, 0.0
    for name, workload in parts.workloads.items():
        path: Path_ = ("workloads", name)
        if isinstance(workload, VideoWorkload):
            yield from _video(path, workload, parts.services.get(workload.service), parts.devices)
            continue
        requests, until_s = _demand(workload)
        span_s = max(span_s, until_s)
        yield from _requests(path, workload, requests, until_s)
        total += requests if requests <= MOST_REQUESTS else 0.0
        if total > MOST_REQUESTS >= requests:
            yield Problem(path, f"makes {total:,.0f} requests in all; allowed: at most {MOST_REQUESTS:,}")
            total = 0.0  # said once
    span_s = min(span_s, inf if parts.horizon is None else parts.horizon)
    for section in ("devices", "links"):
        entries: Mapping[str, DeviceSpec | LinkSpec] = getattr(parts, section)
        for name, entry in entries.items():
            if isinstance(entry.bandwidth, BandwidthUniform):
                yield from _draws((section, name, "bandwidth", "period"), span_s, entry.bandwidth.period)
    for name, fault in parts.faults.items():
        if fault.mtbf is not None and fault.mttr is not None:
            yield from _draws(("faults", name, "mtbf"), span_s, fault.mtbf + fault.mttr)


def _demand(spec: RequestSpec) -> tuple[float, float]:
    """Return how many requests a workload asks for, and until when they arrive in s; zeros where only a file tells."""
    count = inf if spec.requests is None else spec.requests
    if not isinstance(spec, Synthetic | Questions):
        return 0.0, 0.0
    if isinstance(spec.arrivals, Closed | AtOnce):
        return count, 0.0
    if spec.rate is None:  # the rate of a file: `simulator.workloads.generators.draw_arrivals` looks at it
        return 0.0 if count == inf else count, 0.0
    duration_s = min(inf if spec.duration is None else spec.duration, count / spec.rate)
    turns = 1.0
    if isinstance(spec, Synthetic) and spec.sessions is not None:
        turns = max(1.0, mean_length(spec.sessions.turns))
    skipped = spec.rate * spec.start  # drawn all the same, for the later ones to be what they are
    return skipped + min(count, spec.rate * duration_s * turns), spec.delay + spec.start + duration_s


def _requests(path: Path_, spec: RequestSpec, requests: float, until_s: float) -> Iterator[Problem]:
    if requests > MOST_REQUESTS:
        said = "requests" if spec.duration is None else "duration"
        if isinstance(spec, Synthetic | Questions) and spec.start * (spec.rate or 0.0) > MOST_REQUESTS:
            said = "start"
        yield Problem((*path, said), f"asks for {requests:,.0f} requests; allowed: at most {MOST_REQUESTS:,}")
        return
    if not isinstance(spec, Synthetic | Questions):
        return
    if isinstance(spec.arrivals, OnOff):
        yield from _draws((*path, "arrivals", "on"), until_s, spec.arrivals.on + spec.arrivals.off)
    tokens = 0.0
    if spec.stored is not None and spec.input_tokens is not None:
        tokens = mean_length(spec.input_tokens)
    if isinstance(spec, Synthetic) and spec.sessions is not None:
        turn = mean_length(spec.input_tokens) + mean_length(spec.output_tokens)
        turns = min(mean_length(spec.sessions.turns), requests)
        tokens = spec.sessions.shared_prefix_tokens + turn * (1.0 + turns) / 2
    if (blocks := requests * tokens / spec.hash_block_tokens) > MOST_BLOCKS:
        message = (
            f"{requests:,.0f} prompts of {tokens:,.0f} tokens have {blocks:,.0f} prefix blocks of "
            f"{spec.hash_block_tokens}; allowed: at most {MOST_BLOCKS:,.0f}"
        )
        yield Problem((*path, "input_tokens"), message)


def _video(
    path: Path_,
    spec: VideoWorkload,
    service: ServiceSpec | None,
    devices: Mapping[str, DeviceSpec],
) -> Iterator[Problem]:
    if not isinstance(service, StreamingService):
        return
    phones = sum(devices[name].count or 1 for name in service.phones if name in devices)
    in_group = min(phones, service.group_size or phones)
    if in_group > MOST_PHONES:
        message = f"a group has {in_group:,} phones; allowed: at most {MOST_PHONES:,}"
        yield Problem(("services", spec.service, "phones"), message)
    chunks, segment_s = (spec.segments, spec.segment) if spec.path is None else (1, 1.0)
    rows = spec.sessions * phones * chunks * max(1.0, segment_s)
    if rows > MOST_ROWS:
        said = "sessions" if spec.sessions > 1 else "segments"
        what = f"{spec.sessions:,} sessions of {phones:,} phones and {chunks:,} chunks of {segment_s:g} s"
        message = f"{what} make {rows:,.0f} chunks or seconds of phones; allowed: at most {MOST_ROWS:,}"
        yield Problem((*path, said), message)


def _draws(path: Path_, span_s: float, every_s: float) -> Iterator[Problem]:
    if inf > span_s > MOST_DRAWS * every_s:
        least = f"every {span_s / MOST_DRAWS:g} s on average, at most"
        yield Problem(path, f"once in {every_s:g} s over {span_s:g} s is too often; allowed: {least}")
