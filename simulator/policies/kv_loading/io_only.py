"""Load the whole stored prefix before anything is computed, as LMCache does."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "io_only")
@dataclass(frozen=True, slots=True)
class IoOnly(PlansOnce):
    """Load everything that is stored; compute what follows when it has arrived."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Load all, compute nothing of the prefix."""
        return LoadPlan(compute_to=view.resident_tokens, load_from=view.resident_tokens)
