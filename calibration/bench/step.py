"""A whole transformer step with random weights and a real KV cache: decodes, a prompt's chunk, or both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from calibration.bench.clocks import latency_trial
from calibration.bench.harness import Options, Parameters, Point, Prepare, need
from calibration.bench.transformer import StepBatch, Transformer, causal_mask

REQUIRES = ("torch",)

Sizes = list[tuple[int, int, int, int]]
"""(batch, context, chunk, prefix): decoding sequences and the tokens that each has before the new one; new tokens of
a prompt and those before them."""

DECODE: dict[str, Sizes] = {
    "cpu": [
        (batch, context, 0, 0) for batch in (1, 2, 4, 8, 12, 16, 24, 32) for context in (64, 512, 1024, 2048)
    ],
    "cuda": [
        (batch, context, 0, 0)
        for batch in (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
        for context in (128, 1024, 4096, 16384, 65536)
    ],
}
PREFILL: dict[str, Sizes] = {
    "cpu": [
        (0, 0, chunk, prefix) for chunk in (16, 64, 128, 256, 512) for prefix in (0, 512, 1024, 2048, 4096)
    ],
    "cuda": [
        (0, 0, chunk, prefix)
        for chunk in (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
        for prefix in (0, 4096, 16384, 65536)
    ],
}
MIXED: dict[str, Sizes] = {
    "cpu": [(batch, 512, 128, prefix) for batch in (4, 16) for prefix in (0, 1024)],
    "cuda": [(batch, 2048, chunk, 4096) for batch in (8, 64) for chunk in (256, 512, 2048)],
}
QUICK: Sizes = [(1, 64, 0, 0), (4, 64, 0, 0), (0, 0, 32, 0), (0, 0, 32, 128), (2, 64, 32, 128)]


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Decodes, chunks and mixed steps of every shape, as far as the KV cache fits."""
    device = options.device
    sizes = QUICK if options.quick else [*DECODE[device], *PREFILL[device], *MIXED[device]]
    return [
        (
            "step",
            {
                "model": shape.name,
                "batch": batch,
                "context_tokens": context,
                "chunk_tokens": chunk,
                "prefix_tokens": prefix,
                "precision": precision,
                "launch": options.launch,
            },
        )
        for shape in options.shapes
        for precision in options.precisions
        for batch, context, chunk, prefix in sizes
        if _kv_bytes(shape.kv_bytes_per_token, batch, context, chunk, prefix, precision)
        <= options.memory_bytes
    ]


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Prepare steps; one model at a time is in memory."""
    torch = need("torch")
    shapes = {shape.name: shape for shape in options.shapes}
    sizes = (*DECODE[options.device], *PREFILL[options.device], *MIXED[options.device])
    longest = max(max(context + 1, chunk + prefix) for _, context, chunk, prefix in sizes)
    models: list[Transformer] = []

    def model(name: str, precision: str) -> Transformer:
        if not models or (models[0].shape.name, models[0].precision) != (name, precision):
            models.clear()  # first, so that two never stand in memory together
            models.append(Transformer(shapes[name], precision, options.device, longest))
        return models[0]

    def prepare(name: str, parameters: Parameters) -> Point:
        keys = ("batch", "context_tokens", "chunk_tokens", "prefix_tokens")
        batch, context, chunk, prefix = (int(parameters[key]) for key in keys)
        transformer = model(str(parameters["model"]), str(parameters["precision"]))
        step = StepBatch(
            tokens=torch.arange(batch + chunk, device=options.device) % transformer.shape.vocabulary,
            decodes=transformer.cache(batch, context + 1) if batch else None,
            context=context,
            chunk=transformer.cache(1, prefix + chunk) if chunk else None,
            prefix=prefix,
            mask=causal_mask(chunk, prefix + chunk, transformer.precision, options.device) if chunk else None,
        )
        graph = options.launch == "graph"
        trial = latency_trial(lambda call: transformer.step(step), options.device, graph=graph)
        return Point("latency", "s", trial, power=True)

    with torch.inference_mode():
        yield prepare
    models.clear()


def _kv_bytes(per_token: float, batch: int, context: int, chunk: int, prefix: int, precision: str) -> float:
    """KV cache of a step; `per_token` is at 16 bits."""
    return per_token * (2 if precision == "fp32" else 1) * (batch * (context + 1) + chunk + prefix)
