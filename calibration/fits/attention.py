"""Attention kernels, fitted to kernel tables: prefill over query-key pairs, decode over KV bytes.

The engine needs both linear (see `simulator.serving.step_cost`). One layer's prefill attention takes

    attention_launch_s + 4 * heads * head_dim * (waves(new) * pairs + attention_token_pairs * new)
                         / (peak_flops * attention_efficiency)

with causal pairs counted once, `new` the new tokens of a chunk and `heads` the query heads on the GPU. A token costs
as much as `attention_token_pairs` further pairs for what is read and written per token. `waves`
(`simulator.serving.kernels`) is at least 1: a tile of 64 queries of one head walks along all keys on one
multiprocessor, so a last wave that fills the GPU in part takes as long as a whole one. It depends on the
chunk's size alone, so equal chunks stay linear in their pairs. Decode attention takes

    kv_read_launch_s + kv_read_stream_s * streams + kv_bytes / (bandwidth * kv_read_efficiency)

where a stream is one sequence's context of one KV head, K and V of which are read once.

Rows that a fit takes: 16-bit queries and KV, no sliding window, 128 values per head, at least 4 query heads, no
suspect ones; of large tables a sample. Prefill: at least `LEAST_NEW` new tokens. Decode: contexts of at least
`LEAST_CONTEXT` tokens; at least `LEAST_STREAMS` streams, below which a kernel's way to split a context decides; and
no rows whose KV may have come from the cache (`cold`): that of a served model does not, all weights being read in
between.

``python -m calibration.fits.attention FOLDER`` prints all fits and checks out of sample.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from calibration.command_line import data_parser, kernel_tables, run
from calibration.fits.regression import Array, Form, Regression, regress
from calibration.fits.tables import columns, describe, gpu_profile, median_error, read, stratified, values
from calibration.readers.names import BYTES_PER_ELEMENT
from calibration.readers.suspects import attended_pairs
from calibration.table import Measurement
from devices.profiles import GpuProfile
from simulator.serving.kernels import waves

AICONFIGURATOR = "aiconfigurator"
PREFILL_TABLES: Mapping[str, tuple[str, str]] = {
    "a100-80g-sxm": (AICONFIGURATOR, "a100_sxm/attention_context_*.parquet"),
    "h100-80g-sxm": (AICONFIGURATOR, "h100_sxm/attention_context_*.parquet"),
    "h200-sxm": (AICONFIGURATOR, "h200_sxm/trtllm_*_context_*.parquet"),
    "b200-sxm": (AICONFIGURATOR, "b200_sxm/attention_context_*.parquet"),
    "l40s": (AICONFIGURATOR, "l40s/attention_context_*.parquet"),
    "rtx-4090": ("llmservingsim", "RTX4090_*_attention.csv"),
    "rtx-pro-6000": ("llmservingsim", "RTXPRO6000_*_attention.csv"),
}
"""Tables of prefill attention: vLLM's, but for the H200, whose vLLM table cannot be right (a third of it exceeds the
peak rate): TensorRT-LLM's stands in."""

DECODE_TABLES: Mapping[str, tuple[str, str]] = {
    "a100-80g-sxm": (AICONFIGURATOR, "a100_sxm/attention_generation_*.parquet"),
    "h100-80g-sxm": (AICONFIGURATOR, "h100_sxm/attention_generation_*.parquet"),
    "h200-sxm": (AICONFIGURATOR, "h200_sxm/attention_generation_*.parquet"),
    "b200-sxm": (AICONFIGURATOR, "b200_sxm/attention_generation_*.parquet"),
    "l40s": (AICONFIGURATOR, "l40s/attention_generation_*.parquet"),
    "rtx-4090": ("llmservingsim", "RTX4090_*_attention.csv"),
    "rtx-pro-6000": ("llmservingsim", "RTXPRO6000_*_attention.csv"),
}
"""Tables of decode attention, vLLM's throughout."""

HEAD_DIM = 128
LEAST_HEADS = 4
LEAST_NEW = 16
LEAST_CONTEXT = 64
LEAST_STREAMS = 16
SAMPLE = 3000
CACHE_MARGIN = 2.0
"""KV of up to this many times the largest seen to come from the cache are left out..."""
UNSEEN_SHARE = 0.1
"""...unless reading it from memory would take no more than this share of the time."""

PREFILL_START = {"attention_efficiency": 0.6, "attention_launch_s": 1e-5, "attention_token_pairs": 400.0}
DECODE_START = {"kv_read_efficiency": 0.8, "kv_read_launch_s": 8e-6, "kv_read_stream_s": 2e-8}
DECODE_PRIORS = {"kv_read_stream_s": (2e-8, 0.1)}
"""Weak: decides only where a table has few streams."""


def prefill_form(peak_flops: float) -> Form:
    """Return one layer's prefill attention in s as a form over the columns of `prefill_columns`."""

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        work = table["work"] + constants["attention_token_pairs"] * table["tokens"]
        time_s: Array = constants["attention_launch_s"] + work / (
            peak_flops * constants["attention_efficiency"]
        )
        return time_s

    return form


