"""What single requests and viewers of a run came to, so that those of two runs can be paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.steady_state import steady_state
from simulator.metrics.summary import COMPLETED, FAILED
from simulator.metrics.text_qoe import DEFAULT_READER, qoe_of_requests
from simulator.scenario.reader_spec import ReaderSpec

WORKLOAD_STRIDE = 1 << 40
"""Distance between the keys of two workloads' requests."""


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Figures of one service's requests or viewers, so that those of two runs can be paired."""

    key: NDArray[np.int64]
    """Shape (n,), ascending. Workload and number of each request, or session and phone; equal in runs that share
    arrivals."""
    order: NDArray[np.float64]
    """Shape (n,). Arrival times, or numbers of sessions: neighbours may depend on one another."""
    figures: dict[str, NDArray[np.float64]]
    """Each of shape (n,), by the path of its mean in the service's summary; NaN where there is none."""
    unanswered: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Of the requests without an E2E, in their order: what each latency is at least, by the same paths. Of one that was
    under way when the run ended that is what it had come to by then; of one that cannot be served, infinity."""


def of_requests(
    requests: Table,
    workloads: dict[str, int],
    end_s: float,
    warmup: float | str = "none",
    reader: ReaderSpec = DEFAULT_READER,
    further: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
) -> Observations:
    """Return the latencies and the QoE of a service's requests after a warm-up.

    Parameters
    ----------
    requests
        One row per request.
    workloads
        Numbers of the scenario's workloads.
    end_s
        When the simulation ended.
    warmup
        That of the scenario.
    reader
        That of the service.
    further
        Shape (requests,) each. Further figures by path; NaN where a request has none.
    """
    numbers = np.array([workloads[name] for name in requests.column("workload")], dtype=np.int64)
    key = numbers * WORKLOAD_STRIDE + requests.column("request")
    order = np.argsort(key)
    order = order[steady_state(requests, warmup).kept[order]]
    arrival = requests.column("arrival_s")
    done = requests.column("status") == COMPLETED

    def since_arrival(name: str) -> NDArray[np.float64]:
        return np.where(done, requests.column(name) - arrival, np.nan)[order]

    tokens = requests.column("output_tokens")
    left = order[~done[order]]
    later_s = requests.column("finish_s") - requests.column("first_token_s")
    figures = {
        "ttft_s.mean": since_arrival("first_token_s"),
        "tpot_s.mean": np.where(done & (tokens > 1), later_s / np.maximum(tokens - 1, 1), np.nan)[order],
        "e2e_s.mean": since_arrival("finish_s"),
        "qoe.mean": qoe_of_requests(requests, reader)[order],
        **{path: values[order] for path, values in further.items()},
    }
    return Observations(key[order], arrival[order], figures, _come_to(requests, left, end_s))


def _come_to(requests: Table, left: NDArray[np.intp], end_s: float) -> dict[str, NDArray[np.float64]]:
    """Return what the latencies of requests `left` without an answer are at least when the simulation ends."""
    arrival, first, tokens, status = (
        requests.column(name)[left] for name in ("arrival_s", "first_token_s", "output_tokens", "status")
    )
    begun, several = first >= 0.0, tokens > 1
    least = {
        "ttft_s.mean": np.where(begun, first, end_s) - arrival,
        "tpot_s.mean": np.where(begun & several, (end_s - first) / np.maximum(tokens - 1, 1), 0.0),
        "e2e_s.mean": end_s - arrival,
    }
    return {path: np.where(status == FAILED, np.inf, values) for path, values in least.items()}


def of_asks(
    asks: Table, workloads: dict[str, int], end_s: float, warmup: float | str, reader: ReaderSpec
) -> Observations:
    """Return the latencies and the QoE of an assistant's questions after a warm-up, and what the phone spent on each.

    Parameters
    ----------
    asks
        One row per question.
    workloads, end_s, warmup, reader
        As in `of_requests`.
    """
    spent_j = asks.column("chip_j") + asks.column("radio_j")
    spent_j = np.where(asks.column("status") == COMPLETED, spent_j, np.nan)
    return of_requests(asks, workloads, end_s, warmup, reader, {"energy_per_ask_j.mean": spent_j})


def of_viewers(viewers: Table) -> Observations:
    """Return what the viewers of a streaming service saw and spent."""
    sessions = viewers.column("session").astype(np.int64)
    number = {name: i for i, name in enumerate(sorted(set(viewers.column("phone"))))}
    key = sessions * WORKLOAD_STRIDE + np.array([number[name] for name in viewers.column("phone")], np.int64)
    order = np.argsort(key)
    columns = {
        "qoe.mean": "qoe_oasis",
        "rebuffer_s.mean": "rebuffer_s",
        "energy_per_phone_j.mean": "energy_j",
    }
    figures = {path: viewers.column(name)[order].copy() for path, name in columns.items()}
    return Observations(key[order], sessions[order].astype(np.float64), figures)
