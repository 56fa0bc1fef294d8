"""Split the prefix once, offline: compute the front, load the back, so that both end together."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "static_split")
@dataclass(frozen=True, slots=True)
class StaticSplit(PlansOnce):
    """The offline optimum for idle resources: knows step times and bandwidths, not the load of the moment."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Choose the number of whole compute steps that minimises the later of the two ends."""
        resident, stored = view.resident_tokens, view.stored_tokens
        step = view.step_tokens
        # compute_s rises and load_s falls with the split, so the best one lies beside their crossing.
        low, high = 0, -(-(stored - resident) // step)
        while low < high:
            middle = (low + high) // 2
            split = min(resident + middle * step, stored)
            if view.compute_s(split) < view.load_s(split):
                low = middle + 1
            else:
                high = middle
        candidates = [min(resident + steps * step, stored) for steps in (low - 1, low) if steps >= 0]
        best = min(candidates, key=lambda split: max(view.compute_s(split), view.load_s(split)))
        split_s = max(view.compute_s(best), view.load_s(best)) + view.handover_s + view.rest_s
        if view.compute_s(view.prompt_tokens) <= split_s:
            best = view.stored_tokens  # nothing to load, nothing to take over, one prompt in whole steps
        return LoadPlan(compute_to=best, load_from=best)
