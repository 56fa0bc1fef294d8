"""Generated workloads: an arrival process, two length distributions, and sessions where asked for.

Each purpose draws from a stream of its own (``arrivals``, ``periods``, ``input_tokens``, ``output_tokens``,
``turns``, ``think``), so that a change of one leaves the others as they were: common random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.arrival_spec import AtOnce, Closed, Cyclic, OnOff, ReplayedRate
from simulator.workloads.arrivals import Clock, ConstantRate, OnOffRate, cyclic_rate, open_arrivals, read_rate
from simulator.workloads.lengths import draw_lengths
from simulator.workloads.requests import MOST_REQUESTS, Requests
from simulator.workloads.sessions import converse, first_turns
from simulator.workloads.sources import SourceFile
from simulator.workloads.spec import Questions, Sessions, Synthetic
from simulator.workloads.window import Window

Stream = Callable[[str], np.random.Generator]


def generate(
    spec: Synthetic, window: Window, stream: Stream, resolve: Callable[[str], Path], key: str = ""
) -> Requests:
    """Draw the requests of `spec` that lie in `window`.

    Parameters
    ----------
    spec
        A generator without faults (`simulator.workloads.build.faults`).
    window
        The cut, in the process's own time; with `sessions`, their first turns are cut by time.
    stream
        Gives the random generator of a purpose.
    resolve
        Turns a path of the scenario into a file.
    key
        Dotted path of the workload in the scenario, for messages.

    Raises
    ------
    InputError
        Where the file of a replayed rate is faulty.
    """
    arrival_s = draw_arrivals(spec, window, stream, resolve, key)
    if spec.sessions is not None:
        return _conversations(spec, spec.sessions, arrival_s, window.count, stream)
    n = len(arrival_s)
    closed = spec.arrivals if isinstance(spec.arrivals, Closed) else None
    return Requests(
        arrival_s=arrival_s,
        input_tokens=draw_lengths(spec.input_tokens, n, stream("input_tokens")),
        output_tokens=draw_lengths(spec.output_tokens, n, stream("output_tokens")),
        concurrency=closed.concurrency if closed else None,
        start_s=window.delay_s if closed else 0.0,
    )


def draw_arrivals(
    spec: Synthetic | Questions, window: Window, stream: Stream, resolve: Callable[[str], Path], key: str
) -> NDArray[np.float64]:
    """Return simulated arrival times of a generator without faults, NaN in a closed loop.

    They are drawn from the streams ``arrivals`` and ``periods``; the parameters are those of `generate`.
    """
    process = spec.arrivals
    if isinstance(process, Closed | AtOnce):
        assert window.count is not None, "checked by faults()"
        times_s = np.zeros(window.count)
        if isinstance(process, Closed):
            return np.full(window.count, np.nan)
    else:
        clock: Clock
        if isinstance(process, ReplayedRate):
            source = SourceFile(resolve(process.path), process.path, f"{key}.arrivals.path")
            clock = read_rate(source, process, spec.rate)
            until_s = window.stop_s if window.count is None else window.start_s
            drawn = clock.mean_rate_per_s * until_s + (window.count or 0)
            if drawn > MOST_REQUESTS:
                raise source.fail(f"its rate makes {drawn:,.0f} requests; allowed: at most {MOST_REQUESTS:,}")
        else:
            assert spec.rate is not None, "checked by faults()"
            if isinstance(process, Cyclic):
                clock = cyclic_rate(process, spec.rate)
            elif isinstance(process, OnOff):
                clock = OnOffRate(process, spec.rate, stream("periods"))
            else:
                clock = ConstantRate(spec.rate)
        times_s = open_arrivals(process, clock, window, stream("arrivals"))
    return window.simulated_s(times_s[window.rows(times_s)])


def _conversations(
    spec: Synthetic, sessions: Sessions, opening_s: NDArray[np.float64], count: int | None, stream: Stream
) -> Requests:
    """Return the requests of sessions that open at `opening_s`, `count` of them at most."""
    turns = draw_lengths(sessions.turns, len(opening_s), stream("turns"))
    session, turn = first_turns(turns, count)
    n = len(session)
    output_tokens = draw_lengths(spec.output_tokens, n, stream("output_tokens"))
    talk = converse(
        session=session,
        turn=turn,
        message_tokens=draw_lengths(spec.input_tokens, n, stream("input_tokens")),
        answer_tokens=output_tokens,
        system_tokens=sessions.shared_prefix_tokens,
        block_tokens=spec.hash_block_tokens,
    )
    return Requests(
        arrival_s=np.where(turn == 0, opening_s[session], np.nan),
        input_tokens=talk.input_tokens,
        output_tokens=output_tokens,
        hash_block_tokens=spec.hash_block_tokens,
        hash_ids=talk.hash_ids,
        hash_offsets=talk.hash_offsets,
        after=talk.after,
        think_s=np.where(turn == 0, 0.0, stream("think").standard_exponential(n) * sessions.think_time),
    )
