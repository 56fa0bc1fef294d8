"""No engine idles while it could work: looked at whenever time is about to pass, in random scenarios."""

from __future__ import annotations

from typing import Any

import pytest

import simulator.world
from simulator.core import Environment

pytestmark = pytest.mark.interpreted


class Watched(Environment):
    """Calls `look` before time passes."""

    look: Any = None

    def run(self, until: float | None = None) -> Any:
        end_s = float("inf") if until is None else until
        while (next_s := self.peek()) < end_s:
            if next_s > self._now:
                self.look()
            self.step()
        if until is not None:
            self._now = until


def check_replica(replica: Any) -> int:
    """An idle engine has nothing to compute, and whoever waits could not be admitted; return 1 where some wait."""
    batch, queue, loop = replica.batch, replica.queue, replica._loop
    if loop.running:
        assert loop.run.new >= 1
        assert loop.run.new <= replica.scheduler.token_budget
        assert len(batch.admitted) <= queue.max_sequences
        return 0
    assert not (batch.prefilling or batch.yielding or batch.decodes.heap)
    for sequence in batch.admitted:  # on their way from storage, or being handed over
        assert sequence.load is not None or sequence.join_call is not None
    if queue.waiting:
        assert batch.admitted
        assert queue.memory_full or len(batch.admitted) == queue.max_sequences
    return bool(batch.admitted)


def watch(lab: Any, monkeypatch: pytest.MonkeyPatch, seeds: range, tight: bool) -> int:
    """Run random scenarios; return how often an engine was seen idle beside requests under way."""
    seen = 0

    def look(_env: Watched) -> None:
        nonlocal seen
        for service in lab.services.values():
            seen += sum(check_replica(replica) for replica in service.replicas)

    monkeypatch.setattr(Watched, "look", look)
    monkeypatch.setattr(simulator.world, "Environment", Watched)
    for seed in seeds:
        lab.services = {}
        lab.run(lab.random_scenario(seed, tight))
    return seen


@pytest.mark.parametrize("tight", [False, True])
def test_no_engine_idles_while_it_could_work(lab: Any, monkeypatch: pytest.MonkeyPatch, tight: bool) -> None:
    assert watch(lab, monkeypatch, range(80), tight) > 50  # or there was nothing to look at


@pytest.mark.slow
@pytest.mark.parametrize("tight", [False, True])
def test_no_engine_idles_in_many_scenarios(lab: Any, monkeypatch: pytest.MonkeyPatch, tight: bool) -> None:
    watch(lab, monkeypatch, range(1000, 4000), tight)
