"""What is measured on this machine: points that the fits take, and other points that are predicted.

Every row says in the parameter ``role`` which of the two it is for: ``calibration`` rows are kernels, single engine
steps, memory copies and SR frames; ``validation`` rows are requests (`calibration.validation.real_cake`) and steps
and frames at points that no fit has seen. ``threads`` is the number of threads that compute: with each number of
them the processor is another device.
"""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from calibration.bench import sr
from calibration.bench.gemm import matrices
from calibration.bench.harness import Bench, Options, Outcome, Parameters, Plan, Prepare, need, run
from calibration.bench.machine import default_name, header, memory_bytes
from calibration.bench.transformer import Transformer
from calibration.commands import shape_of
from calibration.validation.real_cake import BENCH, POLICIES, RealCake, RealCakeBench
from simulator.serving.models import ModelSpec

SHAPE = "layers=8,hidden=512,heads=8,kv_heads=4,ffn=1536,vocabulary=4096"
"""The model that is served: a step of 512 tokens takes 0.2 to 0.6 s on one core."""

QUICK_SHAPE = "layers=2,hidden=256,heads=4,kv_heads=2,ffn=512,vocabulary=1024"

Progress = Callable[[int, int, str], None]
"""Told before each point its number, how many there are, and what it is."""


@dataclass(frozen=True)
class Study:
    """Which points are measured."""

    shape: ModelSpec
    """The model that is served."""
    chunk_tokens: int = 512
    """Token budget of an engine step, as in the paper."""
    io_chunk_tokens: int = 128
    """Tokens per record of the stored prefix, as in the paper."""
    prompts: Sequence[int] = (1024, 2048, 4096)
    """Lengths of the prompts."""
    bandwidths: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
    """Bandwidths of the throttle, in multiples of the KV bytes per second that computing yields."""
    gemm_tokens: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    """Rows of the matrix products."""
    attention: Sequence[tuple[int, int]] = tuple(
        (new, prefix) for new in (128, 384) for prefix in (0, 768, 1792, 3328)
    )
    """(new, prefix) tokens of prefill attention."""
    decode_attention: Sequence[tuple[int, int]] = tuple(
        (batch, context) for batch in (1, 4, 12) for context in (128, 768, 2048)
    )
    """(batch, context) of decode attention."""
    chunks: Sequence[tuple[int, int]] = tuple(
        (chunk, prefix) for chunk in (16, 96, 256, 448) for prefix in (0, 640, 1700, 3300)
    )
    """(chunk, prefix) tokens of the prefill steps that are fitted; none of a request's steps is among them."""
    decodes: Sequence[tuple[int, int]] = tuple(
        (batch, context) for batch in (1, 3, 6, 12, 24) for context in (64, 640, 1600)
    )
    """(batch, context) of the decode steps that are fitted."""
    unseen_decodes: Sequence[tuple[int, int]] = tuple(
        (batch, context) for batch in (1, 2, 4, 8, 16) for context in (256, 1024)
    )
    """(batch, context) of the decode steps that are predicted."""
    frames: Sequence[tuple[str, int, int]] = (
        *[("quicksrnet-small", *size) for size in ((128, 128), (480, 270), (960, 540))],
        *[("edsr-f32b5", *size) for size in ((128, 128), (480, 270), (960, 540))],
        *[("quicksrnet-large", *size) for size in ((128, 128), (480, 270))],
    )
    """Network, width and height of the SR frames that are fitted."""
    unseen_frames: Sequence[tuple[str, int, int]] = tuple(
        (network, *size)
        for network in ("quicksrnet-small", "quicksrnet-medium", "edsr-f32b5")
        for size in ((320, 180), (640, 360), (854, 480))
    )
    """The same of the frames that are predicted; one of the networks is new."""
    kernels: Plan = field(default_factory=lambda: Plan(warmups=2, repeats=9, least=3, point_s=0.6))
    """How often calibration points are measured."""
    requests: Plan = field(default_factory=lambda: Plan(warmups=1, repeats=7, least=5, point_s=4.0))
    """How often validation points are measured."""

    @property
    def copies(self) -> Sequence[int]:
        """Block sizes of memory copies, in bytes."""
        return (2**22, 2**26)


