"""NVIDIA aiconfigurator's kernel tables: GEMM, attention, mixture of experts, all-reduce (parquet).

One file holds one operation on one GPU; which, shows in its columns. Latencies are milliseconds; message
sizes are *elements*. The decode tables call the KV entries that were there before ``step``.

Two tables deserve distrust beyond the rows that `suspects` marks. The H200's prefill attention with vLLM
(where a third of the rows exceeds the peak rate) differs from the H100's by factors of 0.1 to 3 in both
directions, though the dies are alike: leave all of it out, TensorRT-LLM's table is sound. TensorRT-LLM's
decode attention with grouped heads and long contexts reads up to 1.7 times what the memory delivers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import Row, parquet_rows
from calibration.readers.suspects import mark_suspects
from calibration.table import Measurement
from devices.errors import Fault, InputError

SOURCE = "NVIDIA aiconfigurator, kernel tables (Apache-2.0)"

_Point = tuple[str, dict[str, float | str]]


def read(path: Path) -> Iterator[Measurement]:
    """Yield one row per kernel time; rows beyond the device's peak rate are marked (see `suspects`)."""
    yield from mark_suspects(_measurements(path))


def _measurements(path: Path) -> Iterator[Measurement]:
    operation: Callable[[Row], _Point] | None = None
    for row in parquet_rows(path):
        if operation is None:
            operation = _operation(row)
        bench, parameters = operation(row)
        backend = f"{row.text('framework').lower()}-{row.text('version')}"
        yield Measurement(
            bench=bench,
            device=names.gpu(row.text("device")),
            parameters={**parameters, "backend": backend, "kernel": row.text("kernel_source")},
            metric="latency",
            unit="s",
            value=row.positive("latency") / 1e3,
            source=SOURCE,
        )


def _operation(row: Row) -> Callable[[Row], _Point]:
    for column, operation in _OPERATIONS.items():
        if column in row.cells:
            return operation
    message = f"no known table: expected one of the columns {', '.join(_OPERATIONS)}"
    raise InputError(Fault(message, file=row.file))


def _gemm(row: Row) -> _Point:
    shape = {name: row.amount(name) for name in ("m", "n", "k")}
    return "gemm", {**shape, "precision": names.precision(row.text("gemm_dtype"))}


def _attention(row: Row) -> _Point:
    operation, new, before = row.text("op_name"), row.positive("isl"), row.amount("step")
    tokens: dict[str, float]
    if operation == "context_attention":
        bench, tokens = "attention_prefill", {"new_tokens": new, "prefix_tokens": before}
    elif operation == "generation_attention":
        bench, tokens = "attention_decode", {"context_tokens": before + new}
    else:
        raise row.fault(
            f"column op_name: {operation!r} is neither context_attention nor generation_attention"
        )
    parameters: dict[str, float | str] = {
        "batch": row.positive("batch_size"),
        **tokens,
        "heads": row.positive("num_heads"),
        "kv_heads": row.positive("num_key_value_heads"),
        "head_dim": row.positive("head_dim"),
        "precision": names.precision(row.text("attn_dtype")),
        "kv_precision": names.precision(row.text("kv_cache_dtype")),
    }
    if row.has("window_size") and (window := row.amount("window_size")):  # 0: no sliding window
        parameters["window_tokens"] = window
    return bench, parameters


def _moe(row: Row) -> _Point:
    columns = {
        "tokens": "num_tokens",
        "hidden": "hidden_size",
        "intermediate": "inter_size",
        "top_k": "topk",
        "experts": "num_experts",
        "tensor_parallel": "moe_tp_size",
        "expert_parallel": "moe_ep_size",
    }
    parameters: dict[str, float | str] = {name: row.positive(column) for name, column in columns.items()}
    parameters["distribution"] = row.text("distribution")
    parameters["precision"] = names.precision(row.text("moe_dtype"))
    return "moe", parameters


def _collective(row: Row) -> _Point:
    precision = names.precision(row.text("nccl_dtype" if "nccl_dtype" in row.cells else "allreduce_dtype"))
    if precision not in names.BYTES_PER_ELEMENT:
        raise row.fault(f"bytes per element of {precision!r} are not known")
    return "collective", {
        "operation": row.text("op_name"),
        "gpus": row.positive("num_gpus"),
        "message_bytes": row.positive("message_size") * names.BYTES_PER_ELEMENT[precision],
        "precision": precision,
    }


_OPERATIONS: Mapping[str, Callable[[Row], _Point]] = {
    "gemm_dtype": _gemm,
    "attn_dtype": _attention,
    "moe_dtype": _moe,
    "allreduce_dtype": _collective,
    "nccl_dtype": _collective,
}
"""Operation by the column that only its table has."""
