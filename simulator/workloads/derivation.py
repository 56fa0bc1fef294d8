"""Take the figures of the embedded workload from a real trace of conversations.

``python -m simulator.workloads.derivation TRACE`` prints the ``figures`` part of
``mooncake_conversation.yaml``, so that anyone who has the published trace can check that file; a test does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.embedded import Floats, Ints, SessionFigures
from simulator.workloads.readers import read_mooncake
from simulator.workloads.requests import Requests
from simulator.workloads.sources import SourceFile

WARM_UP_S = 300.0
"""Openings before this time may continue sessions older than the trace: not counted for what follows them."""

LOOK_AHEAD_S = 1800.0
"""Requests this close to the trace's end are not counted for what follows them: it may lie outside."""

PROBABILITIES = (
    0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85,
    0.875, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 1.0,
)  # fmt: skip
"""Where the quantile tables stand; dense above 0.95, where the tokens are."""

OPENING_EDGES_TOKENS = (910, 1500, 3000, 6000, 20000, 40000, 80000)
"""Classes of opening prompts; below 910 tokens nothing but the system prompt and a phrase."""

BRANCH_EDGES_TOKENS = (5000, 10000, 20000, 50000)
"""Classes of earlier prompts for the probability of a branch."""

LATER_TURNS = 6
"""Follow-up probabilities told apart after the opening one; the last stands for all later turns."""


def derive(trace: Requests, tick_s: float = 3.0) -> SessionFigures:
    """Return the session statistics of `trace`, whose requests need prefix block ids.

    The request before a given one is the latest that holds the deepest block they share.

    Parameters
    ----------
    trace
        Requests in the trace's own time, with ids of the prompt's blocks.
    tick_s
        Resolution of its clock.
    """
    common = _common_blocks(trace)
    parent, kept = _parents(trace, common)
    time_s, prompts, answers = trace.arrival_s, trace.input_tokens, trace.output_tokens
    rows = np.flatnonzero(parent >= 0)
    before = parent[rows]
    opening = parent < 0
    turn = np.zeros(len(trace), np.int64)
    for row in rows.tolist():  # in order of time: the one before is known
        turn[row] = turn[parent[row]] + 1

    gap_s = time_s[rows] - time_s[before]
    settled = time_s <= time_s[-1] - LOOK_AHEAD_S
    timely = settled[before] & (gap_s <= LOOK_AHEAD_S)
    followed = np.zeros(len(trace), np.bool_)
    followed[before[timely]] = True
    warm_opening = opening & settled & (time_s > WARM_UP_S)
    sizes = np.searchsorted(OPENING_EDGES_TOKENS, prompts, "right")

    full = prompts[before] // trace.hash_block_tokens
    branched = np.zeros(len(trace), np.bool_)
    branched[rows] = kept[rows] < full
    is_branch, after_branch = branched[rows], branched[before]
    classes = np.searchsorted(BRANCH_EDGES_TOKENS, prompts[before], "right")
    return SessionFigures(
        requests=len(trace),
        rate_per_s=_figure(len(trace) / time_s[-1]),
        tick_s=tick_s,
        block_tokens=trace.hash_block_tokens,
        common_blocks=common,
        input_range=(int(prompts.min()), int(prompts.max())),
        session_rate_per_s=_figure(opening.sum() / time_s[-1]),
        probabilities=PROBABILITIES,
        opening_input_tokens=_quantiles(prompts[opening]),
        output_tokens=_quantiles(answers),
        opening_edges_tokens=OPENING_EDGES_TOKENS,
        follow_up_opening=_shares(followed[warm_opening], sizes[warm_opening], len(OPENING_EDGES_TOKENS) + 1),
        follow_up_later=_shares(
            followed[settled & ~opening], np.minimum(turn[settled & ~opening], LATER_TURNS) - 1, LATER_TURNS
        ),
        opening_gap_s=_quantiles(gap_s[timely & opening[before]]),
        later_gap_s=_quantiles(gap_s[timely & ~opening[before]]),
        message_tokens=_quantiles((prompts[rows] - prompts[before] - answers[before])[~is_branch]),
        branch_edges_tokens=BRANCH_EDGES_TOKENS,
        branch=_shares(is_branch[~after_branch], classes[~after_branch], len(BRANCH_EDGES_TOKENS) + 1),
        branch_again=_figure(is_branch[after_branch].mean()),
        branch_share=_quantiles((kept[rows] / np.maximum(full, 1))[is_branch]),
        branch_ratio=_quantiles((prompts[rows] / prompts[before])[is_branch]),
    )


def _rows_of_ids(trace: Requests) -> Iterable[list[int]]:
    assert trace.hash_ids is not None and trace.hash_offsets is not None, "the trace has no prefix block ids"
    flat, offsets = trace.hash_ids.tolist(), trace.hash_offsets.tolist()
    return (flat[begin:end] for begin, end in pairwise(offsets))


def _common_blocks(trace: Requests) -> int:
    """Count the leading blocks that every request has."""
    shared: list[int] | None = None
    for ids in _rows_of_ids(trace):
        if shared is None:
            shared = ids
        while ids[: len(shared)] != shared:
            shared = shared[:-1]
    return len(shared or [])


def _parents(trace: Requests, common: int) -> tuple[Ints, Ints]:
    """Return the request before each one (-1: none) and the number of leading blocks seen earlier."""
    latest: dict[int, int] = {}
    parent = np.full(len(trace), -1)
    kept = np.zeros(len(trace), np.int64)
    for row, ids in enumerate(_rows_of_ids(trace)):
        depth = next((place for place, block in enumerate(ids) if block not in latest), len(ids))
        kept[row] = depth
        if depth > common:
            parent[row] = latest[ids[depth - 1]]
        latest.update(dict.fromkeys(ids, row))
    return parent, kept


def _shares(events: NDArray[np.bool_], classes: NDArray[np.intp] | Ints, n: int) -> tuple[float, ...]:
    """Return the share of true `events` in each of n classes."""
    return tuple(_figure(events[classes == one].mean()) for one in range(n))


def _quantiles(values: Floats | Ints) -> tuple[float, ...]:
    return tuple(_figure(value) for value in np.quantile(values, PROBABILITIES))


def _figure(value: float) -> float:
    """Round to four significant digits: a statistic, not a row."""
    return float(f"{float(value):.4g}")


def main() -> None:
    """Print the figures of the trace named on the command line as YAML."""
    trace = read_mooncake(SourceFile(Path(sys.argv[1])))
    print("figures:")
    for name, value in asdict(derive(trace)).items():
        print(f"  {name}: {list(value) if isinstance(value, tuple) else value}")


if __name__ == "__main__":
    main()
