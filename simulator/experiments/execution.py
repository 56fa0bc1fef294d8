"""Running simulations, one after another in this process or through an executor; a run that fails is data."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devices.errors import InputError, SimulatorError
from simulator.experiments.executors import do_in_pools, workers_of
from simulator.experiments.identity import identify
from simulator.experiments.observations import Observations, of_asks, of_requests, of_viewers
from simulator.experiments.run_store import Effort, Failure, peak_memory_bytes, write_run
from simulator.metrics.cautions import overload_of
from simulator.policies.blame import policy_in
from simulator.scenario.load import Resolver
from simulator.scenario.spec import Scenario
from simulator.world import RunResult, simulate


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be done."""

    scenario: Scenario
    """What to simulate."""
    replication: int
    """Number of the replication."""
    resolve: Resolver
    """Turns paths of the scenario into files."""
    store: Path | None = None
    """Run folder to write; None: nothing is written."""
    command: tuple[str, ...] = ()
    """What the user typed."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run came to; light enough to travel between processes."""

    summary: dict[str, Any] | None
    """Summary of the run; None where it failed."""
    observations: dict[str, Observations]
    """By service; empty where it failed."""
    notes: tuple[str, ...]
    """What a reader must know."""
    failure: Failure | None
    """Why there is no summary."""
    effort: Effort
    """What it took."""
    overloaded: frozenset[str] = frozenset()
    """LLM services whose queue was still growing when the last request arrived (`simulator.metrics.overload`)."""


def execute(job: Job) -> Outcome:
    """Do one run and, where asked to, write its folder. A failure is data; only Ctrl-C gets out."""
    started = time.perf_counter()
    stage, failure, result = "simulate", None, None
    summary: dict[str, Any] | None = None
    observations: dict[str, Observations] = {}
    overloaded: frozenset[str] = frozenset()
    try:
        result = simulate(job.scenario, job.replication, job.resolve)
        stage = "summarize"
        summary = result.summary()
        order = {name: index for index, name in enumerate(job.scenario.workloads)}
        warmup = job.scenario.warmup
        end_s = result.simulated_s
        observations = {
            name: of_requests(table, order, end_s, warmup, job.scenario.llm_services[name].reader)
            for name, table in result.requests.items()
        }
        observations |= {
            name: of_asks(table, order, end_s, warmup, job.scenario.assistants[name].reader)
            for name, table in result.asks.items()
        }
        observations |= {name: of_viewers(table) for name, table in result.viewers.items()}
        overloaded = frozenset(
            name
            for name, table in (result.requests | result.asks).items()
            if overload_of(job.scenario, name, table)
        )
    except (Exception, SystemExit) as error:  # a policy must not end the command
        failure = _failure(stage, error)
    events = None if result is None else result.events
    effort = Effort(time.perf_counter() - started, peak_memory_bytes(), events)
    failure = _stored(job, result, failure, effort)
    notes = result.notes if result is not None else ()
    if failure:
        return Outcome(None, {}, notes, failure, effort)
    return Outcome(summary, observations, notes, failure, effort, overloaded)


def _stored(job: Job, result: RunResult | None, failure: Failure | None, effort: Effort) -> Failure | None:
    """Write the run's folder where one is asked for; return why the run has failed, None where it has not."""
    if job.store is not None and not (failure and failure.faults):  # bad input leaves nothing behind
        try:
            identity = identify(job.scenario, job.resolve, job.replication)
            what = failure or result
            assert what is not None
            write_run(job.store, job.scenario, job.replication, identity, effort, job.command, what)
        except Exception as error:
            failure = failure or _failure("store", error)
    return failure


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor | None = None,
    progress: Callable[[int, Outcome], None] = lambda number, outcome: None,
) -> list[Outcome]:
    """Do all `jobs` and return what they came to, in their order.

    A job that takes its process down with it has failed; the others are done all the same.

    Parameters
    ----------
    executor
        Where to run them; None: here, one after another. A pool of processes that breaks is followed by another.
    progress
        Called with the number and the outcome of each job, in their order.
    """
    work = _Jobs(jobs, progress)
    if executor is None:
        for number, job in enumerate(jobs):
            work.ended(number, execute(job))
    elif isinstance(executor, ProcessPoolExecutor):
        do_in_pools(work, range(len(jobs)), workers_of(executor), executor)
    else:
        work.hand_out(range(len(jobs)), executor)
    return [work.outcomes[number] for number in range(len(jobs))]


