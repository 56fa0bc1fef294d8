"""Continuous batching with chunked prefill (Sarathi-Serve, vLLM V1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from devices.quantity import Count
from simulator.policies.registry import register


@register("batching", "chunked_prefill")
@dataclass(frozen=True, slots=True)
class ChunkedPrefill:
    """Decodes first, then prefill chunks up to a fixed token budget.

    Source: Agrawal et al., "Taming Throughput-Latency Tradeoff in LLM Inference with Sarathi-Serve", OSDI 2024.
    """

    token_budget: Count | None = None
    """Most tokens of a step; None: the engine's default."""
    max_sequences: Count | None = None
    """Most sequences admitted at a time; None: the engine's default."""

    @property
    def varies(self) -> bool:
        """The budget is fixed."""
        return False

    def step_budget(self, rng: np.random.Generator) -> int:
        """Never asked: the budget is fixed."""
        raise NotImplementedError("the budget of chunked_prefill does not vary")
