"""From a workload of a scenario to its requests: the one place that knows every kind of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from devices.errors import Fault, InputError
from simulator.streaming.video import ladder_faults
from simulator.workloads.arrival_spec import AtOnce, Closed, Cyclic, Gamma, OnOff, ReplayedRate
from simulator.workloads.embedded import generate_sessions, mooncake_conversation
from simulator.workloads.generators import generate
from simulator.workloads.graph_reader import read_graphs
from simulator.workloads.graph_shapes import ByCategory
from simulator.workloads.lengths import MOST_VARIATION, length_faults
from simulator.workloads.questions import categories_of, generate_questions
from simulator.workloads.readers import read_azure, read_csv, read_mooncake, read_sharegpt
from simulator.workloads.requests import Requests
from simulator.workloads.sources import SourceFile, nearest
from simulator.workloads.spec import (
    AzureTrace,
    CsvTrace,
    GraphTrace,
    MooncakeTrace,
    Questions,
    RequestSpec,
    ShareGptTrace,
    Stored,
    Synthetic,
    VideoWorkload,
    WorkloadSpec,
)
from simulator.workloads.window import Window

STORED_BLOCK_TOKENS = 16
"""Tokens per prefix block of stored prompts from a trace without block ids."""


MOST_SCALE = 1e6
"""How many times as fast, or as slow, arrivals may come as in their trace."""


def build(
    spec: RequestSpec,
    name: str,
    streams: Callable[[str], np.random.Generator],
    resolve: Callable[[str], Path],
) -> Requests:
    """Read or generate the requests of one workload.

    Parameters
    ----------
    spec
        The workload.
    name
        Its name in the scenario; its random streams are called ``<name>/<purpose>``.
    streams
        Gives the random generator of a named stream, fresh at each call.
    resolve
        Turns a path of the scenario into a file.

    Returns
    -------
    Requests
        At least one; times in simulated seconds.

    Raises
    ------
    InputError
        With every fault of `spec`, or every fault of the file it names, or where the cut leaves no request.
    """
    if wrong := faults(spec, name):
        raise InputError(wrong)
    key = f"workloads.{name}"

    def stream(purpose: str) -> np.random.Generator:
        return streams(f"{name}/{purpose}")

    window = Window(
        start_s=spec.start,
        stop_s=math.inf if spec.duration is None else spec.start + spec.duration,
        count=spec.requests,
        rate_scale=1.0 if isinstance(spec, Synthetic | Questions) else spec.rate_scale,
        delay_s=spec.delay,
    )
    match spec:
        case Synthetic():
            requests = generate(spec, window, stream, resolve, key)
        case Questions():
            requests = generate_questions(spec, window, stream, resolve, key)
        case MooncakeTrace(path=None):
            requests = window.cut(generate_sessions(mooncake_conversation(), stream))
        case _:
            requests = window.cut(
                _read(spec, SourceFile(resolve(str(spec.path)), str(spec.path), f"{key}.path"))
            )
    if not len(requests):
        raise InputError(Fault(f"no request arrives from {window.start_s:g} s to {window.stop_s:g} s", key))
    if spec.stored is None:
        return requests
    if isinstance(spec, Synthetic | Questions | GraphTrace):
        return with_stored(requests, spec.stored, spec.hash_block_tokens)
    return with_stored(requests, spec.stored, STORED_BLOCK_TOKENS)


def _read(
    spec: AzureTrace | MooncakeTrace | ShareGptTrace | CsvTrace | GraphTrace, source: SourceFile
) -> Requests:
    """Read the file of a workload, in the trace's own time."""
    match spec:
        case AzureTrace():
            return read_azure(source)
        case MooncakeTrace():
            return read_mooncake(source)
        case ShareGptTrace():
            return read_sharegpt(source, spec.hardware, spec.model)
        case CsvTrace():
            return read_csv(source, spec.hash_block_tokens)
        case GraphTrace():
            return read_graphs(source, spec.hash_block_tokens)