def decode_form(bandwidth_bytes_per_s: float) -> Form:
    """Return one layer's decode attention in s as a form over the columns of `decode_columns`."""

    def form(constants: Mapping[str, float], table: Mapping[str, Array]) -> Array:
        read_s = table["kv_bytes"] / (bandwidth_bytes_per_s * constants["kv_read_efficiency"])
        time_s: Array = (
            constants["kv_read_launch_s"] + constants["kv_read_stream_s"] * table["streams"] + read_s
        )
        return time_s

    return form


def prefill_columns(rows: Sequence[Measurement], multiprocessors: int) -> dict[str, Array]:
    """FLOPs of all pairs with `waves` (``work``), FLOPs of one pair per token (``tokens``), and what a plot needs."""
    table = columns(rows, "batch", "new_tokens", "prefix_tokens", "heads", "head_dim")
    new = table["new_tokens"]
    per_pair = 4.0 * table["heads"] * table["head_dim"] * table["batch"]
    pairs = [attended_pairs(*one) for one in zip(new, table["prefix_tokens"], strict=True)]
    spread = waves(new, table["batch"] * table["heads"], multiprocessors)
    return {
        "work": per_pair * np.array(pairs) * spread,
        "tokens": per_pair * new,
        "new_tokens": new,
        "heads": table["heads"],
    }


def decode_columns(rows: Sequence[Measurement]) -> dict[str, Array]:
    """Bytes of KV read (``kv_bytes``), ``streams``, and what a plot needs."""
    table = columns(rows, "batch", "context_tokens", "heads", "kv_heads", "head_dim")
    width = np.array([BYTES_PER_ELEMENT[str(row.parameters["kv_precision"])] for row in rows])
    kv_values = 2.0 * table["batch"] * table["context_tokens"] * table["kv_heads"] * table["head_dim"]
    return {
        "kv_bytes": kv_values * width,
        "streams": table["batch"] * table["kv_heads"],
        "context_tokens": table["context_tokens"],
        "heads": table["heads"],
    }


