"""Attention of one layer: a prefill chunk behind a prefix, and decoding sequences of equal context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from calibration.bench.clocks import copies, latency_trial
from calibration.bench.harness import Options, Parameters, Point, Prepare, need, torch_type
from calibration.bench.transformer import causal_mask, decode_attention, prefill_attention, random_tensor

REQUIRES = ("torch",)

PREFILL = {
    "cpu": [(new, prefix) for new in (32, 128, 512) for prefix in (0, 512, 1024, 2048, 4096)],
    "cuda": [
        (new, prefix) for new in (128, 512, 2048, 8192) for prefix in (0, 1024, 4096, 16384, 32768, 65536)
    ],
}
"""(new, prefix) tokens of a chunk."""

DECODE = {
    "cpu": [(batch, context) for batch in (1, 2, 4, 8, 16, 32) for context in (128, 512, 1024, 2048, 4096)],
    "cuda": [
        (batch, context)
        for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256)
        for context in (128, 512, 1024, 2048, 4096, 8192, 32768, 131072)
    ],
}
"""(batch, context) of decoding sequences."""

QUICK_PREFILL = [(32, 0), (32, 256)]
QUICK_DECODE = [(1, 128), (4, 512)]


def grid(options: Options) -> list[tuple[str, Parameters]]:
    """Each distinct set of heads of the shapes, in both kinds; what memory cannot hold is left away."""
    points: list[tuple[str, Parameters]] = []
    sets = dict.fromkeys((shape.attention_heads, shape.kv_heads, shape.head_dim) for shape in options.shapes)
    for precision in options.precisions:
        for heads, kv_heads, head_dim in sets:
            common: Parameters = {
                "heads": heads,
                "kv_heads": kv_heads,
                "head_dim": head_dim,
                "precision": precision,
                "launch": options.launch,
            }
            for new, prefix in QUICK_PREFILL if options.quick else PREFILL[options.device]:
                points.append(
                    ("attention_prefill", {"batch": 1, "new_tokens": new, "prefix_tokens": prefix, **common}),
                )
            for batch, context in QUICK_DECODE if options.quick else DECODE[options.device]:
                if (
                    8 * batch * context * kv_heads * head_dim <= options.memory_bytes
                ):  # 4 bytes, key and value
                    points.append(("attention_decode", {"batch": batch, "context_tokens": context, **common}))
    return points


@contextmanager
def session(options: Options) -> Iterator[Prepare]:
    """Prepare attention; keys and values go round copies that no cache holds."""
    torch = need("torch")
    device = options.device

    def prepare(name: str, parameters: Parameters) -> Point:
        heads, kv_heads, head_dim = (int(parameters[key]) for key in ("heads", "kv_heads", "head_dim"))
        precision = str(parameters["precision"])
        prefill = name == "attention_prefill"
        batch = 1 if prefill else int(parameters["batch"])
        new = int(parameters["new_tokens"]) if prefill else 1
        context = new + int(parameters["prefix_tokens"]) if prefill else int(parameters["context_tokens"])
        one_bytes = 2 * batch * kv_heads * context * head_dim * torch_type(precision).itemsize
        size = (copies(one_bytes), 2, batch, kv_heads, context, head_dim)
        stored = random_tensor(size, precision, device)
        query = random_tensor((batch, heads, new, head_dim), precision, device)
        mask = causal_mask(new, context, precision, device)

        def work(call: int) -> object:
            key, value = stored[call % len(stored)]
            return (
                prefill_attention(query, key, value, mask) if prefill else decode_attention(query, key, value)
            )

        graph = options.launch == "graph"
        return Point("latency", "s", latency_trial(work, device, rounds=len(stored), graph=graph))

    with torch.inference_mode():
        yield prepare
