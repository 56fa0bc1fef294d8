"""Little's law on every queue of every shipped scenario: L = lambda W, exactly, on the path that was simulated.

Two independent witnesses: an observer looks between any two events at how many are in each queue and integrates
that over time; the records say when each request, generation, transfer or chunk came and went. Over a whole run, from
empty to empty, the integral is the sum of the times (which is lambda W times the length of the run).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import numpy as np
import pytest
from simpy.events import Event

import simulator.world
from simulator.compiled import is_compiled
from simulator.core import Channel, Environment
from simulator.serving.engines import load_engine
from simulator.serving.sequence import COMPLETED
from simulator.streaming.group.session import Session

pytestmark = pytest.mark.skipif(is_compiled(), reason="a compiled engine cannot be observed")

Count = Callable[[], int]


class ObservedEnvironment(Environment):
    """Integrates over time how many are in each queue."""

    def __init__(self) -> None:
        super().__init__()
        self.queues: dict[str, Count] = {}
        self.areas_s: dict[str, list[float]] = {}

    def observe(self, name: str, count: Count) -> None:
        self.queues[name] = count
        self.areas_s[name] = []

    def _pass_to(self, time_s: float) -> None:
        elapsed_s = time_s - self._now
        if elapsed_s > 0.0:
            for name, count in self.queues.items():
                if number := count():
                    self.areas_s[name].append(number * elapsed_s)

    def run_before(self, time_s: float) -> None:
        while (next_s := self.peek()) < time_s:
            self._pass_to(next_s)
            self.step()

    def advance(self, time_s: float) -> None:
        self._pass_to(time_s)
        super().advance(time_s)

    def run(self, until: float | Event | None = None) -> Any:
        end_s = until if isinstance(until, float | int) else inf
        while not (isinstance(until, Event) and until.processed):
            next_s = self.peek()
            if next_s >= end_s:
                self._pass_to(min(next_s, end_s) if end_s < inf else self._now)
                self._now = end_s if end_s < inf else self._now
                return None
            self._pass_to(next_s)
            self.step()
        return None


class Observer:
    """What the observers of one run have seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.environments: list[ObservedEnvironment] = []
        self.transfers: dict[Channel, list[Any]] = {}
        self.names: dict[Channel, str] = {}
        build, begin, transfer = simulator.world.assemble, Session.begin, Channel.transfer

        def make() -> ObservedEnvironment:
            self.environments.append(ObservedEnvironment())
            return self.environments[-1]

        def observed_build(env: Any, *args: Any) -> Any:
            world = build(env, *args)
            for name, service in world.services.items():
                replicas = service.replicas
                env.observe(f"{name}: waiting", lambda it=replicas: sum(len(r.queue.waiting) for r in it))
                env.observe(
                    f"{name}: in the system",
                    lambda it=service: (
                        sum(len(r.queue.waiting) + len(r.batch.admitted) for r in it.replicas)
                        + len(it.rescues._stranded)
                    ),
                )
            return world

        sessions: list[Any] = []

        def phones() -> Iterator[Any]:
            return (phone for it in sessions if it.end_s == inf for phone in it.phones)

        def observed_begin(session: Any) -> None:
            if not sessions:
                session.env.observe("downloads", lambda: sum(len(phone.download) for phone in phones()))
                session.env.observe("processing", lambda: sum(len(_at_work(phone)) for phone in phones()))
            sessions.append(session)
            begin(session)

        def observed_transfer(channel: Channel, *args: Any, **kwargs: Any) -> Any:
            if channel not in self.transfers:
                self.transfers[channel] = []
                self.names[channel] = f"channel {len(self.transfers)}"
                channel.env.observe(self.names[channel], lambda: channel.active)  # type: ignore[attr-defined]
            made = transfer(channel, *args, **kwargs)
            self.transfers[channel].append(made)
            return made

        monkeypatch.setattr(simulator.world, "Environment", make)
        monkeypatch.setattr(simulator.world, "assemble", observed_build)
        monkeypatch.setattr(Session, "begin", observed_begin)
        monkeypatch.setattr(Channel, "transfer", observed_transfer)

    def area_s(self, name: str) -> float:
        return sum(sum(env.areas_s.get(name, ())) for env in self.environments)


