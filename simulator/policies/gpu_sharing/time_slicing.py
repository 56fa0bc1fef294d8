"""Both in turn, a quantum each."""

from __future__ import annotations

from dataclasses import dataclass

from devices.quantity import Period, Seconds
from simulator.policies.gpu_sharing.protocol import Shares
from simulator.policies.registry import register


@register("gpu_sharing", "time_slicing")
@dataclass(frozen=True, slots=True)
class TimeSlicing:
    """Round robin, as a GPU does with the contexts of two processes; in the limit of quanta that are short."""

    quantum: Period = 0.002
    """Time that either has the GPU for: 2 ms is the short one of ``nvidia-smi compute-policy``."""
    switch: Seconds = 0.0001
    """Time that each change of the context costs while both have work (assumed)."""

    def shares(self, llm: bool, sr: bool) -> Shares:
        """Return halves less what switching costs; the whole GPU for one that is alone."""
        both = 0.5 * self.quantum / (self.quantum + self.switch)
        return Shares(both, both) if llm and sr else Shares(float(llm), float(sr))