@dataclass(slots=True)
class _Jobs:
    """Jobs by their number, and what has become of them."""

    jobs: Sequence[Job]
    progress: Callable[[int, Outcome], None]
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    _told: int = 0
    _under_way: set[int] = field(default_factory=set)

    def hand_out(self, left: Sequence[int], executor: Executor) -> None:
        """Have jobs done; a pool of processes is given one for each, so that what it loses is known."""
        in_pool = isinstance(executor, ProcessPoolExecutor)
        waiting, at_once = deque(left), workers_of(executor) if in_pool else len(left)
        pending: dict[Future[Outcome], int] = {}
        self._under_way.clear()
        try:
            while waiting or pending:
                while waiting and len(pending) < at_once:
                    number = waiting.popleft()
                    self._under_way.add(number)
                    pending[executor.submit(execute, _anywhere(self.jobs[number]))] = number
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    number = pending.pop(future)
                    self.ended(number, _received(future, in_pool))
                    self._under_way.discard(number)
        except BaseException:
            if in_pool:  # it complains of futures that are cancelled one by one while its processes are lost
                executor.shutdown(cancel_futures=True)
            else:
                for future in pending:
                    future.cancel()
            raise

    def recover(self, left: Sequence[int]) -> tuple[list[int], list[int]]:
        """See `simulator.experiments.executors.Work`."""
        left = [number for number in left if number not in self.outcomes]
        return [it for it in left if it in self._under_way], [it for it in left if it not in self._under_way]

    def fail(self, item: int, why: str) -> None:
        """Count a job as failed whose process was lost; its folder says so."""
        effort = Effort(0.0, None)
        failure = _stored(self.jobs[item], None, Failure("execute", "BrokenProcessPool", why, ""), effort)
        self.ended(item, Outcome(None, {}, (), failure, effort))

    def ended(self, number: int, outcome: Outcome) -> None:
        """Take what a job has come to, and tell of all that have ended before the first that has not."""
        self.outcomes[number] = outcome
        while self._told in self.outcomes:
            self._told += 1
            self.progress(self._told - 1, self.outcomes[self._told - 1])


def _anywhere(job: Job) -> Job:
    """Return the job as it can be done from any working directory."""
    resolve = Resolver(job.resolve.folder.absolute())
    return replace(job, resolve=resolve, store=None if job.store is None else job.store.absolute())


def _received(future: Future[Outcome], in_pool: bool) -> Outcome:
    """Return what a job has come to; a pool that has broken is raised, as another one follows."""
    try:
        return future.result()
    except Exception as error:  # the worker itself is gone, for instance killed for its memory
        if in_pool and isinstance(error, BrokenProcessPool):
            raise
        return Outcome(None, {}, (), _failure("execute", error), Effort(0.0, None))


def bad_input(outcomes: Sequence[Outcome]) -> InputError | None:
    """Return every fault that runs found in their inputs, each once; None where there is none."""
    faults = [fault for outcome in outcomes if outcome.failure for fault in outcome.failure.faults]
    return InputError(list(dict.fromkeys(faults))) if faults else None


def _failure(stage: str, error: BaseException) -> Failure:
    faults = error.faults if isinstance(error, InputError) else ()
    policy = None if isinstance(error, SimulatorError) else policy_in(error.__traceback__)
    message = f"{policy}: {error}" if policy else str(error)
    return Failure(stage, type(error).__name__, message, traceback.format_exc(), faults)
