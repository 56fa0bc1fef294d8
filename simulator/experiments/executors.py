"""Where work is done: this process, pools of processes of which some may be lost, or the workers of a cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from typing import ParamSpec, Protocol, TypeVar

from devices.errors import Fault, InputError
from simulator.policies.plugins import load_plugins, loaded_plugins

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 5
"""How long the scheduler of a cluster may take to answer, in s."""

WORKERS = 8
"""How many workers an executor is taken to have that does not tell."""

ATTEMPTS = 2
"""Processes of its own that a piece of work may take down with it before it counts as failed."""


class Work(Protocol[T]):
    """Pieces of work that are given to executors, and what has become of them."""

    def hand_out(self, left: Sequence[T], executor: Executor) -> None:
        """Have pieces done, few of them at a time.

        Raises
        ------
        BrokenProcessPool
            Where the executor has lost a process; `recover` then tells what it was doing.
        """

    def recover(self, left: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
        """Of `left`, return what was under way when a process was lost, and what had not begun; neither has ended."""

    def fail(self, item: T, why: str) -> None:
        """Count a piece as failed."""


def do_in_pools(
    work: Work[T], left: Sequence[T], processes: int, first: ProcessPoolExecutor | None = None
) -> None:
    """Have work done by processes; where one is lost, what was under way is done alone, then a new pool goes on.

    Parameters
    ----------
    processes
        Of each pool.
    first
        The pool to begin with; None: a new one.
    """
    while left:
        try:
            with process_pool(processes) if first is None else nullcontext(first) as pool:
                work.hand_out(left, pool)
            return
        except BrokenProcessPool:
            first = None
            lost, left = work.recover(left)
        for item in lost:
            _do_alone(work, item)


def _do_alone(work: Work[T], item: T) -> None:
    """Do one piece in a process of its own; it has failed where that process is lost again and again."""
    for _ in range(ATTEMPTS):
        try:
            with process_pool(1) as pool:
                work.hand_out([item], pool)
            return
        except BrokenProcessPool:
            if not any(work.recover([item])):  # it had ended before
                return
    work.fail(item, "its process was lost")


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
