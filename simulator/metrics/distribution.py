"""Figures of a distribution of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def distribution(values: NDArray[np.float64]) -> dict[str, float | None]:
    """Return mean, p50, p90 and p99 (linear interpolation); None where there are no values."""
    if not len(values):
        return {"mean": None, "p50": None, "p90": None, "p99": None}
    p50, p90, p99 = np.quantile(values, (0.5, 0.9, 0.99))
    return {"mean": float(values.mean()), "p50": float(p50), "p90": float(p90), "p99": float(p99)}
