"""Running simulations, one after another in this process or through an executor: one path for both."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from devices.errors import Fault, InputError
from simulator.core import Table
from simulator.experiments.identity import identify
from simulator.experiments.run_store import Effort, Failure, peak_memory_bytes, write_run
from simulator.metrics.steady_state import steady_state
from simulator.metrics.summary import COMPLETED
from simulator.scenario.load import Resolver
from simulator.scenario.spec import Scenario
from simulator.world import simulate

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 5
"""How long the scheduler of a cluster may take to answer, in s."""

WORKERS = 8
"""How many workers an executor is taken to have that does not tell."""

WORKLOAD_STRIDE = 1 << 40
"""Distance between the keys of two workloads' requests."""


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
class Observations:
    """Figures of one service's requests or viewers, so that those of two runs can be paired."""

    key: NDArray[np.int64]
    """Shape (n,), ascending. Workload and number of each request, or session and phone; equal in runs that share
    arrivals."""
    order: NDArray[np.float64]
    """Shape (n,). Arrival times, or numbers of sessions: neighbours may depend on one another."""
    figures: dict[str, NDArray[np.float64]]
    """Each of shape (n,), by the path of its mean in the service's summary; NaN where there is none."""


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


def execute(job: Job) -> Outcome:
    """Do one run and, where asked to, write its folder. A failure is data; only Ctrl-C gets out."""
    started = time.perf_counter()
    stage, failure, result = "simulate", None, None
    summary: dict[str, Any] | None = None
    observations: dict[str, Observations] = {}
    try:
        result = simulate(job.scenario, job.replication, job.resolve)
        stage = "summarize"
        summary = result.summary()
        order = {name: index for index, name in enumerate(job.scenario.workloads)}
        warmup = job.scenario.warmup
        observations = {name: of_requests(table, order, warmup) for name, table in result.requests.items()}
        observations |= {name: of_viewers(table) for name, table in result.viewers.items()}
    except Exception as error:
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
    return Outcome(None if failure else summary, {} if failure else observations, notes, failure, effort)


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
    return ProcessPoolExecutor(processes, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)  # left alone, it would wait for work for ever

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # noqa: PLC0415 (an extra, and a slow import)
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
    with client:
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
    finally:
        for future in futures:
            future.cancel()
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


def of_requests(requests: Table, workloads: dict[str, int], warmup: float | str = "none") -> Observations:
    """Return the latencies of a service's requests after the `warmup`; `workloads` numbers the scenario's workloads."""
    numbers = np.array([workloads[name] for name in requests.column("workload")], dtype=np.int64)
    key = numbers * WORKLOAD_STRIDE + requests.column("request")
    order = np.argsort(key)
    order = order[steady_state(requests, warmup).kept[order]]
    arrival = requests.column("arrival_s")
    done = requests.column("status") == COMPLETED

    def since_arrival(name: str) -> NDArray[np.float64]:
        return np.where(done, requests.column(name) - arrival, np.nan)[order]

    tokens = requests.column("output_tokens")
    later_s = requests.column("finish_s") - requests.column("first_token_s")
    figures = {
        "ttft_s.mean": since_arrival("first_token_s"),
        "tpot_s.mean": np.where(done & (tokens > 1), later_s / np.maximum(tokens - 1, 1), np.nan)[order],
        "e2e_s.mean": since_arrival("finish_s"),
    }
    return Observations(key[order], arrival[order], figures)


def of_viewers(viewers: Table) -> Observations:
    """Return what the viewers of a streaming service saw and spent."""
    sessions = viewers.column("session").astype(np.int64)
    number = {name: i for i, name in enumerate(sorted(set(viewers.column("phone"))))}
    key = sessions * WORKLOAD_STRIDE + np.array([number[name] for name in viewers.column("phone")], np.int64)
    order = np.argsort(key)
    columns = {
        "qoe.mean": "qoe_oasis",
        "rebuffer_s.mean": "rebuffer_s",
        "energy_per_phone_j.mean": "energy_j",
    }
    figures = {path: viewers.column(name)[order].copy() for path, name in columns.items()}
    return Observations(key[order], sessions[order].astype(np.float64), figures)


def _failure(stage: str, error: Exception) -> Failure:
    faults = error.faults if isinstance(error, InputError) else ()
    return Failure(stage, type(error).__name__, str(error), traceback.format_exc(), faults)
