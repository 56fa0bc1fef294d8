"""Recompute the whole prefix; use only what is in GPU memory."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "compute_only")
@dataclass(frozen=True, slots=True)
class ComputeOnly(PlansOnce):
    """Prefill everything that is not resident; storage tiers are not read."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Compute all, load nothing."""
        return LoadPlan(compute_to=view.stored_tokens, load_from=view.stored_tokens)
