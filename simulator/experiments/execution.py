"""Running simulations, one after another in this process or through an executor: one path for both."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from devices.errors import Fault, InputError, SimulatorError
from simulator.experiments.identity import identify
from simulator.experiments.observations import Observations, of_requests, of_viewers
from simulator.experiments.run_store import Effort, Failure, peak_memory_bytes, write_run
from simulator.metrics.cautions import overload_of
from simulator.policies.blame import policy_in
from simulator.policies.plugins import load_plugins, loaded_plugins
from simulator.scenario.load import Resolver
from simulator.scenario.spec import Scenario
from simulator.world import simulate

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 5
"""How long the scheduler of a cluster may take to answer, in s."""

WORKERS = 8
"""How many workers an executor is taken to have that does not tell."""


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
        observations |= {name: of_viewers(table) for name, table in result.viewers.items()}
        overloaded = frozenset(
            name for name, table in result.requests.items() if overload_of(job.scenario, name, table)
        )
    except (Exception, SystemExit) as error:  # a policy must not end the command
        failure = _failure(stage, error)
    effort = Effort(time.perf_counter() - started, peak_memory_bytes())
    if job.store is not None and not (failure and failure.faults):  # bad input leaves nothing behind
        try:
            identity = identify(job.scenario, job.resolve, job.replication)
            what = failure or result
            assert what is not None
            write_run(job.store, job.scenario, job.replication, identity, effort, job.command, what)
        except Exception as error:
            failure = failure or _failure("store", error)
    notes = result.notes if result is not None else ()
    if failure:
        return Outcome(None, {}, notes, failure, effort)
    return Outcome(summary, observations, notes, failure, effort, overloaded)


@contextmanager
def worker_pool(processes: int, dask: str | None = None) -> Iterator[Executor | None]:
    """Give an executor of so many processes, None for one, which is this process; or that of a dask cluster.

    Parameters
    ----------
    processes
        How many; without meaning where `dask` is given.
    dask
        Address of the scheduler of a cluster, such as ``tcp://host:8786``.

    Raises
    ------
    InputError
        Where there is no scheduler at `dask`, or ``distributed`` is not installed.
    """
    if dask is not None:
        with _dask_executor(dask) as executor:
            yield executor
    elif processes == 1:
        yield None
    else:
        with process_pool(processes) as executor:
            yield executor


def process_pool(processes: int) -> ProcessPoolExecutor:
    """Return a pool of processes that end when this one does, be it by ``kill -9``."""
    return ProcessPoolExecutor(processes, initializer=_begin, initargs=(loaded_plugins(),))


def _begin(plugins: Sequence[str]) -> None:
    """Make ready for work: know the plug-ins, and end with the parent."""
    load_plugins(plugins)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as for a job in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends them in mid-run
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)  # left alone, it would wait for work for ever

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client, SchedulerPlugin, WorkerPlugin  # noqa: PLC0415 (an extra, and a slow import)
        from distributed.comm.addressing import get_address_host_port  # noqa: PLC0415
    except ImportError as error:
        message = "distributed is not installed: pip install 'hetsim[dask]'"
        raise InputError(Fault(message, file="--dask")) from error
    try:
        get_address_host_port(address)  # a client of what is no address takes long to notice
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        message = f"there is no scheduler at {address!r}: {error}"
        raise InputError(Fault(message, file="--dask")) from error

    plugins = loaded_plugins()

    class _ToWorker(WorkerPlugin):
        def setup(self, worker: object) -> None:
            load_plugins(plugins)

    class _ToScheduler(SchedulerPlugin):
        async def start(self, scheduler: object) -> None:
            load_plugins(plugins)

    with client:
        for plugin in (_ToScheduler(), _ToWorker()) if plugins else ():  # also for workers that come later
            client.register_plugin(plugin)
        executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call]
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


class InProcess(Executor):
    """Does what it is given at once, in this process."""

    _max_workers = 0  # beside this process

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call `fn` and return what it came to."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def workers_of(executor: Executor) -> int:
    """Return how many workers an executor has, as far as it tells; a cluster may tell another number later."""
    client = getattr(executor, "_client", None)
    if client is not None and client.status == "running":
        return sum(client.nthreads().values())
    return int(getattr(executor, "_max_workers", WORKERS))


def run_jobs(
    jobs: Sequence[Job],
    executor: Executor | None = None,
    progress: Callable[[int, Outcome], None] = lambda number, outcome: None,
) -> list[Outcome]:
    """Do all `jobs` and return what they came to, in their order.

    Parameters
    ----------
    executor
        Where to run them; None: here, one after another.
    progress
        Called with the number and the outcome of each job, in their order.
    """
    futures = [executor.submit(execute, _anywhere(job)) for job in jobs] if executor is not None else []
    outcomes: list[Outcome] = []
    try:
        for number, job in enumerate(jobs):
            outcomes.append(_received(futures[number]) if futures else execute(job))
            progress(number, outcomes[-1])
    except BaseException:
        if isinstance(executor, ProcessPoolExecutor):
            # it complains of futures that are cancelled one by one while its processes are lost
            executor.shutdown(cancel_futures=True)
        else:
            for future in futures:
                future.cancel()
        raise
    return outcomes


def _anywhere(job: Job) -> Job:
    """Return the job as it can be done from any working directory."""
    resolve = Resolver(job.resolve.folder.absolute())
    return replace(job, resolve=resolve, store=None if job.store is None else job.store.absolute())


def _received(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except Exception as error:  # the worker itself is gone, for instance killed for its memory
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
