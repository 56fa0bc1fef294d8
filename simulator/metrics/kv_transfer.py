"""What the KV of prompts takes from the replicas that prefill to those that decode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.core import Table
from simulator.metrics.distribution import distribution


def summarize_kv_transfer(table: Table, counted: NDArray[np.bool_]) -> dict[str, Any]:
    """Return how long KV has waited for a place to go to, and taken to go there, and its bytes.

    Parameters
    ----------
    table
        One row per request, with `simulator.serving.service.HANDOVER_COLUMNS`.
    counted
        Shape (requests,). Which requests count.
    """
    start_s, end_s = table.column("transfer_start_s"), table.column("transfer_end_s")
    moved = counted & (end_s >= 0.0)
    return {
        "wait_s": distribution((start_s - table.column("first_token_s"))[moved]),
        "transfer_s": distribution((end_s - start_s)[moved]),
        "bytes": float(table.column("transfer_bytes")[moved].sum()),
    }
