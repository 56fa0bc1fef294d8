"""How long a piece of work takes, on a CPU and on a GPU.

A trial times as many calls as it takes to last `SHORTEST_S`, so that neither the clock nor the launch of a kernel
is what is measured. Work gets the number of its call: with that it can go round buffers that together exceed every
cache (see `copies`), because in a real step weights and KV cache come from memory.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable

from calibration.bench.harness import Trial, need

SHORTEST_S = 2e-3
"""Least length of a trial."""

COLD_BYTES = 256 * 2**20
"""Buffers that are gone round have this size together: several times the last-level cache of any one device."""

MOST_COPIES = 128
"""Buffers at most."""

MOST_CALLS = 2000
"""Calls of one trial at most."""

Work = Callable[[int], object]
"""Something to time; its argument is the number of the call."""


def copies(one_bytes: float) -> int:
    """Return how many buffers of `one_bytes` are to be gone round: 1 where one alone exceeds every cache.

    Small ones stop at `MOST_COPIES`: there a fixed cost per call is all that is left to see.
    """
    return min(MOST_COPIES, math.ceil(COLD_BYTES / one_bytes))


def latency_trial(
    work: Work,
    device: str,
    *,
    rounds: int = 1,
    graph: bool = False,
    now: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Return a trial of `work`: seconds per call.

    Parameters
    ----------
    rounds
        Calls until `work` meets the same buffers again.
    graph
        On a GPU: capture the calls, a whole number of rounds, in a CUDA graph first, so that launching them costs
        nothing.
    """
    number = itertools.count()  # trials go on where the last one ended: no buffer is met early
    timer = _cuda_timer() if device == "cuda" else _wall_timer(now)

    def numbered(_: int) -> None:
        work(next(number))

    timer(numbered, 1)  # what only a first call pays: code generation, autotuning, page faults
    calls = math.ceil(SHORTEST_S / max(timer(numbered, 1), SHORTEST_S / MOST_CALLS))
    if device == "cuda" and graph:
        calls = math.ceil(calls / rounds) * rounds
        replay = _captured(work, calls)
        return lambda: timer(replay, 1) / calls
    return lambda: timer(numbered, calls) / calls


def _wall_timer(now: Callable[[], float]) -> Callable[[Work, int], float]:
    def seconds(work: Work, calls: int) -> float:
        start = now()
        for call in range(calls):
            work(call)
        return now() - start

    return seconds


def _cuda_timer() -> Callable[[Work, int], float]:
    torch = need("torch")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def seconds(work: Work, calls: int) -> float:
        torch.cuda.synchronize()
        begin.record()
        for call in range(calls):
            work(call)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    return seconds


def _captured(work: Work, calls: int) -> Work:
    """Return work whose one call replays `calls` calls of `work`."""
    torch = need("torch")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set up what they keep per stream before the capture
        work(0)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in range(calls):
            work(call)
    return lambda call: graph.replay()
