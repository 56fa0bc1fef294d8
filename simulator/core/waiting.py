"""Waiting for a request with a limit, without SimPy's abandoned-get trap."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import simpy
from simpy.resources.base import Get, Put

from simulator.core.errors import CoreError


def with_timeout(
    env: simpy.Environment, request: Get[Any] | Put[Any], delay_s: float, default: Any = None
) -> Generator[simpy.Event, Any, Any]:
    """Wait for `request`, at most `delay_s`; then withdraw it.

    After a bare ``yield store.get() | env.timeout(1)`` that timed out, the get still stands in the store's
    queue and swallows the next item, which nobody receives. Here it is cancelled; also where the waiting
    process is interrupted. A request that is granted at the very instant of the limit is granted.

    Parameters
    ----------
    env
        The environment of the calling process.
    request
        A pending get, put or resource request.
    delay_s
        Longest wait, at least 0.
    default
        What to return where the time is up.

    Returns
    -------
    object
        The request's value (the item of a get), or `default`. Use it as
        ``item = yield from with_timeout(env, store.get(), 2.0)``.

    Raises
    ------
    CoreError
        Where `delay_s` is negative.
    """
    if not delay_s >= 0.0:
        request.cancel()
        raise CoreError(f"cannot wait for {delay_s!r} s: the limit must be at least 0 s")
    try:
        yield request | env.timeout(delay_s)
    finally:
        if not request.triggered:
            request.cancel()
    return request.value if request.triggered else default
