"""An LLM service at run time: its replicas, the router before them, and the records of its requests."""

from __future__ import annotations

from math import isnan

from simulator.core import ARRIVAL, Environment, Table
from simulator.policies.registry import PolicyError
from simulator.policies.routing import Routing
from simulator.serving.kv_tiers import KvTiers
from simulator.serving.replica import Replica
from simulator.serving.sequence import Sequence
from simulator.workloads.requests import Requests

COMPLETED, FAILED, UNFINISHED = 1, 2, 0
"""Values of the column ``status``: answered; impossible to serve; still under way at the horizon."""


def request_schema(tiers: list[str]) -> dict[str, str]:
    """Return the columns of a request's row and their types (see `simulator.core.records.Table`).

    Times are in s of simulated time, -1 where they did not happen. ``found_<tier>_tokens`` counts what lay in a
    tier at admission, ``loaded_<tier>_tokens`` what was loaded from it; a request that was preempted counts again.
    """
    columns = {
        "request": "q",
        "workload": "text",
        "replica": "i",
        "status": "B",
        "arrival_s": "d",
        "admitted_s": "d",
        "first_token_s": "d",
        "finish_s": "d",
        "input_tokens": "q",
        "output_tokens": "q",
        "resident_tokens": "q",
        "computed_tokens": "q",
        "preemptions": "i",
    }
    for tier in tiers:
        columns[f"found_{tier}_tokens"] = "q"
        columns[f"loaded_{tier}_tokens"] = "q"
    return columns


class ServiceRuntime:
    """Feeds requests to replicas and records what became of them.

    Parameters
    ----------
    env
        The simulation's environment.
    name
        Name of the service in the scenario.
    replicas
        Its replicas.
    routing
        Policy that picks one.
    tiers
        Its storage tiers.
    request_overhead_s
        Time from a request's arrival until the router sees it.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        replicas: list[Replica],
        routing: Routing,
        tiers: KvTiers,
        request_overhead_s: float,
    ) -> None:
        self.env = env
        self.request_overhead_s = request_overhead_s
        self.name = name
        self.replicas = replicas
        self.routing = routing
        self.tiers = tiers
        self.tier_names = [tier.name for tier in tiers.tiers]
        self.intervals: Table | None = None
        """One row per run of engine steps; None where the scenario does not keep them."""
        self.records = Table(request_schema(self.tier_names))
        """One row per request, in order of completion."""
        self.arrived = 0
        self._routed = 0
        self._open: dict[Sequence, tuple[Feed, int]] = {}

    def submit(self, sequence: Sequence, feed: Feed) -> None:
        """Route a request that arrives now."""
        self.arrived += 1
        if self.env.log is not None:
            sequence.name = f"{feed.workload}/{sequence.index}"
            self.env.log.add(sequence.arrival_s, "arrive", sequence.name)
        replicas = self.replicas
        if len(replicas) == 1:
            choice = 0
        else:
            choice = self.routing.choose(replicas, sequence.hash_ids, self._routed)
            if choice not in range(len(replicas)):
                raise PolicyError(
                    f"routing policy {type(self.routing).__qualname__} chose replica {choice!r}; "
                    f"allowed: 0..{len(replicas) - 1}"
                )
        self._routed += 1
        replica = replicas[choice]
        if not replica.kv.fits_alone(sequence):
            self._record(sequence, feed, choice, FAILED)
            feed.finished(sequence)
            return
        self._open[sequence] = (feed, choice)
        replica.submit(sequence)

    def finish(self, sequence: Sequence) -> None:
        """Record a request that has been answered."""
        feed, choice = self._open.pop(sequence)
        self._record(sequence, feed, choice, COMPLETED)
        feed.finished(sequence)

    def close(self) -> int:
        """Record what is still under way when the run stops; return how many requests that are."""
        for replica in self.replicas:
            replica.stop()
        unfinished = len(self._open)
        for sequence, (feed, choice) in self._open.items():
            self._record(sequence, feed, choice, UNFINISHED)
        self._open.clear()
        return unfinished

    def _record(self, sequence: Sequence, feed: Feed, replica: int, status: int) -> None:
        tiers: list[int] = []
        for found, loaded in zip(sequence.found_tokens, sequence.loaded_tokens, strict=True):
            tiers += (found, loaded)
        self.records.append(
            sequence.index,
            feed.workload,
            replica,
            status,
            sequence.arrival_s,
            sequence.admitted_s,
            sequence.first_token_s,
            self.env._now if status == COMPLETED else -1.0,
            sequence.input_tokens,
            sequence.output_tokens,
            sequence.resident_tokens,
            sequence.computed_tokens,
            sequence.preemptions,
            *tiers,
        )


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
    """

    def __init__(self, service: ServiceRuntime, workload: str, requests: Requests, namespace: int) -> None:
        self.workload = workload
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
        self._service.submit(self._sequence(index, self._arrivals[index]), self)
        self._schedule()

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
        )

    def _release_next(self, time_s: float) -> None:
        index = self._next
        if index < len(self._arrivals):
            self._next += 1
            self._release(index, time_s)

    def _release(self, index: int, time_s: float) -> None:
        def release() -> None:
            self._service.submit(self._sequence(index, time_s), self)

        self._env.call_at(time_s + self._overhead_s, release, ARRIVAL)

    def finished(self, sequence: Sequence) -> None:
        """Release what waits for this request."""
        now = self._env._now
        if self._requests.concurrency is not None:
            self._release_next(now)
        for follower in self._followers.pop(sequence.index, ()):
            think_s = self._requests.think_s
            self._release(follower, now + (float(think_s[follower]) if think_s is not None else 0.0))
