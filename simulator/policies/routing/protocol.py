"""The seam between an LLM service and a routing policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from simulator.workloads.slo import SloClass


class RequestShape(Protocol):
    """What a forecast needs to know of a request."""

    @property
    def input_tokens(self) -> int:
        """Length of the prompt."""

    @property
    def output_tokens(self) -> int:
        """Length of the answer; in truth a prediction, here exact."""

    @property
    def hash_ids(self) -> Sequence[int]:
        """Prefix block ids of the prompt; empty where prompts share nothing."""


class RequestView(RequestShape, Protocol):
    """What a router may see of a request."""

    @property
    def slo(self) -> SloClass | None:
        """What it is promised; None: nothing."""


class Forecast(Protocol):
    """What a replica is expected to do with a request, from its step cost and from what it holds now."""

    def work_s(self, request: RequestShape) -> float:
        """Time that the request takes of a replica which is full of such requests, in s: its share of the steps."""

    def ahead_s(self, request: RequestShape) -> float:
        """Work, counted as in `work_s`, of all that was sent here and is not finished; each like `request`, in s."""

    def ttft_s(self, request: RequestShape) -> float:
        """Time until its first token if it were sent here now, in s."""

    def tpot_s(self, request: RequestShape) -> float:
        """Time per further token if it were decoded beside what is decoded here now, in s."""


class ReplicaView(Protocol):
    """What a router may see of one replica."""

    @property
    def outstanding_tokens(self) -> int:
        """Prompt and answer tokens of all requests that were sent here and have not finished."""

    @property
    def sent(self) -> int:
        """Requests sent here since there has been another choice of replicas."""

    @property
    def forecast(self) -> Forecast:
        """What it is expected to do."""

    def resident_prefix_tokens(self, hash_ids: Sequence[int]) -> int:
        """Tokens of this prompt's front whose KV is in the replica's GPU memory."""


class Routing(Protocol):
    """A routing policy: a frozen dataclass, registered with ``@register("routing", NAME)``."""

    def choose(self, replicas: Sequence[ReplicaView], request: RequestView, routed: int) -> int:
        """Return the index of the replica that gets the next request.

        Parameters
        ----------
        replicas
            The service's replicas that are up and can hold the request.
        request
            The request.
        routed
            Number of requests routed before.
        """