def with_stored(requests: Requests, stored: Stored, block_tokens: int) -> Requests:
    """Return `requests` with the front of each prompt stored beforehand.

    Prompts without block ids get ids of their own, `block_tokens` tokens each, so that no two share anything.
    """
    if requests.hash_ids is None:
        blocks = -(-requests.input_tokens // block_tokens)
        offsets = np.concatenate(([0], np.cumsum(blocks)))
        requests = replace(
            requests, hash_block_tokens=block_tokens, hash_ids=np.arange(offsets[-1]), hash_offsets=offsets
        )
    tokens = np.floor(stored.share * requests.input_tokens).astype(np.int64)
    return replace(requests, stored_tokens=tokens, stored_tier=stored.tier)


def faults(spec: WorkloadSpec, name: str) -> list[Fault]:
    """Return what is wrong with `spec` beyond what its types say; no file is opened."""
    wrong: list[tuple[str, str]] = []
    if isinstance(spec, VideoWorkload):
        wrong += _video_faults(spec)
        return [Fault(message, f"workloads.{name}.{field}") for field, message in wrong]
    if spec.duration is not None and not spec.duration > 0:
        wrong.append(("duration", f"is {spec.duration} s; allowed: above 0 s"))
    if isinstance(spec, Synthetic | Questions):
        wrong += _generator_faults(spec)
        wrong += _question_faults(spec) if isinstance(spec, Questions) else _synthetic_faults(spec)
    elif not 1 / MOST_SCALE <= spec.rate_scale <= MOST_SCALE:
        allowed = f"{1 / MOST_SCALE:g} to {MOST_SCALE:g}"
        wrong.append(("rate_scale", f"is {spec.rate_scale}; allowed: finite numbers from {allowed}"))
    return [Fault(message, f"workloads.{name}.{field}") for field, message in wrong]


def _video_faults(spec: VideoWorkload) -> list[tuple[str, str]]:
    """Return (field, what is wrong) of a video's ladder."""
    wrong = [
        (f"ladder.{level}.bitrate", message)
        for level, message in ladder_faults(tuple(8.0 * step.bitrate for step in spec.ladder))
    ]
    if spec.heights and spec.path is None:
        wrong.append(("heights", "has no meaning without path; the ladder has heights of its own"))
    wrong += [
        ("ladder", f"{name} stands at some levels only; allowed: at all or none")
        for name in ("vmaf", "ssim_db")
        if 0 < sum(getattr(step, name) is not None for step in spec.ladder) < len(spec.ladder)
    ]
    if not spec.ladder:
        wrong.append(("ladder", "is empty; at least one level is needed"))
    if not spec.segment > 0:
        wrong.append(("segment", f"is {spec.segment} s; allowed: above 0 s"))
    return wrong


def _generator_faults(spec: Synthetic | Questions) -> list[tuple[str, str]]:
    """Return (field, what is wrong) of a generator's arrivals."""
    wrong: list[tuple[str, str]] = []
    process = spec.arrivals
    if isinstance(process, Closed | AtOnce):
        if spec.requests is None:
            wrong.append(("requests", f"is not set; {process.process} arrivals need a number of requests"))
        wrong += [
            (field, f"has no meaning with {process.process} arrivals; leave it out")
            for field, given in (("start", spec.start > 0), ("duration", spec.duration is not None))
            if given
        ]
    else:
        if spec.requests is None and spec.duration is None:
            wrong.append(("requests", "is not set, nor is duration; a generator needs one of them to end"))
        if spec.rate is None and not isinstance(process, ReplayedRate):
            wrong.append(("rate", f"is not set; {process.process} arrivals need a mean rate"))
        if spec.rate is not None and not 0 < spec.rate < math.inf:
            wrong.append(("rate", f"is {spec.rate} per second; allowed: finite numbers above 0"))
    if isinstance(process, Gamma) and not 1 / MOST_VARIATION <= process.cv <= MOST_VARIATION:
        allowed = f"{1 / MOST_VARIATION:g} to {MOST_VARIATION:g}"
        wrong.append(("arrivals.cv", f"is {process.cv}; allowed: finite numbers from {allowed}"))
    if isinstance(process, Cyclic) and not any(process.shape):
        wrong.append(("arrivals.shape", "has no rate above 0"))
    if isinstance(process, OnOff) and not process.on > 0:
        wrong.append(("arrivals.on", f"is {process.on} s; allowed: above 0 s"))
    return wrong


def _synthetic_faults(spec: Synthetic) -> list[tuple[str, str]]:
    """Return (field, what is wrong) of a generator's lengths and sessions."""
    wrong: list[tuple[str, str]] = []
    if isinstance(spec.arrivals, Closed) and spec.sessions is not None:
        wrong.append(("sessions", "closed arrivals cannot have sessions: turns already wait for one another"))
    wrong += [("input_tokens", message) for message in length_faults(spec.input_tokens)]
    wrong += [("output_tokens", message) for message in length_faults(spec.output_tokens)]
    if spec.sessions is not None:
        wrong += [("sessions.turns", message) for message in length_faults(spec.sessions.turns)]
    return wrong


def _question_faults(spec: Questions) -> list[tuple[str, str]]:
    """Return (field, what is wrong) of generated questions beyond their arrivals."""
    known = categories_of(spec.dataset)
    wrong = [
        (
            f"categories.{place}",
            f"{spec.dataset} has no category {name!r}{nearest(name, known)}; there is: {', '.join(known)}",
        )
        for place, name in enumerate(spec.categories)
        if name not in known
    ]
    wrong += [
        (f"categories.{place}", f"{name!r} is listed twice")
        for place, name in enumerate(spec.categories)
        if name in spec.categories[:place]
    ]
    if isinstance(spec.graph, ByCategory) and not 0 <= spec.graph.density <= MOST_SCALE:
        allowed = f"finite numbers from 0 to {MOST_SCALE:g}"
        wrong.append(("graph.density", f"is {spec.graph.density}; allowed: {allowed}"))
    for field in ("nodes", "input_tokens", "output_tokens"):
        lengths = getattr(spec, field)
        wrong += [(field, message) for message in (() if lengths is None else length_faults(lengths))]
    return wrong
