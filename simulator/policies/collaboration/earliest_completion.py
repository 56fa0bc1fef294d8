"""Chunks one by one to the phone that would complete them first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf

_TIE_S = 1e-9
"""Completions that differ by less are equal."""


def earliest(delays_s: Sequence[float], chunks_per_s: Sequence[float], held: Sequence[int]) -> int:
    """Return the phone that would complete the next chunk first: the least ``delay + (held + 1) / rate``.

    Of equals it is the one that would begin it first, then the first one. OASIS writes ``L + k / S`` with k the chunks
    that a phone has; its worked example comes out only where k counts the chunk in question.

    Parameters
    ----------
    delays_s
        Time until a phone has a first chunk to work on, by phone, in s.
    chunks_per_s
        Its rate; 0: it gets none. At least one is above 0.
    held
        Chunks that it has been given already.
    """
    best, best_s, best_begin_s = -1, inf, inf
    for phone, rate in enumerate(chunks_per_s):
        if rate > 0.0:
            begin_s = delays_s[phone] + held[phone] / rate
            end_s = delays_s[phone] + (held[phone] + 1) / rate
            if end_s < best_s - _TIE_S or (end_s < best_s + _TIE_S and begin_s < best_begin_s - _TIE_S):
                best, best_s, best_begin_s = phone, end_s, begin_s
    return best


@lru_cache(maxsize=1024)
def fitting_chunks(chunks_per_s: tuple[float, ...], most: int, idle_share: float) -> int:
    """Return for how many chunks phones of these rates work for about equally long.

    OASIS takes the "least common multiple that fits the devices' speeds": rates of 2, 3 and 1 give 2 + 3 + 1 = 6, equal
    rates one chunk each. Measured rates have no useful common multiple, so that this is the least number for which no
    more than `idle_share` of the phones' time is idle if chunks go where they complete earliest; it is the common
    multiple where the rates have a small one. Where no number up to `most` does, it is the best of them.

    Parameters
    ----------
    chunks_per_s
        Rate of each phone; those at 0 do not count. At least one is above 0.
    most
        Largest number to consider, at least 1.
    idle_share
        What may be idle.
    """
    steps_s = [1.0 / rate for rate in chunks_per_s if rate > 0.0]
    ends_s = list(steps_s)
    total = sum(chunks_per_s)
    best, best_share = 1, 0.0
    for chunks in range(1, most + 1):
        end_s = min(ends_s)
        phone = ends_s.index(end_s)
        ends_s[phone] += steps_s[phone]
        share = chunks / (end_s * total)
        if share > best_share + _TIE_S:
            best, best_share = chunks, share
            if share >= 1.0 - idle_share:
                break
    return best
