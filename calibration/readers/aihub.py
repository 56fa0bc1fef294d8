"""Qualcomm AI Hub's published phone latencies: super-resolution nets, other nets, language models (CSV).

Only rows that passed count. AI Hub compiles its SR nets for an input of 128 x 128 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from calibration.readers import names
from calibration.readers.rows import Row, csv_rows
from calibration.table import Measurement

SOURCE = "Qualcomm AI Hub Models, published performance (BSD-3-Clause)"

SR_INPUT_PX = 128
"""Width and height of the input that AI Hub's SR nets are compiled for."""

PROMPT_CHUNK_TOKENS = 128
"""Tokens that AI Hub's language models take in one pass of the prompt; the lower end of its TTFT range."""


def read_sr(path: Path) -> Iterator[Measurement]:
    """Yield the latency of each SR net on each SoC, runtime and precision."""
    tile = {"input_width_px": SR_INPUT_PX, "input_height_px": SR_INPUT_PX}
    for row, parameters in _nets(path, names.network):
        yield _latency(row, "sr", {**parameters, **tile})


def read_networks(path: Path) -> Iterator[Measurement]:
    """Yield the latency of each other net; a model of several parts has one row per component."""
    for row, parameters in _nets(path, names.slug):
        yield _latency(row, "inference", {**parameters, "component": names.slug(row.text("component"))})


def read_llm(path: Path) -> Iterator[Measurement]:
    """Yield decode rate and both ends of the TTFT range of each language model.

    The prompt is taken in chunks of one compiled length. Most rows have chunks of `PROMPT_CHUNK_TOKENS`:
    there the lower end of TTFT is one chunk and the upper end an exact multiple of it, so not measured on
    its own (``derived`` is 1). Where both ends agree the whole context is one chunk.
    """
    columns = ("model", "precision", "device", "runtime", "context_length", "tokens_per_s")
    for row in csv_rows(path, (*columns, "ttft_ms_min", "ttft_ms_max")):
        context = row.positive("context_length")
        common: dict[str, float | str] = {
            "model": names.slug(row.text("model")),
            "precision": row.text("precision"),
            "runtime": row.text("runtime"),
            "product": row.text("device"),
            "context_tokens": context,
        }
        shortest, longest = row.positive("ttft_ms_min") / 1e3, row.positive("ttft_ms_max") / 1e3
        chunks = round(longest / shortest)
        yield _measurement(row, "inference", common, "throughput", "tokens/s", row.positive("tokens_per_s"))
        chunk = PROMPT_CHUNK_TOKENS if chunks > 1 else context
        yield _measurement(row, "inference", {**common, "input_tokens": chunk}, "ttft", "s", shortest)
        if chunks > 1:
            all_chunks = {**common, "input_tokens": chunks * chunk, "derived": 1}
            yield _measurement(row, "inference", all_chunks, "ttft", "s", longest)


def _nets(path: Path, network: Callable[[str], str]) -> Iterator[tuple[Row, dict[str, float | str]]]:
    columns = ("model", "precision", "component", "device", "runtime", "latency_ms", "unit", "status")
    for row in csv_rows(path, columns):
        if row.text("status") == "Passed":
            yield (
                row,
                {
                    "network": network(row.text("model")),
                    "precision": row.text("precision"),
                    "runtime": row.text("runtime"),
                    "processor": row.text("unit").lower(),
                    "product": row.text("device"),
                },
            )


def _latency(row: Row, bench: str, parameters: dict[str, float | str]) -> Measurement:
    return _measurement(row, bench, parameters, "latency", "s", row.positive("latency_ms") / 1e3)


def _measurement(
    row: Row, bench: str, parameters: dict[str, float | str], metric: str, unit: str, value: float
) -> Measurement:
    device = names.soc(row.text("device"))
    return Measurement(bench, device, parameters, metric, unit, value, source=SOURCE)
