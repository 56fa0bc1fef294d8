"""One workload's requests on their way to a service."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Protocol

from simulator.core import ARRIVAL, Environment
from simulator.serving.sequence import Sequence
from simulator.workloads.requests import Requests
from simulator.workloads.slo import SloClass

if TYPE_CHECKING:
    from collections.abc import Sequence as Several

    from simulator.workloads.graphs import AnswerGraph


class Asker(Protocol):
    """Whoever has given a service a request, and is told of its end."""

    workload: str
    """Name of the workload in the scenario."""

    def finished(self, sequence: Sequence, status: int) -> None:
        """Take note that a request has ended, with what status (see `simulator.serving.service`)."""
        ...


class Asked(Protocol):
    """What takes the requests of a workload: an LLM service or an assistant."""

    @property
    def env(self) -> Environment:
        """The simulation's environment."""
        ...

    @property
    def request_overhead_s(self) -> float:
        """Time from a request's arrival until it is submitted."""
        ...

    @property
    def tier_names(self) -> Several[str]:
        """Its storage tiers."""
        ...

    def submit(self, sequence: Sequence, feed: Feed, graph: AnswerGraph | None = None) -> None:
        """Take a request that arrives now; `graph` is its answer."""
        ...


class Feed:
    """One workload's requests on their way to a service, each at its time.

    Only the next open-loop arrival is in the event queue. A request that waits for another (the next turn of a
    session) or for a free place (a closed loop) is released by `finished`.

    Parameters
    ----------
    service
        Where the requests go.
    workload
        Name of the workload in the scenario.
    requests
        Its requests.
    namespace
        Added to every hash id, so that two workloads do not share prefixes by accident.
    slo
        Class of its requests; None: they have none.
    """

    def __init__(
        self,
        service: Asked,
        workload: str,
        requests: Requests,
        namespace: int,
        slo: SloClass | None,
    ) -> None:
        self.workload = workload
        self._slo = slo
        self._namespace = namespace
        self._service = service
        self._env = service.env
        self._overhead_s = service.request_overhead_s
        self._requests = requests
        self._arrivals: list[float] = requests.arrival_s.tolist()
        self._inputs: list[int] = requests.input_tokens.tolist()
        self._outputs: list[int] = requests.output_tokens.tolist()
        self._next = 0
        self._followers: dict[int, list[int]] = {}
        # Requests that arrive by themselves, in order; None: all of them.
        self._timed = (
            [i for i, time in enumerate(self._arrivals) if not isnan(time)] if self._has_nan() else None
        )
        if requests.after is not None:
            for follower, first in enumerate(requests.after.tolist()):
                if first >= 0:
                    self._followers.setdefault(first, []).append(follower)

    @property
    def last_known_s(self) -> float:
        """Time of the last arrival that is known beforehand; 0 where none is."""
        return max((time_s for time_s in self._arrivals if not isnan(time_s)), default=0.0)

    def _has_nan(self) -> bool:
        return self._requests.after is not None or self._requests.concurrency is not None

    def start(self) -> None:
        """Schedule the first arrivals."""
        if self._requests.concurrency is not None:
            for _ in range(self._requests.concurrency):
                self._release_next(self._requests.start_s)
        else:
            self._schedule()

    def _schedule(self) -> None:
        order = self._timed
        if self._next < (len(self._arrivals) if order is None else len(order)):
            index = self._next if order is None else order[self._next]
            self._env.call_at(self._arrivals[index] + self._overhead_s, self._arrive, ARRIVAL)

    def _arrive(self) -> None:
        order = self._timed
        index = self._next if order is None else order[self._next]
        self._next += 1
        self._submit(index, self._arrivals[index])
        self._schedule()

    def _submit(self, index: int, arrival_s: float) -> None:
        graphs = self._requests.graphs
        graph = None if graphs is None else graphs.graph(index)
        self._service.submit(self._sequence(index, arrival_s), self, graph)

    def _sequence(self, index: int, arrival_s: float) -> Sequence:
        requests = self._requests
        ids: list[int] = []
        if requests.hash_ids is not None and requests.hash_offsets is not None:
            first, end = requests.hash_offsets[index], requests.hash_offsets[index + 1]
            ids = (requests.hash_ids[first:end] + self._namespace).tolist()
        return Sequence(
            index,
            arrival_s,
            self._inputs[index],
            self._outputs[index],
            ids,
            len(self._service.tier_names),
            self._slo,
        )

    def _release_next(self, time_s: float) -> None:
        index = self._next
        if index < len(self._arrivals):
            self._next += 1
            self._release(index, time_s)

    def _release(self, index: int, time_s: float) -> None:
        def release() -> None:
            self._submit(index, time_s)

        self._env.call_at(time_s + self._overhead_s, release, ARRIVAL)

    def finished(self, sequence: Sequence, status: int) -> None:
        """Release what waits for this request, however it has ended."""
        now = self._env._now
        if self._requests.concurrency is not None:
            self._release_next(now)
        for follower in self._followers.pop(sequence.index, ()):
            think_s = self._requests.think_s
            self._release(follower, now + (float(think_s[follower]) if think_s is not None else 0.0))
