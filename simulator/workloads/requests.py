"""A stream of requests as columns: what every reader and generator returns and the engine consumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.graphs import AnswerGraphs

MOST_REQUESTS = 20_000_000
"""A generator asked for more is refused: some 30 GB of records, and minutes at the very least."""


@dataclass(frozen=True, slots=True, eq=False)
class Requests:
    """Columns of n requests in order of arrival.

    A request whose arrival hangs on another one's end (a session's next turn) has ``after[i]`` = index of
    that request and `arrival_s` = NaN; it arrives `think_s` after that request has finished.
    """

    arrival_s: NDArray[np.float64]
    """Shape (n,). Simulated arrival times, ascending among those that are not NaN."""
    input_tokens: NDArray[np.int64]
    """Shape (n,). Prompt lengths, at least 1."""
    output_tokens: NDArray[np.int64]
    """Shape (n,). Answer lengths, at least 1."""
    hash_block_tokens: int = 0
    """Tokens per prefix block; 0: no request shares a prefix and the three fields below are empty."""
    hash_ids: NDArray[np.int64] | None = None
    """Flat prefix block ids of all requests. Equal ids mean equal content up to and including that block.

    They cover the prompt (the last block may be partial) and may go on over the answer, so that a later turn
    finds it.
    """
    hash_offsets: NDArray[np.int64] | None = None
    """Shape (n + 1,). Request i has ``hash_ids[hash_offsets[i]:hash_offsets[i + 1]]``."""
    after: NDArray[np.int64] | None = None
    """Shape (n,). Request that must finish first, -1 for none; None: no request waits for another."""
    think_s: NDArray[np.float64] | None = None
    """Shape (n,). Pause after that request's end."""
    concurrency: int | None = None
    """Closed loop: this many start at `start_s`, each next one when one finishes; `arrival_s` is all NaN."""
    start_s: float = 0.0
    """Closed loop: simulated time at which the first ones start."""
    stored_tokens: NDArray[np.int64] | None = None
    """Shape (n,). Tokens of each prompt, from its front, whose KV lies in `stored_tier` beforehand."""
    stored_tier: str = ""
    """Storage device that holds them."""
    graphs: AnswerGraphs | None = None
    """How each answer falls into sub-problems; their tokens add up to `output_tokens`. None: not known."""
    notes: tuple[str, ...] = ()
    """What a reader of results must know, such as that the workload is an embedded synthetic one."""

    def __len__(self) -> int:
        return len(self.arrival_s)