def _at_work(phone: Any) -> set[int]:
    """Chunks that a phone decodes, super-resolves or encodes, or that wait for that."""
    return {id(task.chunk) for stage in (phone.decode, phone.sr, phone.encode) for task in stage.items()}


def requests_s(result: Any, service: str, overhead_s: float) -> Iterator[tuple[str, float, int]]:
    """Yield queue, sum of times and number of those who came, by the records."""
    waiting_s = present_s = 0.0
    came = preempted = 0
    parts: set[tuple[str, int]] = set()
    for other, table in result.generations.items():
        mine = table.column("decoded_by") == service
        ready, admitted, finish = (table.column(it)[mine] for it in ("ready_s", "admitted_s", "finish_s"))
        waiting_s += float((admitted - ready).sum())
        present_s += float((finish - ready).sum())
        came += len(ready)
        preempted += int(table.column("preemptions")[mine].sum())
        if other == service:
            parts = set(zip(table.column("workload"), table.column("request").tolist(), strict=True))
    table = result.requests[service]
    names = zip(table.column("workload"), table.column("request").tolist(), strict=True)
    whole = np.array([name not in parts for name in names], dtype=bool)
    whole &= table.column("status") == COMPLETED  # who fails never enters
    arrival, admitted, finish = (table.column(it)[whole] for it in ("arrival_s", "admitted_s", "finish_s"))
    waiting_s += float((admitted - arrival - overhead_s).sum())
    present_s += float((finish - arrival - overhead_s).sum())
    came += len(arrival)
    preempted += int(table.column("preemptions")[whole].sum())
    if result.faults is not None:
        preempted += int(table.column("retries")[whole].sum())
    yield f"{service}: in the system", present_s, came
    if not preempted:  # or lost with a GPU: the records tell the first admission alone
        yield f"{service}: waiting", waiting_s, came


def chunks_s(result: Any) -> Iterator[tuple[str, float, int]]:
    """Yield the same for the phones' queues, over all sessions; nothing where chunks were given away anew."""
    sessions = [session for sessions in result.sessions.values() for session in sessions.values()]
    if not sessions or any(it.what in ("reassign", "restore") for session in sessions for it in session.log):
        return
    downloads_s, processing_s = [], []
    for session in sessions:
        table = session.chunks
        columns = {name: table.column(name) for name in table.schema}
        seen: set[tuple[str, str, int]] = set()
        for row in range(len(table)):
            chunk = int(columns["chunk"][row])
            key = ("download", columns["downloader"][row], chunk)
            if key not in seen:
                seen.add(key)
                downloads_s.append(columns["download_end_s"][row] - columns["assigned_s"][row])
            if not np.isnan(columns["encode_end_s"][row]):
                there_s = columns["forward_end_s"][row]
                there_s = columns["download_end_s"][row] if np.isnan(there_s) else there_s
                processing_s.append(columns["encode_end_s"][row] - there_s)
    yield "downloads", float(sum(downloads_s)), len(downloads_s)
    yield "processing", float(sum(processing_s)), len(processing_s)


def test_littles_law(shipped: Any, shipped_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = shipped.load(shipped_name)
    observer = Observer(monkeypatch)
    result = shipped.run(shipped_name, scenario)
    sums = list(chunks_s(result))
    for name, service in scenario.llm_services.items():
        sums += requests_s(result, name, load_engine(service.engine).request_overhead_s)
    came = {queue: number for queue, times_s, number in sums}
    for queue, times_s, _ in sums:
        assert observer.area_s(queue) == pytest.approx(times_s, rel=1e-9, abs=1e-9), queue
    for channel, transfers in observer.transfers.items():
        times_s = sum(max(0.0, (it.ended_s or 0.0) - it._join_s) for it in transfers if it.bytes)
        area_s = sum(channel.env.areas_s[observer.names[channel]])  # type: ignore[attr-defined]
        assert area_s == pytest.approx(times_s, rel=1e-9, abs=1e-9), channel.name
        assert channel.active_s == pytest.approx(times_s, rel=1e-9, abs=1e-9)
    # Each tier was used, and somebody came to each queue, or nothing was tested.
    used = {channel.name.split("/")[0] for channel in observer.transfers}
    assert used >= {tier for service in scenario.llm_services.values() for tier in service.kv_tiers}
    assert all(came.values()) or came.keys() == {"downloads", "processing"}
