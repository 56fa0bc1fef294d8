"""One before the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.policies.gpu_sharing.protocol import Shares
from simulator.policies.registry import register


@register("gpu_sharing", "priority")
@dataclass(frozen=True, slots=True)
class Priority:
    """All of the GPU for the one that comes first; SR stops between two of its short kernels, an LLM after its step."""

    first: Literal["sr", "llm"] = "sr"
    """Who comes first."""

    def shares(self, llm: bool, sr: bool) -> Shares:
        """Return the whole GPU for one of them."""
        if llm and sr:
            return Shares(float(self.first == "llm"), float(self.first == "sr"))
        return Shares(float(llm), float(sr))
