"""The seam between a GPU with two uses and the policy that shares it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Shares:
    """How fast either use goes, as shares of the whole GPU's speed; together 1 at most."""

    llm: float
    """Engine steps; 0: the next one waits."""
    sr: float
    """Super-resolution; 0: it waits."""


class GpuSharing(Protocol):
    """A sharing policy: a frozen dataclass, registered with ``@register("gpu_sharing", NAME)``."""

    def shares(self, llm: bool, sr: bool) -> Shares:
        """Return the shares while these uses have work: one of them, or both.

        A use that has no work has no use for its share. One that is alone must get some, and so must one of two. Asked
        once for each case; an engine step keeps the share that it has begun with.
        """
