"""Cake with the single-resource fallback that its paper leaves as future work."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.kv_loading.protocol import LoadPlan, LoadView, StepView
from simulator.policies.registry import register


@register("kv_loading", "cake_with_fallback")
@dataclass(frozen=True, slots=True)
class CakeWithFallback:
    """Cake, but each side is used only where it can help.

    The back pointer is not started where not even one storage operation would end before computing everything
    does. The front pointer stops as soon as its next step would end after the load alone: Cake would wait for
    that step's end, which is how it loses to loading where steps are long and its share of them is small.
    """

    adaptive: bool = True
    """Take only the token budget that decodes and other prefills leave."""

    @property
    def asks_every_step(self) -> bool:
        """Yes: the estimate changes with the rate."""
        return True

    def plan(self, view: LoadView) -> LoadPlan:
        """Race, unless the load cannot deliver anything in time."""
        stored, resident = view.stored_tokens, view.resident_tokens
        first_load = max(stored - view.io_chunk_tokens, resident)
        if view.load_now_s(first_load) >= view.compute_s(first_load):
            return LoadPlan(compute_to=stored, load_from=stored, yields=self.adaptive)
        return LoadPlan(compute_to=stored, load_from=resident, yields=self.adaptive)

    def keep_computing(self, view: StepView) -> bool:
        """Compute only where the step would end before the load alone does."""
        return view.step_s < view.load_remaining_s