def quick_study() -> Study:
    """Return a small study: it shows that everything runs, within seconds."""
    return Study(
        shape_of(QUICK_SHAPE),
        chunk_tokens=128,
        io_chunk_tokens=32,
        prompts=(256, 512),
        bandwidths=(0.5, 2.0),
        gemm_tokens=(1, 8, 64, 256),
        attention=((64, 0), (64, 400)),
        decode_attention=((1, 100), (4, 400)),
        chunks=((16, 0), (96, 0), (64, 300), (112, 200)),
        decodes=((1, 50), (3, 200), (6, 400)),
        unseen_decodes=((2, 100), (4, 300)),
        frames=(("quicksrnet-small", 32, 32), ("quicksrnet-small", 64, 48), ("edsr-f32b5", 48, 32)),
        unseen_frames=(("quicksrnet-small", 48, 48),),
        kernels=Plan(warmups=1, repeats=3, least=2, point_s=0.05),
        requests=Plan(warmups=1, repeats=3, least=2, point_s=0.3),
    )


def full_study() -> Study:
    """Return the study behind the committed measurements."""
    return Study(shape_of(SHAPE))


@dataclass(frozen=True)
class Chosen:
    """A benchmark of `calibration.bench` at other points than its own."""

    name: str
    """Module of `calibration.bench`."""
    points: Sequence[tuple[str, Parameters]]
    """What is measured."""
    threads: int
    """Threads that compute."""
    REQUIRES: tuple[str, ...] = ("torch",)

    def grid(self, options: Options) -> list[tuple[str, Parameters]]:
        """Return the points."""
        return list(self.points)

    @contextmanager
    def session(self, options: Options) -> Iterator[Prepare]:
        """Open the benchmark's own session."""
        need("torch").set_num_threads(self.threads)
        bench = cast(Bench, importlib.import_module(f"calibration.bench.{self.name}"))
        with bench.session(options) as prepare:
            yield prepare


def calibration_points(study: Study, threads: int) -> list[Bench]:
    """Return the benchmarks that the fits take."""
    shape = study.shape
    common: Parameters = {"role": "calibration", "threads": threads, "precision": "fp32", "launch": "eager"}
    heads: Parameters = {
        "heads": shape.attention_heads,
        "kv_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
    }
    gemms = [
        ("gemm", {"m": m, "n": n, "k": k, **common})
        for n, k in dict.fromkeys(matrices(shape))
        for m in study.gemm_tokens
    ]
    prefill = [
        ("attention_prefill", {"batch": 1, "new_tokens": new, "prefix_tokens": prefix, **heads, **common})
        for new, prefix in study.attention
    ]
    decode = [
        ("attention_decode", {"batch": batch, "context_tokens": context, **heads, **common})
        for batch, context in study.decode_attention
    ]
    copies = [("copy", {"direction": "h2h", "block_bytes": size, **common}) for size in study.copies]
    steps = [_step(shape, 0, 0, chunk, prefix, common) for chunk, prefix in study.chunks]
    steps += [_step(shape, batch, context, 0, 0, common) for batch, context in study.decodes]
    return [
        Chosen("copy", copies, threads),
        Chosen("gemm", gemms, threads),
        Chosen("attention", [*prefill, *decode], threads),
        Chosen("step", steps, threads),
        Chosen("sr", [_frame(*frame, common) for frame in study.frames], threads),
    ]


