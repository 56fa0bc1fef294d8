"""The seam between the serving engine and the order of generations that wait to be admitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReadyNode:
    """A generation of an answer that can start."""

    tokens: int
    """What it decodes."""
    ahead_tokens: int
    """Tokens on the longest chain of generations that begins with it, its own included."""


class NodeOrder(Protocol):
    """An order: a frozen dataclass, registered with ``@register("node_order", NAME)``.

    A generation that becomes ready goes to the end of the engine's queue and then before those generations of answers,
    of whatever request, whose key is larger. It passes requests that wait for their first one only where the order says
    so, and never what was preempted.
    """

    @property
    def ahead_of_requests(self) -> bool:
        """Whether it passes requests that wait for their first generation."""

    def key(self, node: ReadyNode) -> float:
        """Return what the queue is sorted by, smallest first; equal keys keep the order in which they became ready."""
