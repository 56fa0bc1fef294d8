"""A reference that no real system reaches: the best split to the token, with the bandwidth to come known."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, PlansOnce
from simulator.policies.registry import register


@register("kv_loading", "oracle")
@dataclass(frozen=True, slots=True)
class Oracle(PlansOnce):
    """Split to the token, knowing the bandwidth to come and the transfers under way.

    For a request alone, and where loaded KV need not be expanded, it is a lower bound on the TTFT of every other
    policy that does not overlap layers. Under
    load it is a strong reference, not a bound: it does not know the requests to come.
    """

    def plan(self, view: LoadView) -> LoadPlan:
        """Bisect for the first token at which computing ends no earlier than loading."""
        low, high = view.resident_tokens, view.stored_tokens
        while low < high:
            middle = (low + high) // 2
            if view.compute_s(middle) < view.load_now_s(middle):
                low = middle + 1
            else:
                high = middle
        candidates = [split for split in (low - 1, low) if split >= view.resident_tokens]
        best = min(candidates, key=lambda split: max(view.compute_s(split), view.load_now_s(split)))
        split_s = max(view.compute_s(best), view.load_now_s(best)) + view.handover_s + view.rest_s
        if view.compute_s(view.prompt_tokens) <= split_s:
            best = view.stored_tokens  # nothing to load, nothing to take over, one prompt in whole steps
        return LoadPlan(compute_to=best, load_from=best)
