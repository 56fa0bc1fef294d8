"""Memory checked at every event of a run."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from simulator.serving.replica import Replica
from simulator.serving.run_loop import RunLoop


def check_memory(replica: Any) -> None:
    """KV blocks of a replica at any instant: conserved, owned, and enough for what is computed."""
    pool, decodes = replica.kv.pool, replica.batch.decodes
    assert pool.free_blocks >= 0
    assert pool.private_blocks + pool.shared_blocks + pool.free_blocks == pool.total_blocks
    leaving = replica.batch.leaving.values()
    owned = sum(it.private_blocks for holders in (replica.batch.admitted, leaving) for it in holders)
    assert owned + replica.kv._decode_blocks == pool.private_blocks
    references = Counter(block for sequence in replica.batch.admitted for block in sequence.shared)
    references.update(block for handover in leaving for block in handover.shared)
    references.update(block for pinned in replica.kv._pinned.values() for block in pinned)
    assert references == {block: count for block, count in pool._references.items() if count}
    assert set(pool._idle) == {block for block, count in pool._references.items() if not count}
    decoding = [sequence for _, _, sequence in decodes.heap]
    contexts = [sequence.join_context + decodes.clock - sequence.join_clock for sequence in decoding]
    assert decodes.context_tokens == sum(contexts)
    ahead = (
        replica._loop.run.steps if replica._loop.running else 0
    )  # memory for the whole run, once it is formed
    needed = sum(
        -(-(context - 1 + ahead) // replica.kv.block_tokens) - len(sequence.shared) * pool.chunk_blocks
        for context, sequence in zip(contexts, decoding, strict=True)
    )
    assert needed <= replica.kv._decode_blocks
    assert len(replica.batch.admitted) <= replica.queue.max_sequences


@pytest.fixture
def guarded(monkeypatch):
    """Check memory before and after whatever a replica does."""

    def guard(name: str) -> None:
        method = getattr(Replica, name)

        def checked(self: Any, *args: Any) -> Any:
            result = method(self, *args)
            if not self._ending:  # in the middle of a step's end, books are open
                check_memory(self)
            return result

        monkeypatch.setattr(Replica, name, checked)

    for name in (
        "submit",
        "fail",
        "lose_tier",
        "set_speed",
        "let_go",
        "withdraw",
        "receive",
        "_end",
        "_loaded",
    ):
        guard(name)
    start = RunLoop.start

    def checked_start(self: Any) -> None:
        start(self)
        check_memory(self._on_end.__self__)

    monkeypatch.setattr(RunLoop, "start", checked_start)
