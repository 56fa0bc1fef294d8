"""How the runs of a sweep are given to an executor, and what becomes of them where workers are lost."""

from __future__ import annotations

import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass, field
from pathlib import Path

from devices.errors import InputError, SimulatorError
from simulator.experiments.executors import workers_of
from simulator.experiments.sweep_chunk import Chunk, do
from simulator.experiments.sweep_claims import release
from simulator.experiments.sweep_file import Sweep
from simulator.experiments.sweep_store import Planned, read_ended, writer

CHUNK_S = 0.5
"""Work is handed out in chunks of about this long, once it is known how long a run takes."""

MOST_IN_CHUNK = 200
"""Runs of a chunk at most."""

ASK_S = 1.0
"""How often a cluster is asked how large it is, in s."""

PATIENCE_S = 2.0
"""How long a cluster may have no workers before that is said, in s."""


def overrides_of(sweep: Sweep, point: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ``PATH=VALUE`` texts of a point."""
    return (*sweep.overrides, *(f"{path}={text}" for path, text in point.items()))


@dataclass(frozen=True, slots=True)
class _Given:
    """What an executor has been given."""

    chunk: str
    """Identity of the chunk."""
    runs: Sequence[Planned]
    """In order."""
    once_more: bool
    """Whether it has come to nothing once."""


@dataclass(slots=True)
class Dispatch:
    """Gives out the runs of a shard."""

    sweep: Sweep
    """The sweep."""
    driver: Path
    """The driver's folder, inside that of the sweep."""
    ended: Callable[[int], None]
    """Told how many runs have ended."""
    waiting: Callable[[], None] = lambda: None
    """Called once where the executor has no workers for `PATIENCE_S`."""
    _under_way: set[str] = field(default_factory=set)
    """Keys of what has been given and has not ended."""

    def hand_out(self, left: Sequence[Planned], executor: Executor) -> None:
        """Have runs done by an executor, two chunks per worker, longer ones once it is known how long a run takes.

        Where a chunk comes to nothing, what is left of it is given out run by run; where such a run comes to nothing,
        it has failed.

        Raises
        ------
        BrokenExecutor
            Where no more can be given to it; `_under_way` tells what has been lost.
        SimulatorError
            As `run_sweep` says.
        """
        waiting, once_more = deque(left), deque[Planned]()
        pending: dict[Future[float | None], _Given] = {}
        self._under_way.clear()
        size, workers, ahead, asked_s = 1, 0, 1, -math.inf
        idle_since_s: float | None = time.monotonic()  # None once it has been said
        while waiting or once_more or pending:
            if time.monotonic() - asked_s >= ASK_S:
                workers, asked_s = workers_of(executor), time.monotonic()
                ahead = max(1, 2 * workers)
            while (waiting or once_more) and len(pending) < ahead:
                again = bool(once_more)
                queue, number = (once_more, 1) if again else (waiting, min(size, len(waiting)))
                runs = [queue.popleft() for _ in range(number)]
                self._under_way.update(run.key for run in runs)
                chunk = self._chunk(runs)
                pending[executor.submit(do, chunk)] = _Given(chunk.identity, runs, again)
            done = wait(pending, ASK_S, FIRST_COMPLETED).done
            if done or workers:
                idle_since_s = idle_since_s and time.monotonic()
            elif idle_since_s is not None and time.monotonic() - idle_since_s >= PATIENCE_S:
                idle_since_s = None
                self.waiting()
            for future in done:
                given = pending.pop(future)
                took_s = self._received(future)
                release(self.driver, given.chunk)
                if isinstance(took_s, Exception):
                    once_more.extend(self._mend(given, took_s))
                else:
                    self.ended(len(given.runs))
                    fitting = int(CHUNK_S * len(given.runs) / max(took_s, 1e-6))
                    size = max(1, min(fitting, 2 * size, MOST_IN_CHUNK, len(waiting) // ahead))
                self._under_way.difference_update(run.key for run in given.runs)

    def recover(self, left: Sequence[Planned]) -> tuple[list[Planned], list[Planned]]:
        """See `simulator.experiments.executors.Work`."""
        lost, ended = set(self._under_way), read_ended(self.driver.parent, self.driver.name)
        self.ended(len(lost & ended))
        left = [run for run in left if run.key not in ended]
        return [run for run in left if run.key in lost], [run for run in left if run.key not in lost]

    def fail(self, item: Planned, why: str) -> None:
        """Write down that a run has failed."""
        self._failed(item, why)
        self.ended(1)

    def _chunk(self, runs: Sequence[Planned]) -> Chunk:
        return Chunk(
            self.driver,
            secrets.token_hex(8),
            self.sweep.base.absolute(),
            tuple((run.key, run.replication, overrides_of(self.sweep, run.point)) for run in runs),
        )

    def _received(self, future: Future[float | None]) -> float | Exception:
        """Return how long a chunk took, or why it came to nothing; raise what concerns all chunks."""
        try:
            took_s = future.result()
        except (BrokenExecutor, InputError):
            raise
        except CancelledError as error:
            message = "the executor has dropped its work, for instance because its scheduler was lost"
            raise SimulatorError(f"{message}; start the sweep again to go on") from error
        except Exception as error:
            return error
        if took_s is not None:
            return took_s
        if not self.driver.exists():
            raise SimulatorError("this sweep has been started once more meanwhile, which has taken over")
        return SimulatorError("it was taken over by a worker that did not end it")

    def _mend(self, given: _Given, why: Exception) -> list[Planned]:
        """Return what of a chunk that came to nothing is to be given out once more."""
        ended = read_ended(self.driver.parent, self.driver.name)
        left = [run for run in given.runs if run.key not in ended]
        if given.once_more:
            for run in left:
                self._failed(run, f"{type(why).__name__}: {why}")
            left = []
        self.ended(len(given.runs) - len(left))
        return left

    def _failed(self, run: Planned, why: str) -> None:
        failure = {"status": "failed", "wall_s": 0.0, "failure": f"execute: {why}"}
        writer(self.driver.parent).append({"key": run.key, "driver": self.driver.name, **failure})
