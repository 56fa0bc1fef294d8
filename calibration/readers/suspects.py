"""Marks published kernel times that are faster than the hardware can be.

A row is marked ``suspect`` when its arithmetic would run above the device's peak rate, or when it would
read more bytes per second than device memory delivers, counted only where the data fit no cache. A row of
no work at all is marked too. A benchmark that is wrong once is wrong for its neighbours, though less visibly: where one
row of a series (everything equal but batch and lengths) exceeds the peak by more than `CLOCK_MARGIN`, the
whole series is marked ``suspect_series``. Marked rows are kept; fits leave them out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from calibration.readers.names import BYTES_PER_ELEMENT
from calibration.table import Measurement
from devices.catalogue import load_profile, profile_names
from devices.profiles import GpuProfile

CACHE_BYTES = 2.0**28
"""Data of this size or more lie in no GPU's cache (the largest L2 here is B200's, 126 MB)."""

CLOCK_MARGIN = 1.25
"""A series is distrusted above this share of the peak; boards that boost above the rated clock stay below."""

_SAME_CHIP = {"a800": "a100-80g-sxm", "h800": "h100-80g-sxm"}
"""Export variants differ from their originals in links, not in rate or memory bandwidth."""

_VARYING = frozenset(
    {"m", "batch", "new_tokens", "prefix_tokens", "context_tokens", "decode_batch", "decode_context_tokens"}
)

_ATTENTION = ("attention_prefill", "attention_decode", "attention_mixed")

_FORMATS = {"fp16": "bf16", "fp8-block": "fp8"}
"""Number format of the catalogue by precision of a table, where they differ."""


def mark_suspects(rows: Iterable[Measurement]) -> Iterator[Measurement]:
    """Yield `rows` (latencies of ``gemm`` and attention; others pass) with the marks set."""
    rows = list(rows)
    shares = [share_of_peak(row) for row in rows]
    distrusted = {
        _series(row)
        for row, share in zip(rows, shares, strict=True)
        if share is not None and CLOCK_MARGIN < share < math.inf
    }
    for row, share in zip(rows, shares, strict=True):
        marks: dict[str, float | str] = {}
        if share is not None and share > 1:
            marks["suspect"] = 1
        if share is not None and _series(row) in distrusted:
            marks["suspect_series"] = 1
        yield replace(row, parameters={**row.parameters, **marks}) if marks else row


def share_of_peak(row: Measurement) -> float | None:
    """Share of the peak arithmetic rate or memory bandwidth, whichever is larger, that a latency implies.

    None where the device has no profile, its profile no rate for the precision, or the bench no such count;
    infinite where the row has no work.
    """
    profile = _profile(row.device)
    if profile is None or row.unit != "s" or row.bench not in ("gemm", *_ATTENTION):
        return None
    peak = _peak(profile, str(row.parameters["precision"]))
    flops, read_bytes = _gemm_work(row) if row.bench == "gemm" else _attention_work(row)
    if not flops:
        return math.inf
    shares = [flops / row.value / peak] if peak else []
    if read_bytes >= CACHE_BYTES:
        shares.append(read_bytes / row.value / profile.memory_bandwidth_bytes_per_s)
    return max(shares, default=None)


def attended_pairs(new_tokens: float, prefix_tokens: float, window_tokens: float = math.inf) -> float:
    """Query-key pairs of a causal pass of `new_tokens` over themselves and their prefix.

    With a sliding window each query meets at most `window_tokens` keys, itself among them.
    """
    # Query i (from 1) meets min(prefix + i, window) keys; `whole` of them are not yet cut by the window.
    whole = min(max(window_tokens - prefix_tokens, 0.0), new_tokens)
    cut = (new_tokens - whole) * window_tokens if new_tokens > whole else 0.0
    return whole * prefix_tokens + whole * (whole + 1) / 2 + cut


def _gemm_work(row: Measurement) -> tuple[float, float]:
    m, n, k = row.number("m"), row.number("n"), row.number("k")
    element_bytes = BYTES_PER_ELEMENT.get(str(row.parameters["precision"]), 0.0)
    return 2 * m * n * k, (n * k + m * k) * element_bytes


def _attention_work(row: Measurement) -> tuple[float, float]:
    """FLOPs, and bytes of KV cache read, of all sequences of one attention pass."""
    window = row.number("window_tokens") if "window_tokens" in row.parameters else math.inf
    sequences: list[tuple[float, float, float]] = []  # how many, their new tokens, their prefix
    if row.bench == "attention_decode":
        sequences.append((row.number("batch"), 1, row.number("context_tokens") - 1))
    else:
        sequences.append((row.number("batch"), row.number("new_tokens"), row.number("prefix_tokens")))
    if row.bench == "attention_mixed":
        sequences.append((row.number("decode_batch"), 1, row.number("decode_context_tokens") - 1))
    pairs = sum(batch * attended_pairs(new, prefix, window) for batch, new, prefix in sequences)
    keys = sum(batch * min(new + prefix, window) for batch, new, prefix in sequences)
    head_dim = row.number("head_dim")
    element_bytes = BYTES_PER_ELEMENT.get(str(row.parameters["kv_precision"]), 0.0)
    return (
        4 * row.number("heads") * head_dim * pairs,
        2 * row.number("kv_heads") * head_dim * element_bytes * keys,
    )


def _profile(device: str) -> GpuProfile | None:
    name = _SAME_CHIP.get(device, device)
    profile = load_profile(name) if name in profile_names() else None
    return profile if isinstance(profile, GpuProfile) else None


def _peak(profile: GpuProfile, precision: str) -> float:
    rate = profile.gemm.get(_FORMATS.get(precision, precision))
    return 0.0 if rate is None else rate.peak_flops


def _series(row: Measurement) -> tuple[object, ...]:
    fixed = sorted((name, value) for name, value in row.parameters.items() if name not in _VARYING)
    return (row.bench, row.device, *fixed)