def prefill_rows(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the rows that a fit of prefill attention takes (see the module)."""
    return [
        row
        for row in measurements
        if row.bench == "attention_prefill" and _plain(row) and row.number("new_tokens") >= LEAST_NEW
    ]


def decode_rows(measurements: Sequence[Measurement], bandwidth_bytes_per_s: float) -> list[Measurement]:
    """Return the rows that a fit of decode attention takes (see the module)."""
    rows = [
        row
        for row in measurements
        if row.bench == "attention_decode"
        and _plain(row)
        and row.number("context_tokens") >= LEAST_CONTEXT
        and row.number("batch") * row.number("kv_heads") >= LEAST_STREAMS
    ]
    return cold(rows, bandwidth_bytes_per_s)


def cold(rows: Sequence[Measurement], bandwidth_bytes_per_s: float) -> list[Measurement]:
    """Leave out rows whose time depends on KV that may have come from the cache.

    KV that was read faster than memory delivers it came from the cache; so may KV of up to `CACHE_MARGIN` times the
    largest of these.
    """
    sizes = decode_columns(rows)["kv_bytes"] if rows else np.array([])
    shares = sizes / (values(rows) * bandwidth_bytes_per_s)
    least = CACHE_MARGIN * float(sizes[shares > 1].max(initial=0.0))
    return [rows[index] for index in np.flatnonzero((sizes >= least) | (shares <= UNSEEN_SHARE)).tolist()]


def prefill_sample(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Return the points of `fit_prefill`, in the order of its errors."""
    return stratified(prefill_rows(measurements), SAMPLE, lambda row: row.number("new_tokens"))


def decode_sample(measurements: Sequence[Measurement], gpu: GpuProfile) -> list[Measurement]:
    """Return the points of `fit_decode`, in the order of its errors."""
    rows = decode_rows(measurements, gpu.memory_bandwidth_bytes_per_s)
    return stratified(rows, SAMPLE, lambda row: (row.number("batch"), row.number("heads")))


def fit_prefill(measurements: Sequence[Measurement], gpu: GpuProfile, bootstraps: int = 200) -> Regression:
    """Fit the prefill attention of one GPU; groups are shapes (query and KV heads), else numbers of new tokens."""
    rows = prefill_sample(measurements)
    return regress(
        prefill_form(gpu.peak_flops),
        prefill_columns(rows, gpu.multiprocessors),
        values(rows),
        PREFILL_START,
        bounds={"attention_efficiency": (0.02, 1.0), "attention_token_pairs": (1.0, 1e4)},
        groups=_groups(rows, "new_tokens"),
        bootstraps=bootstraps,
    )


def fit_decode(measurements: Sequence[Measurement], gpu: GpuProfile, bootstraps: int = 200) -> Regression:
    """Fit the decode attention of one GPU; groups are shapes (query and KV heads), else contexts."""
    bandwidth = gpu.memory_bandwidth_bytes_per_s
    rows = decode_sample(measurements, gpu)
    table = decode_columns(rows)
    # No kernel reads faster than the fastest of the table.
    most = float((table["kv_bytes"] / values(rows)).max()) / bandwidth
    return regress(
        decode_form(bandwidth),
        table,
        values(rows),
        DECODE_START,
        bounds={"kv_read_efficiency": (0.02, max(most, 0.04)), "kv_read_stream_s": (1e-10, 1e-6)},
        groups=_groups(rows, "context_tokens"),
        priors=DECODE_PRIORS,
        bootstraps=bootstraps,
    )


def mixed_s(
    row: Measurement, prefill: Mapping[str, float], decode: Mapping[str, float], gpu: GpuProfile
) -> float:
    """Time of a pass over a prefill chunk and decodes together: the sum of both, in s."""
    parameters = {
        **row.parameters,
        "batch": row.number("decode_batch"),
        "context_tokens": row.number("decode_context_tokens"),
    }
    decodes = Measurement("attention_decode", row.device, parameters, row.metric, row.unit, row.value)
    return float(
        prefill_form(gpu.peak_flops)(prefill, prefill_columns([row], gpu.multiprocessors))[0]
        + decode_form(gpu.memory_bandwidth_bytes_per_s)(decode, decode_columns([decodes]))[0]
    )


def _plain(row: Measurement) -> bool:
    sixteen_bit = {"bf16", "fp16"}
    return (
        row.parameters["precision"] in sixteen_bit
        and row.parameters["kv_precision"] in sixteen_bit
        and "window_tokens" not in row.parameters
        and row.number("head_dim") == HEAD_DIM
        and row.number("heads") >= LEAST_HEADS
    )


def _groups(rows: Sequence[Measurement], otherwise: str) -> list[Hashable]:
    shapes: list[Hashable] = [(row.number("heads"), row.number("kv_heads")) for row in rows]
    return shapes if len(set(shapes)) >= 5 else [row.number(otherwise) for row in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the fits and the checks out of sample; return the exit status."""
    return run(_run, data_parser("Fit attention on published tables."), argv)


def _run(arguments: Namespace) -> None:
    folder = kernel_tables(arguments.data)
    prefills, decodes = {}, {}
    for gpu, (kind, pattern) in PREFILL_TABLES.items():
        prefills[gpu] = fit_prefill(read(folder, kind, pattern), gpu_profile(gpu))
        print(describe(f"prefill on {gpu}", prefills[gpu]))
    for gpu, (kind, pattern) in DECODE_TABLES.items():
        measured = read(folder, kind, pattern)
        decodes[gpu] = fit_decode(measured, gpu_profile(gpu))
        print(describe(f"decode on {gpu}", decodes[gpu]))
        few = [row for row in measured if row.bench == "attention_decode" and _plain(row)]
        few = [row for row in few if row.number("batch") * row.number("kv_heads") < LEAST_STREAMS]
        _check_decode(f"fewer than {LEAST_STREAMS} streams on {gpu}", few, gpu, decodes[gpu].constants)
    for gpu, pattern in (("a100-80g-sxm", "a800_*"), ("h100-80g-sxm", "h800_*")):
        rows = read(folder, "frontier", pattern)
        chunks = prefill_rows(rows)
        form = prefill_form(gpu_profile(gpu).peak_flops)
        ours = form(prefills[gpu].constants, prefill_columns(chunks, gpu_profile(gpu).multiprocessors))
        _say(f"Frontier, prefill on {pattern[:4]}", np.log(ours / values(chunks)))
        few = [row for row in rows if row.bench == "attention_decode"]
        _check_decode(f"Frontier on {pattern[:4]}", few, gpu, decodes[gpu].constants)
    for gpu in ("rtx-4090", "rtx-pro-6000"):
        rows = [row for row in read(folder, *PREFILL_TABLES[gpu]) if row.bench == "attention_mixed"]
        rows = stratified(rows, 2000, lambda row: row.number("decode_batch"))
        profile = gpu_profile(gpu)
        summed = [mixed_s(row, prefills[gpu].constants, decodes[gpu].constants, profile) for row in rows]
        _say(f"chunk and decodes in one pass on {gpu}, as a sum", np.log(np.array(summed) / values(rows)))


def _check_decode(
    what: str, measured: Sequence[Measurement], gpu: str, constants: Mapping[str, float]
) -> None:
    bandwidth = gpu_profile(gpu).memory_bandwidth_bytes_per_s
    rows = cold([row for row in measured if row.number("context_tokens") >= LEAST_CONTEXT], bandwidth)
    ours = decode_form(bandwidth)(constants, decode_columns(rows))
    _say(f"decode, {what}", np.log(ours / values(rows)))


def _say(what: str, errors: Array) -> None:
    print(
        f"out of sample: {what}: {len(errors)} points, median error {100 * median_error(errors):.0f} %, "
        f"median ratio {np.exp(np.median(errors)):.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
