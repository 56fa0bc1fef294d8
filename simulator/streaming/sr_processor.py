"""Super-resolution on an edge server's GPU: jobs of groups that may share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from simulator.core import Call, Environment


class SrJob(Protocol):
    """Work that was handed over."""

    def cancel(self) -> object:
        """Give it up; without effect once it is done."""


class SrProcessor(Protocol):
    """What does the SR work of helpers: `ExclusiveGpu`, or a GPU that does other work too."""

    def run(self, work_s: float, on_done: Callable[[], None]) -> SrJob:
        """Take in a job.

        Parameters
        ----------
        work_s
            Time that it takes on the whole GPU, above 0.
        on_done
            Called when it is done, unless it is cancelled.
        """

    @property
    def busy_s(self) -> float:
        """GPU time of SR so far."""


class _Job:
    __slots__ = ("_gpu", "on_done", "work_s")

    def __init__(self, gpu: ExclusiveGpu, work_s: float, on_done: Callable[[], None]) -> None:
        self._gpu, self.work_s, self.on_done = gpu, work_s, on_done

    def cancel(self) -> None:
        self._gpu.drop(self)


class ExclusiveGpu:
    """A GPU that does nothing but SR: one job at a time, first come, first served."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._waiting: deque[_Job] = deque()
        self._current: _Job | None = None
        self._call: Call | None = None
        self._since_s = 0.0
        self._busy_s = 0.0

    @property
    def busy_s(self) -> float:
        """Time so far in which it worked."""
        return self._busy_s + (0.0 if self._current is None else self._env.now - self._since_s)

    def run(self, work_s: float, on_done: Callable[[], None]) -> SrJob:
        """Take in a job; see `SrProcessor.run`."""
        job = _Job(self, work_s, on_done)
        self._waiting.append(job)
        self._next()
        return job

    def drop(self, job: _Job) -> None:
        """Give a job up, wherever it is."""
        if job is self._current:
            assert self._call is not None
            self._call.cancel()
            self._free()
            self._next()
        elif job in self._waiting:
            self._waiting.remove(job)

    def _next(self) -> None:
        if self._current is None and self._waiting:
            self._current = job = self._waiting.popleft()
            self._since_s = self._env.now
            self._call = self._env.call_at(self._since_s + job.work_s, self._done)

    def _free(self) -> None:
        self._busy_s += self._env.now - self._since_s
        self._current = None

    def _done(self) -> None:
        job = self._current
        assert job is not None
        self._free()
        self._next()
        job.on_done()