def validation_points(study: Study, threads: int, bytes_per_s: float) -> list[Bench]:
    """Return the benchmarks that are predicted; `bytes_per_s` is the KV that computing yields."""
    common: Parameters = {"role": "validation", "threads": threads, "precision": "fp32", "launch": "eager"}
    requests: list[Parameters] = []
    for prompt in study.prompts:
        sizes: Parameters = {
            "model": study.shape.name,
            "prompt_tokens": prompt,
            "chunk_tokens": study.chunk_tokens,
            "io_chunk_tokens": study.io_chunk_tokens,
            **common,
        }
        requests.append({"policy": "compute_only", **sizes})
        requests += [
            {"policy": policy, "bandwidth_bytes_per_s": float(f"{times * bytes_per_s:.2g}"), **sizes}
            for times in study.bandwidths
            for policy in POLICIES
            if policy != "compute_only"
        ]
    steps = [_step(study.shape, batch, context, 0, 0, common) for batch, context in study.unseen_decodes]
    return [
        RealCakeBench(requests, threads),
        Chosen("step", steps, threads),
        Chosen("sr", [_frame(*frame, common) for frame in study.unseen_frames], threads),
    ]


def measure(
    study: Study, threads: Sequence[int], folder: Path, command: Sequence[str], progress: Progress
) -> tuple[dict[str, str], Outcome]:
    """Measure everything.

    Parameters
    ----------
    threads
        Numbers of computing threads, one study each.
    folder
        Where the prefix's file goes.
    command
        What the user typed, for the header.

    Returns
    -------
    tuple
        The table's header, and the measured points.
    """
    torch = need("torch")
    options = Options(shapes=(study.shape,), directory=folder, memory_bytes=0.4 * memory_bytes())
    device = default_name("cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads[0])
    head = header("cpu", device, command, "not read", datetime.datetime.now(datetime.UTC))
    head |= {"source": "measured with python -m calibration.validation"}
    total = Outcome()
    try:
        for turn, count in enumerate(threads):
            torch.set_num_threads(count)
            stages = [
                (calibration_points(study, count), study.kernels),
                (validation_points(study, count, compute_bytes_per_s(study, folder)), study.requests),
            ]
            points = [sum(len(bench.grid(options)) for bench in benches) for benches, _ in stages]
            done = turn * sum(points)

            for (benches, plan), size in zip(stages, points, strict=True):

                def told(number: int, _: int, text: str, done: int = done, whole: int = sum(points)) -> None:
                    if text:
                        progress(done + number, whole * len(threads), text)

                outcome = run(benches, options, plan, device=device, source=head["source"], progress=told)
                total.rows += outcome.rows
                total.failed += outcome.failed
                done += size
    finally:
        torch.set_num_threads(before)
    progress(len(threads) * sum(points), len(threads) * sum(points), "")
    return head, total


def compute_bytes_per_s(study: Study, folder: Path) -> float:
    """Return the KV bytes per second that computing a prompt of middling length yields, from one try.

    The bandwidths of the study surround it, so that either side of Cake can be the faster one.
    """
    prompt = sorted(study.prompts)[len(study.prompts) // 2]
    with need("torch").inference_mode():
        model = Transformer(study.shape, "fp32", "cpu", prompt)
        path = folder / f"{BENCH}-probe"
        request = RealCake(model, prompt, study.chunk_tokens, study.io_chunk_tokens, path)
        ttft_s = min(request.serve("compute_only", 1.0)[0] for _ in range(2))
    return 2.0 * study.shape.kv_bytes_per_token * prompt / ttft_s  # the shape counts 16 bits per value


def _step(
    shape: ModelSpec, batch: int, context: int, chunk: int, prefix: int, common: Parameters
) -> tuple[str, Parameters]:
    sizes = {"batch": batch, "context_tokens": context, "chunk_tokens": chunk, "prefix_tokens": prefix}
    return "step", {"model": shape.name, **sizes, **common}


def _frame(network: str, width: int, height: int, common: Parameters) -> tuple[str, Parameters]:
    size = {"input_width_px": width, "input_height_px": height, "scale": sr.SCALE}
    return "sr", {"network": network, **size, "runtime": "torch", **common}
