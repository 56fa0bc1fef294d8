"""LLMServingSim's per-layer profiles of vLLM (CSV) and the engine settings of its reference runs (JSON).

A profile's name reads ``DEVICE_ORG_MODEL_bf16_tpN_TABLE.csv``; times are microseconds. ``attention`` holds
one mixed pass of a prefill chunk and of decodes (either may be absent), ``dense`` and ``per_sequence`` one
layer's operations by tokens or sequences, ``moe`` one layer's experts. Heads and GEMM shapes come from the
model catalogue, shared among the N GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibration.readers import names
from calibration.readers.rows import Row, csv_rows
from calibration.readers.suspects import mark_suspects
from calibration.table import Measurement
from devices.errors import Fault, InputError
from devices.files import read_json
from simulator.serving.models import ModelSpec, load_model

SOURCE = "LLMServingSim, layer profiles (MIT)"

_NAME = re.compile(r"(?P<device>[^_]+)_(?P<model>.+)_bf16_tp(?P<shards>\d+)_(?P<table>[a-z_]+)\.csv")

_SETTINGS = {
    "kv_cache.num_kv_tokens": "kv_capacity_tokens",
    "kv_cache.block_size": "kv_block_tokens",
    "kv_cache.gpu_memory_utilization": "gpu_memory_share",
    "engine_kwargs.max_num_seqs": "max_batch",
    "engine_kwargs.max_num_batched_tokens": "max_batched_tokens",
    "engine_kwargs.max_model_len": "context_tokens",
}
"""Metric by the setting's place in the JSON file."""


@dataclass(frozen=True, slots=True)
class _Profile:
    """What the name of a profile says."""

    device: str
    model: ModelSpec
    shards: int
    table: str

    def measurement(self, row: Row, bench: str, parameters: dict[str, float | str]) -> Measurement:
        """The row's time with the parameters that the whole file shares."""
        parameters |= {"model": self.model.name, "precision": "bf16", "tensor_parallel": self.shards}
        return Measurement(
            bench=bench,
            device=self.device,
            parameters=parameters | {"backend": "vllm"},
            metric="latency",
            unit="s",
            value=row.positive("time_us") / 1e6,
            source=SOURCE,
        )


def read(path: Path) -> Iterator[Measurement]:
    """Yield the rows of a profile, or the settings of an engine file (``.json``)."""
    if path.suffix == ".json":
        yield from _settings(path)
        return
    profile = _profile(path)
    tables = {"attention": _attention, "dense": _dense, "per_sequence": _dense, "moe": _moe}
    if profile.table not in tables:
        raise InputError(Fault(f"table {profile.table!r} is none of {', '.join(tables)}", file=str(path)))
    yield from mark_suspects(tables[profile.table](path, profile))


def _attention(path: Path, profile: _Profile) -> Iterator[Measurement]:
    model, shards = profile.model, profile.shards
    heads: dict[str, float | str] = {
        "heads": model.attention_heads / shards,
        "kv_heads": max(1, model.kv_heads / shards),  # fewer KV heads than GPUs: each keeps one
        "head_dim": model.head_dim,
        "kv_precision": "bf16",
    }
    for row in csv_rows(path, ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")):
        chunk, decodes = row.amount("prefill_chunk"), row.amount("n_decode")
        if not chunk and not decodes:
            raise row.fault("neither a prefill chunk nor decodes")
        prefill = {"batch": 1.0, "new_tokens": chunk, "prefix_tokens": row.amount("kv_prefill")}
        context = row.amount("kv_decode")
        if not decodes:
            yield profile.measurement(row, "attention_prefill", {**prefill, **heads})
        elif not chunk:
            decode = {"batch": decodes, "context_tokens": context}
            yield profile.measurement(row, "attention_decode", {**decode, **heads})
        else:
            decode = {"decode_batch": decodes, "decode_context_tokens": context}
            yield profile.measurement(row, "attention_mixed", {**prefill, **decode, **heads})


def _dense(path: Path, profile: _Profile) -> Iterator[Measurement]:
    count = "tokens" if profile.table == "dense" else "sequences"
    shapes = _gemm_shapes(profile.model, profile.shards)
    for row in csv_rows(path, ("layer", count, "time_us")):
        layer, tokens = row.text("layer"), row.positive(count)
        if layer in shapes:
            n, k = shapes[layer]
            yield profile.measurement(row, "gemm", {"layer": layer, "m": tokens, "n": n, "k": k})
        else:
            yield profile.measurement(row, "layer", {"layer": layer, "tokens": tokens})


def _gemm_shapes(model: ModelSpec, shards: int) -> dict[str, tuple[float, float]]:
    """(n, k) of each GEMM of a layer and of the output layer on one of `shards` GPUs."""
    queries = model.attention_heads * model.head_dim
    keys_and_values = 2 * max(model.kv_heads, shards) * model.head_dim
    return {
        "qkv_proj": ((queries + keys_and_values) / shards, model.hidden),
        "o_proj": (model.hidden, queries / shards),
        "gate_up_proj": (2 * model.ffn / shards, model.hidden),
        "down_proj": (model.hidden, model.ffn / shards),
        "lm_head": (model.vocabulary / shards, model.hidden),
    }


def _moe(path: Path, profile: _Profile) -> Iterator[Measurement]:
    model = profile.model
    for row in csv_rows(path, ("tokens", "activated_experts", "time_us")):
        yield profile.measurement(
            row,
            "moe",
            {
                "tokens": row.positive("tokens"),
                "activated_experts": row.positive("activated_experts"),
                "hidden": model.hidden,
                "intermediate": model.expert_ffn,
                "top_k": model.experts_per_token,
                "experts": model.experts,
            },
        )


def _settings(path: Path) -> Iterator[Measurement]:
    document = read_json(path)
    try:
        engine = document["engine_kwargs"]
        parameters: dict[str, float | str] = {
            "model": names.model(document["model"]),
            "backend": f"vllm-{document['vllm_version']}",
            "tensor_parallel": engine["tensor_parallel_size"],
            "precision": names.precision(engine["dtype"]),
        }
        device = names.gpu(path.stem.split("_")[1])
    except (KeyError, TypeError, IndexError) as error:
        raise InputError(Fault(f"not an engine file: {error!r} is missing", file=str(path))) from error
    for place, metric in _SETTINGS.items():
        section, key = place.split(".")
        value: Any = (document.get(section) or {}).get(key)
        if value is None:  # sections that the publisher did not record are null
            continue
        if not isinstance(value, (int, float)):
            raise InputError(Fault(f"{value!r} is not a number", path=place, file=str(path)))
        yield Measurement("engine", device, parameters, metric, "", float(value), source=SOURCE)


def _profile(path: Path) -> _Profile:
    name = _NAME.fullmatch(path.name)
    if name is None:
        raise InputError(Fault("the name must read DEVICE_ORG_MODEL_bf16_tpN_TABLE.csv", file=str(path)))
    model = name["model"].replace("_", "/", 1)
    return _Profile(
        names.gpu(name["device"]), load_model(names.model(model)), int(name["shards"]), name["table"]
    )
