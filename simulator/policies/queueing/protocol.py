"""The seam between a replica's admission queue and its order."""

from __future__ import annotations

from typing import Protocol

from simulator.workloads.slo import SloClass


class WaitingRequest(Protocol):
    """What a queueing policy may see of a request; of an answer that is decoded in parts, the whole question."""

    @property
    def arrival_s(self) -> float:
        """When it was sent, in s of simulated time."""

    @property
    def input_tokens(self) -> int:
        """Length of the prompt."""

    @property
    def output_tokens(self) -> int:
        """Length of the answer; in truth a prediction, here exact."""

    @property
    def slo(self) -> SloClass | None:
        """Class of the request; None: its workload has none."""


class Queueing(Protocol):
    """An order of the queue: a frozen dataclass, registered with ``@register("queueing", NAME)``.

    The key of a request is asked for when it enters a queue, and holds as long as it is there or in the batch. Equal
    keys keep the order in which they came. Where decodes run out of memory, the one with the greatest key is preempted,
    of equal ones the last admitted, and waits again before all that have its key.
    """

    def key(self, request: WaitingRequest) -> float:
        """Return what the queue is sorted by, smallest first; infinity is allowed, NaN is not."""
