"""The seam between an LLM service and what it does with requests that are lost with a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class LostRequest:
    """A request whose replica has failed: its KV is gone, and its place in the queue."""

    retries: int
    """How often it was lost and rescued before."""
    generated_tokens: int
    """Tokens of its answer that were out; of an answer in parts, those of the parts that are lost."""


@dataclass(frozen=True, slots=True)
class Rescue:
    """How a lost request goes on."""

    where: Literal["same", "any"]
    """On the replica that has failed, once that is repaired; or on any that is up, as soon as there is one."""
    keep_generated: bool
    """Whether it goes on behind the tokens that were out, whose KV is computed anew together with the prompt's, or
    begins its answer again; of an answer in parts, each part that is lost."""


class Recovery(Protocol):
    """A recovery policy: a frozen dataclass, registered with ``@register("recovery", NAME)``."""

    def rescue(self, request: LostRequest) -> Rescue | None:
        """Return how a lost request goes on; None: it has failed."""
