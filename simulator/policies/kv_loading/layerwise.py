"""Load layer by layer, and compute a layer's new tokens while the next layers load."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "layerwise")
@dataclass(frozen=True, slots=True)
class Layerwise(PlansOnce):
    """Load everything that is stored; the step over the new tokens overlaps with the load of later layers."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Load all, overlapped with the computation that needs it."""
        return LoadPlan(compute_to=view.resident_tokens, load_from=view.resident_tokens, overlap_layers=True)
