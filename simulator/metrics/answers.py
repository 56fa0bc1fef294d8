"""Figures of answers that tokens stream in for: of an LLM service's requests, and of an assistant's questions.

Definitions stand in `simulator.metrics.summary`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.distribution import distribution
from simulator.metrics.text_qoe import qoe_of_requests
from simulator.scenario.reader_spec import ReaderSpec
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED

LATENCIES = ("ttft_s", "tpot_s", "e2e_s")
"""Latency metrics of an LLM service."""


def latency_columns(requests: Table, kept: NDArray[np.bool_] | None = None) -> dict[str, NDArray[np.float64]]:
    """Return each latency of the completed requests, in order of completion; TPOT without one-token answers.

    Parameters
    ----------
    requests
        One row per request.
    kept
        Shape (requests,). Which requests count; None: all.
    """
    done = requests.column("status") == COMPLETED
    if kept is not None:
        done &= kept
    arrival = requests.column("arrival_s")[done]
    first = requests.column("first_token_s")[done]
    finish = requests.column("finish_s")[done]
    tokens = requests.column("output_tokens")[done]
    several = tokens > 1
    return {
        "ttft_s": first - arrival,
        "tpot_s": (finish - first)[several] / (tokens[several] - 1),
        "e2e_s": finish - arrival,
    }


def throughput_span_s(table: Table, kept: NDArray[np.bool_]) -> float:
    """Return the time that throughput is per: from the first arrival to the last completion; 0 without one, in s."""
    counted = (table.column("status") == COMPLETED) & kept
    if not counted.any():
        return 0.0
    return float(table.column("finish_s")[counted].max() - table.column("arrival_s")[kept].min())


def answer_figures(table: Table, reader: ReaderSpec, kept: NDArray[np.bool_]) -> dict[str, Any]:
    """Return counts, latencies, throughput and QoE.

    Parameters
    ----------
    table
        One row per request.
    reader
        Who reads the answers.
    kept
        Shape (requests,). Which ones come after the warm-up.
    """
    status = table.column("status")
    counted = (status == COMPLETED) & kept
    latencies = latency_columns(table, kept)
    span_s = throughput_span_s(table, kept)
    output_tokens = int(table.column("output_tokens")[counted].sum())
    return {
        "requests": {
            "arrived": len(table),
            "completed": int((status == COMPLETED).sum()),
            "failed": int((status == FAILED).sum()),
            "dropped": 0,
            "unfinished": int((status == UNFINISHED).sum()),
        },
        **{name: distribution(latencies[name]) for name in LATENCIES},
        "throughput": {
            "requests_per_s": float(counted.sum()) / span_s if span_s else None,
            "output_tokens_per_s": output_tokens / span_s if span_s else None,
        },
        "qoe": _qoe(qoe_of_requests(table, reader)[counted]),
    }


def _qoe(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Return a distribution with its lower tail, which is the side that hurts."""
    known = values[~np.isnan(values)]
    return {**distribution(known), "p10": float(np.quantile(known, 0.1)) if len(known) else None}
