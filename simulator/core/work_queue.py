"""Jobs that a processor does one after the other, at a speed that may change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from simulator.core.environment import Call, Environment


class Job:
    """Work that was handed over to a `WorkQueue`."""

    __slots__ = ("_queue", "left_s", "on_done", "power_w")

    def __init__(self, queue: WorkQueue, work_s: float, power_w: float, on_done: Callable[[], None]) -> None:
        self._queue = queue
        self.left_s = work_s
        """Work that was left when the queue was last looked at, in s at full speed."""
        self.power_w = power_w
        """What it draws at full speed."""
        self.on_done = on_done

    def cancel(self) -> None:
        """Give it up; without effect once it is done."""
        self._queue.drop(self)


class WorkQueue:
    """One job at a time, first come, first served, on a processor that may fail and be slow.

    Parameters
    ----------
    env
        The clock.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._share = 1.0  # of the processor's time
        self._pace = 1.0  # what a fault has left of its speed
        self._waiting: deque[Job] = deque()
        self._current: Job | None = None
        self._call: Call | None = None
        self._since_s = 0.0
        self._used_s = 0.0
        self._work_j = 0.0
        self._told = False
        self.on_turn: Callable[[bool], None] | None = None
        """Told whether there is work where that has changed; None: nobody."""
        self.broken = False
        """Whether the processor is out of order."""
        self.gone = False
        """Whether it is so for good."""
        self.down_s = 0.0
        """Time for which it has been out of order; whoever lets it fail keeps this up to date."""
        self.watchers: list[Callable[[], None]] = []
        """Called when the processor has failed, and when it works again."""

    @property
    def busy(self) -> bool:
        """Whether there is work, under way or waiting for speed."""
        return self._current is not None

    @property
    def left_s(self) -> float:
        """Time that all jobs would take from now on with the whole processor, in s."""
        current = self._current
        left_s = 0.0 if current is None else current.left_s - self._done_s()
        return (left_s + sum([job.left_s for job in self._waiting])) / self._pace

    @property
    def used_s(self) -> float:
        """Time of the processor that jobs have had so far, those given up later included, in s."""
        return self._used_s + self._had_s()

    @property
    def work_j(self) -> float:
        """Energy of the work done in it, in J."""
        return self._work_j + (0.0 if self._current is None else self._done_s() * self._current.power_w)

    def run(self, work_s: float, power_w: float, on_done: Callable[[], None]) -> Job:
        """Take in a job.

        Parameters
        ----------
        work_s
            Time that it takes at full speed, above 0.
        power_w
            What it draws at full speed; at a lower one the energy is the same.
        on_done
            Called when it is done, unless it is cancelled.
        """
        job = Job(self, work_s, power_w, on_done)
        self._waiting.append(job)
        self._next()
        self._tell()
        return job

    def set_share(self, share: float) -> None:
        """Have a share of the processor's time from now on; 0: none."""
        if share != self._share:
            self._book()
            self._share = share
            self._arm()

    def set_pace(self, pace: float) -> None:
        """Let the processor be slower from now on: a share of its speed, above 0, is left."""
        self._book()
        self._pace = pace
        self._arm()

    def fail(self, returns: bool) -> None:
        """Let the processor be out of order; `returns` says whether it will be repaired.

        Who has handed jobs over has to give them up: the watchers' business.
        """
        self.gone = self.gone or not returns
        if not self.broken:
            self._book()
            self.broken = True
            self._call_watchers()

    def repair(self) -> None:
        """Let the processor work again."""
        self.broken = False
        self._since_s = self._env.now
        self._arm()
        self._call_watchers()

    def _call_watchers(self) -> None:
        for watcher in tuple(self.watchers):
            watcher()

    def drop(self, job: Job) -> None:
        """Give a job up, wherever it is."""
        if job is self._current:
            self._book()
            self._current = None
            self._next()
            self._tell()
        elif job in self._waiting:
            self._waiting.remove(job)

    def _had_s(self) -> float:
        """Time of the processor that the current job has had since the queue was last looked at."""
        if self._current is None or self.broken:
            return 0.0
        return (self._env.now - self._since_s) * self._share

    def _done_s(self) -> float:
        """Work done in it."""
        return self._had_s() * self._pace

    def _book(self) -> None:
        """Bring the sums up to now, and take the end of the current job back."""
        job = self._current
        if job is not None:
            done_s = self._done_s()
            self._used_s += self._had_s()
            self._work_j += done_s * job.power_w
            job.left_s -= done_s
        self._since_s = self._env.now
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self) -> None:
        job = self._current
        if job is None or self.broken or not self._share:
            return
        # By rounding less than nothing may be left at the instant at which it would have ended.
        end_s = self._env.now + max(job.left_s, 0.0) / (self._share * self._pace)
        if end_s < inf:
            self._call = self._env.call_at(end_s, self._done)

    def _next(self) -> None:
        if self._current is None and self._waiting:
            self._current = self._waiting.popleft()
            self._since_s = self._env.now
            self._arm()

    def _done(self) -> None:
        job = self._current
        assert job is not None
        self._book()
        self._current = None
        self._next()
        job.on_done()
        self._tell()

    def _tell(self) -> None:
        """Report a turn once all of the instant's doing is known."""
        if self.on_turn is not None and self.busy != self._told:
            self._told = self.busy
            self.on_turn(self._told)
