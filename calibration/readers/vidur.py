"""Vidur's and Frontier's profiles: layers, collectives and attention of one GPU (CSV, gzipped or not).

Device and model stand in the file's name (``a100_Llama-2-7b-hf_mlp.csv.gz``,
``network_a100_dgx_all_reduce.csv.gz``). Times are milliseconds, message sizes bytes (unlike
aiconfigurator's). The tables publish median and standard deviation; the spread is that of a normal
distribution with this deviation. Precision is fp16 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import HALF_IQR_PER_STD, Row, csv_rows
from calibration.readers.suspects import mark_suspects
from calibration.table import Measurement
from devices.errors import Fault, InputError

SOURCE = "Vidur, profiling data (MIT)"
FRONTIER_SOURCE = "Frontier, profiling data (MIT)"

_DEVICES = ("a100", "h100", "a40", "a800", "h800")
_PLAIN_LAYERS = ("emb", "input_layernorm", "attn_rope", "post_attention_layernorm", "mlp_act", "add")
_GEMM_LAYERS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")


def read(path: Path) -> Iterator[Measurement]:
    """Yield the rows of an ``mlp``, ``all_reduce`` or ``send_recv`` file."""
    stem = path.name.split(".")[0]
    if stem.endswith("mlp"):
        yield from mark_suspects(_layers(path))
    elif stem.endswith(("all_reduce", "send_recv")):
        yield from _collectives(path)
    else:
        raise InputError(Fault("the name must end in mlp, all_reduce or send_recv", file=str(path)))


def read_frontier(path: Path) -> Iterator[Measurement]:
    """Yield the rows of an attention file: attention of prefill or decode, and writing the new KV."""
    yield from mark_suspects(_attention(path))


def _layers(path: Path) -> Iterator[Measurement]:
    device, model = _device(path), _model(path)
    columns = ("n_head", "n_kv_head", "n_embd", "n_expanded_embd", "use_gated_mlp", "num_tokens")
    required = [*columns, "num_tensor_parallel_workers", *_medians((*_PLAIN_LAYERS, *_GEMM_LAYERS))]
    for row in csv_rows(path, required):
        tokens, shards = row.positive("num_tokens"), row.positive("num_tensor_parallel_workers")
        common: dict[str, float | str] = {"model": model, "tensor_parallel": shards, "precision": "fp16"}
        for layer in _PLAIN_LAYERS:
            parameters = {"layer": layer, "tokens": tokens, **common}
            yield _latency(row, layer, "layer", device, parameters, SOURCE)
        for layer, (n, k) in _gemm_shapes(row, shards).items():
            parameters = {"m": tokens, "n": n, "k": k, "layer": layer, **common}
            yield _latency(row, layer, "gemm", device, parameters, SOURCE)


def _gemm_shapes(row: Row, shards: float) -> dict[str, tuple[float, float]]:
    """(n, k) of each GEMM of a layer: QKV and up are split by columns, output and down by rows."""
    hidden, inner = row.positive("n_embd"), row.positive("n_expanded_embd")
    heads, kv_heads = row.positive("n_head"), row.positive("n_kv_head")
    ups = 2 if row.text("use_gated_mlp") == "True" else 1
    return {
        "attn_pre_proj": (hidden * (1 + 2 * kv_heads / heads) / shards, hidden),
        "attn_post_proj": (hidden, hidden / shards),
        "mlp_up_proj": (ups * inner / shards, hidden),
        "mlp_down_proj": (hidden, inner / shards),
    }


def _collectives(path: Path) -> Iterator[Measurement]:
    device = _device(path)
    machine = "pairwise-nvlink" if "pairwise" in path.name else "dgx"
    columns = ("collective", "size", "num_workers", "devices_per_node", "max_devices_per_node")
    for row in csv_rows(path, columns):
        operation = row.text("collective")
        gpus, per_node = row.positive("num_workers"), row.positive("devices_per_node")
        parameters: dict[str, float | str] = {
            "operation": operation,
            "gpus": gpus,
            "gpus_per_node": per_node,
            "message_bytes": row.positive("size"),
            "precision": "fp16",
            "machine": machine,
            "machine_gpus": row.positive("max_devices_per_node"),
        }
        yield _latency(row, operation, "collective", device, parameters, SOURCE)


def _attention(path: Path) -> Iterator[Measurement]:
    device = _device(path)
    columns = (
        "n_embd",
        "n_q_head",
        "n_kv_head",
        "num_tensor_parallel_workers",
        "batch_size",
        "kv_cache_size",
    )
    required = [
        *columns,
        "prefill_chunk_size",
        "is_prefill",
        "attention_backend",
        *_medians(("attn_prefill", "attn_decode", "attn_kv_cache_save")),
    ]
    for row in csv_rows(path, required):
        prefill = row.text("is_prefill") == "True"
        shards, batch = row.positive("num_tensor_parallel_workers"), row.positive("batch_size")
        new = row.positive("prefill_chunk_size") if prefill else 1.0
        before = row.amount("kv_cache_size")
        common: dict[str, float | str] = {
            "precision": "fp16",
            "tensor_parallel": shards,
            "backend": row.text("attention_backend").rsplit(".", 1)[-1].lower(),
        }
        parameters: dict[str, float | str] = {
            "batch": batch,
            **({"new_tokens": new, "prefix_tokens": before} if prefill else {"context_tokens": before + 1}),
            "heads": row.positive("n_q_head") / shards,
            "kv_heads": row.positive("n_kv_head") / shards,
            "head_dim": row.positive("n_embd") / row.positive("n_q_head"),
            "kv_precision": "fp16",
            **common,
        }
        kernel, bench = (
            ("attn_prefill", "attention_prefill") if prefill else ("attn_decode", "attention_decode")
        )
        yield _latency(row, kernel, bench, device, parameters, FRONTIER_SOURCE)
        saving = {"layer": "attn_kv_cache_save", "tokens": batch * new, **common}
        yield _latency(row, "attn_kv_cache_save", "layer", device, saving, FRONTIER_SOURCE)


def _latency(
    row: Row, operation: str, bench: str, device: str, parameters: dict[str, float | str], source: str
) -> Measurement:
    column = f"time_stats.{operation}"
    return Measurement(
        bench=bench,
        device=device,
        parameters=parameters,
        metric="latency",
        unit="s",
        value=row.positive(f"{column}.median") / 1e3,
        spread=HALF_IQR_PER_STD * row.amount(f"{column}.std") / 1e3,
        source=source,
    )


def _medians(operations: tuple[str, ...]) -> list[str]:
    return [f"time_stats.{name}.{statistic}" for name in operations for statistic in ("median", "std")]


def _device(path: Path) -> str:
    for part in path.name.split(".")[0].lower().split("_"):
        if part in _DEVICES:
            return names.gpu(part)
    allowed = ", ".join(_DEVICES)
    raise InputError(Fault(f"the name must contain the device, _ around it: {allowed}", file=str(path)))


def _model(path: Path) -> str:
    parts = path.name.split(".csv")[0].split("_")
    if len(parts) < 3:
        raise InputError(Fault("the name must read DEVICE_MODEL_mlp.csv[.gz]", file=str(path)))
    return names.model("_".join(parts[1:-1]))
