"""Matrix products of a transformer's dense layers: ``[m, k] x [k, n]`` for m new tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from calibration.bench.clocks import copies, latency_trial
from calibration.bench.harness import Options, Parameters, Point, Prepare, need, torch_type
from calibration.bench.transformer import random_tensor
from simulator.serving.models import ModelSpec

REQUIRES = ("torch",)

TOKENS = {
    "cpu": (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512),
    # around multiples of 128 too: the number of tiles steps there
    "cuda": (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 129, 192, 256, 257, 384, 512, 768, 1024, 2048, 4096, 8192),
}
"""New tokens m that are measured."""

QUICK_TOKENS = (1, 64)

POWER_TOKENS = (256, 1024, 8192)
"""Where power is read too."""


def matrices(shape: ModelSpec) -> list[tuple[int, int]]:
    """Return (n, k) of a model's weight matrices, fused as engines fuse them; the output layer last."""
    inner = shape.attention_heads * shape.head_dim
    return [
        (inner + 2 * shape.kv_heads * shape.head_dim, shape.hidden),
        (shape.hidden, inner),
        (2 * shape.ffn, shape.hidden),
        (shape.hidden, shape.ffn),
        (shape.vocabulary, shape.hidden),
    ]


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Every matrix of every shape once, for every number of tokens."""
    wanted = dict.fromkeys(matrix for shape in options.shapes for matrix in matrices(shape))
    tokens = QUICK_TOKENS if options.quick else TOKENS[options.device]
    return [
        ("gemm", {"m": m, "n": n, "k": k, "precision": precision, "launch": options.launch})
        for precision in options.precisions
        for n, k in wanted
        for m in tokens
    ]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Prepare products; their weights go round copies that no cache holds."""
    torch = need("torch")

    def prepare(name: str, parameters: Parameters) -> Point:
        m, n, k = (int(parameters[key]) for key in "mnk")
        precision = str(parameters["precision"])
        size = torch_type(precision).itemsize
        weights = random_tensor((copies(n * k * size), n, k), precision, options.device, scale=k**-0.5)
        rows = random_tensor((m, k), precision, options.device)
        result = torch.empty((m, n), dtype=rows.dtype, device=options.device)
        trial = latency_trial(
            lambda call: torch.mm(rows, weights[call % len(weights)].T, out=result),
            options.device,
            rounds=len(weights),
            graph=options.launch == "graph",
        )
        return Point("latency", "s", trial, power=m in POWER_TOKENS)

    with torch.inference_mode():
        yield prepare
