"""How answers with dependency graphs were decoded: figures of a service's summary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.quality_surrogate import surrogate


def visible_share(edges: NDArray[np.int64], visible: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of each answer's dependencies that could be seen; 1 where it has none. All of shape (n,)."""
    return np.where(edges > 0, visible / np.maximum(edges, 1), 1.0)


def seen(
    requests: Table, rows: NDArray[np.bool_] | NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return, for some rows, the share of dependencies seen and whether there was a plan."""
    visible = visible_share(requests.column("edges")[rows], requests.column("visible_edges")[rows])
    return visible, requests.column("planned")[rows].astype(np.bool_)


def summarize_decoding(requests: Table, done: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the figures of those answered requests of a service that have graphs.

    Parameters
    ----------
    requests
        Its requests.
    done
        Shape (n,). Which of them were answered.
    """
    done = done & (requests.column("answer_tokens") > 0)

    def mean(column: str) -> float | None:
        values = requests.column(column)[done]
        return float(values.mean()) if len(values) else None

    visible, planned = seen(requests, done)
    answer, critical = requests.column("answer_tokens")[done], requests.column("critical_tokens")[done]
    return {
        "generations": mean("generations"),
        "plan_tokens": mean("plan_tokens"),
        "decoded_tokens": mean("decoded_tokens"),
        "prompt_tokens": mean("prompt_tokens"),
        "prefill_tokens": mean("computed_tokens"),
        "ideal_speedup": float((answer / critical).mean()) if len(answer) else None,
        "visible_dependencies": float(visible.mean()) if len(visible) else None,
        "quality_surrogate": surrogate(visible, planned),
    }
