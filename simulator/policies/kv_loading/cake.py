"""Cake: compute from the front and load from the back until the pointers meet."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "cake")
@dataclass(frozen=True, slots=True)
class Cake(PlansOnce):
    """Two pointers, no estimator; the engine tests at step ends whether they have met.

    Source: Jin, Liu, Zhang, Mao, "Compute or Load KV Cache? Why Not Both?", ICML 2025, arXiv 2410.03065.
    """

    adaptive: bool = True
    """Take only the token budget that decodes and other prefills leave (the paper's adaptive scheduling)."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Let both pointers run over the whole stored prefix."""
        return LoadPlan(compute_to=view.stored_tokens, load_from=view.resident_tokens, yields=self.adaptive)
