"""The seam between an LLM service and a routing policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ReplicaView(Protocol):
    """What a router may see of one replica."""

    @property
    def outstanding_tokens(self) -> int:
        """Prompt and answer tokens of all requests that were sent here and have not finished."""

    def resident_prefix_tokens(self, hash_ids: Sequence[int]) -> int:
        """Tokens of this prompt's front whose KV is in the replica's GPU memory."""


class Routing(Protocol):
    """A routing policy: a frozen dataclass, registered with ``@register("routing", NAME)``."""

    def choose(self, replicas: Sequence[ReplicaView], hash_ids: Sequence[int], routed: int) -> int:
        """Return the index of the replica that gets the next request.

        Parameters
        ----------
        replicas
            All replicas of the service.
        hash_ids
            Prefix block ids of the prompt; empty where prompts share nothing.
        routed
            Number of requests routed before.
        """
