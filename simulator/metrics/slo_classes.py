"""How often the classes of a service's requests have kept their objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.answers import throughput_span_s
from simulator.serving.sequence import COMPLETED, FAILED
from simulator.workloads.slo import SloClass


def summarize_slo(
    requests: Table,
    classes: Mapping[str, SloClass],
    kept: NDArray[np.bool_],
    end_s: float,
) -> dict[str, Any]:
    """Return attainment and goodput, of all requests with a class and of each class.

    A request has missed its objective where a latency is beyond the limit or where it could not be served. One under
    way at the end has missed it where a latency has passed the limit by then; of another one it is not known, and it
    counts for nothing (as in `simulator.experiments.slo`). An answer of one token keeps any limit on TPOT.

    Parameters
    ----------
    requests
        One row per request.
    classes
        By workload of the service that has one.
    kept
        Shape (requests,). Which requests count.
    end_s
        When the simulation ended, in s.
    """
    span_s = throughput_span_s(requests, kept)
    workload = requests.column("workload")
    limits = {name: np.full(len(requests), np.inf) for name in ("ttft", "tpot")}
    label = np.full(len(requests), "", dtype=object)
    for name, slo in classes.items():
        mine = workload == name
        label[mine] = slo.name or name
        limits["ttft"][mine] = np.inf if slo.ttft is None else slo.ttft
        limits["tpot"][mine] = np.inf if slo.tpot is None else slo.tpot
    status = requests.column("status")
    answered, failed = status == COMPLETED, status == FAILED
    first, tokens = requests.column("first_token_s"), requests.column("output_tokens")
    until = np.where(answered, requests.column("finish_s"), end_s)
    begun = first >= 0.0
    ttft_s = np.where(begun, first, end_s) - requests.column("arrival_s")
    tpot_s = np.where(begun & (tokens > 1), (until - first) / np.maximum(tokens - 1, 1), 0.0)
    late = {"ttft": failed | (ttft_s > limits["ttft"]), "tpot": failed | (tpot_s > limits["tpot"])}
    # what a latency is at least tells something only where it is beyond the limit
    settled = {"ttft": begun | late["ttft"], "tpot": answered | late["tpot"]}
    missed = late["ttft"] | late["tpot"]
    known = answered | missed

    def figures(mine: NDArray[np.bool_]) -> dict[str, Any]:
        within = int((mine & answered & ~missed).sum())
        return {
            "requests": int((mine & known).sum()),
            "attainment": _share(mine & known, missed),
            **{f"{name}_attainment": _share(mine & settled[name], late[name]) for name in late},
            "goodput_per_s": within / span_s if span_s > 0.0 else None,
        }

    every = figures(kept & (label != ""))
    return {
        "attainment": every["attainment"],
        "goodput_per_s": every["goodput_per_s"],
        "classes": {
            name: figures(kept & (label == name))
            for name in dict.fromkeys(slo.name or name for name, slo in classes.items())
        },
    }


def _share(counted: NDArray[np.bool_], missed: NDArray[np.bool_]) -> float | None:
    """Return the share of those counted that have not missed."""
    return float((~missed[counted]).mean()) if counted.any() else None
