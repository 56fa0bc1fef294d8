"""The embedded synthetic workload: sessions with the statistics of the Mooncake conversation trace.

The figures in ``mooncake_conversation.yaml`` describe the published trace; no row of it is here. What they
say:

- Sessions open as a Poisson process; the trace stamps time in ticks of 3 s. All share one system prompt.
- A request is followed up, or not, with a probability that depends on the prompt's length for the opening one
  and on the turn afterwards. The pause is drawn from quantiles.
- Most follow-ups carry on: the prompt is the earlier prompt, the earlier answer and a new message, and every
  full block of the earlier prompt hits. (The trace's ids end with the prompt, so the answer's blocks never
  hit.)
- The others branch: they share only a front part of the earlier prompt and have about its length. Branching
  runs in sessions: after a branch the next follow-up is likely to be one too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.workloads.requests import Requests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NOTE = (
    "embedded synthetic workload with the statistics of the Mooncake conversation trace "
    "(FAST'25 release, Apache-2.0), not the trace itself"
)
"""What `Requests.notes` says of it."""

_SPARE = 1.15
"""Time generated beyond the mean need, so that the count is always reached."""


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """Statistics of a trace of conversations; `simulator.workloads.derivation` takes them from one."""

    requests: int
    """Rows of the trace."""
    rate_per_s: float
    """Mean arrivals per second."""
    tick_s: float
    """Resolution of the trace's clock."""
    block_tokens: int
    """Tokens per prefix block."""
    common_blocks: int
    """Leading blocks that all requests share."""
    input_range: tuple[int, int]
    """Shortest and longest prompt."""
    session_rate_per_s: float
    """Openings of sessions per second."""
    probabilities: tuple[float, ...]
    """Probabilities of all quantile tables below."""
    opening_input_tokens: tuple[float, ...]
    """Prompt lengths of opening requests."""
    output_tokens: tuple[float, ...]
    """Answer lengths."""
    opening_edges_tokens: tuple[int, ...]
    """Upper edges (left out) of the classes of opening prompts; one class more lies above the last."""
    follow_up_opening: tuple[float, ...]
    """Probability of a follow-up to an opening request of each class."""
    follow_up_later: tuple[float, ...]
    """Probability of a follow-up to the 2nd, 3rd, ... request of a session; the last one holds on."""
    opening_gap_s: tuple[float, ...]
    """Time from an opening request's arrival to the next one's."""
    later_gap_s: tuple[float, ...]
    """Time between later requests of a session."""
    message_tokens: tuple[float, ...]
    """What a carried-on prompt adds to the earlier prompt and answer; negative where they were shortened."""
    branch_edges_tokens: tuple[int, ...]
    """Upper edges (left out) of the classes of earlier prompts for `branch`."""
    branch: tuple[float, ...]
    """Probability that a follow-up branches, by class of the earlier prompt, where that was no branch."""
    branch_again: float
    """The same where the earlier one did."""
    branch_share: tuple[float, ...]
    """Share of the earlier prompt's full blocks that a branch keeps."""
    branch_ratio: tuple[float, ...]
    """Length of a branch's prompt over that of the earlier one."""

    def draw(self, table: tuple[float, ...], n: int, random: np.random.Generator) -> Floats:
        """Draw n values from a quantile table by inverting it."""
        return np.interp(random.random(n), self.probabilities, table)


@cache
def mooncake_conversation() -> SessionFigures:
    """Return the figures of the Mooncake conversation trace."""
    import yaml  # noqa: PLC0415 (only this workload needs it)

    text = files("simulator.workloads").joinpath("mooncake_conversation.yaml").read_text(encoding="utf-8")
    figures: dict[str, Any] = yaml.safe_load(text)["figures"]
    columns: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in figures.items()
    }
    return SessionFigures(**columns)


@dataclass(slots=True)
class _Turn:
    """Requests of one turn of all sessions, as columns."""

    time_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    parent: Ints
    """Row of the request before, counted over all turns; -1: none."""
    kept_blocks: Ints
    """Leading blocks shared with it."""
    branched: NDArray[np.bool_]


def generate_sessions(figures: SessionFigures, stream: Callable[[str], np.random.Generator]) -> Requests:
    """Draw a workload with the statistics of a trace of conversations.

    Parameters
    ----------
    figures
        The statistics.
    stream
        Gives the random generator of a purpose: ``arrivals``, ``input_tokens``, ``output_tokens``,
        ``sessions``, ``gaps``, ``branches``.

    Returns
    -------
    Requests
        As many as the trace has, from time 0 on, arrivals in whole ticks. As in the trace, no session is
        older than time 0, so that follow-ups become more frequent over the first minutes.
    """
    horizon_s = _SPARE * figures.requests / figures.rate_per_s
    purposes = ("arrivals", "input_tokens", "output_tokens", "sessions", "gaps", "branches")
    random = {purpose: stream(purpose) for purpose in purposes}
    turns = [_openings(figures, horizon_s, random)]
    first_row = 0
    while len(turns[-1].time_s):
        follow_ups = _follow_ups(figures, turns[-1], len(turns), first_row, horizon_s, random)
        first_row += len(turns[-1].time_s)
        turns.append(follow_ups)

    time_s, input_tokens, output_tokens, parent, kept = (
        np.concatenate([getattr(turn, column) for turn in turns])
        for column in ("time_s", "input_tokens", "output_tokens", "parent", "kept_blocks")
    )
    ticks = np.floor(time_s / figures.tick_s)
    order = np.argsort(ticks, kind="stable")[: figures.requests]
    # stable and turn by turn: a follow-up comes after its parent even within one tick
    place = np.full(len(ticks), -1)
    place[order] = np.arange(len(order))
    ids, offsets = _chain(
        figures, input_tokens[order], np.where(parent[order] < 0, -1, place[parent[order]]), kept[order]
    )
    return Requests(
        arrival_s=ticks[order] * figures.tick_s,
        input_tokens=input_tokens[order],
        output_tokens=output_tokens[order],
        hash_block_tokens=figures.block_tokens,
        hash_ids=ids,
        hash_offsets=offsets,
        notes=(NOTE,),
    )


def _openings(figures: SessionFigures, horizon_s: float, random: dict[str, np.random.Generator]) -> _Turn:
    """Draw the first request of every session."""
    n = int(random["arrivals"].poisson(figures.session_rate_per_s * horizon_s))
    return _Turn(
        time_s=np.sort(random["arrivals"].uniform(0, horizon_s, n)),
        input_tokens=_whole(
            np.clip(
                figures.draw(figures.opening_input_tokens, n, random["input_tokens"]), *figures.input_range
            )
        ),
        output_tokens=_whole(figures.draw(figures.output_tokens, n, random["output_tokens"])),
        parent=np.full(n, -1),
        kept_blocks=np.full(n, figures.common_blocks),
        branched=np.zeros(n, np.bool_),
    )


def _follow_ups(
    figures: SessionFigures,
    earlier: _Turn,
    turn: int,
    first_row: int,
    horizon_s: float,
    random: dict[str, np.random.Generator],
) -> _Turn:
    """Draw what follows the requests of the turn before, which begin at row `first_row`."""
    if turn == 1:
        classes = np.searchsorted(figures.opening_edges_tokens, earlier.input_tokens, "right")
        probability = np.array(figures.follow_up_opening)[classes]
    else:
        later = figures.follow_up_later
        probability = np.full(len(earlier.time_s), later[min(turn - 2, len(later) - 1)])
    rows = np.flatnonzero(random["sessions"].random(len(earlier.time_s)) < probability)
    gap_s = figures.draw(
        figures.opening_gap_s if turn == 1 else figures.later_gap_s, len(rows), random["gaps"]
    )
    in_time = earlier.time_s[rows] + gap_s < horizon_s
    rows, gap_s = rows[in_time], gap_s[in_time]
    n = len(rows)

    before = earlier.input_tokens[rows]
    classes = np.searchsorted(figures.branch_edges_tokens, before, "right")
    odds = np.where(earlier.branched[rows], figures.branch_again, np.array(figures.branch)[classes])
    branched = random["branches"].random(n) < odds
    full = before // figures.block_tokens
    share = figures.draw(figures.branch_share, n, random["branches"])
    ratio = figures.draw(figures.branch_ratio, n, random["branches"])
    message = figures.draw(figures.message_tokens, n, random["input_tokens"])

    kept = np.maximum(np.where(branched, _whole(share * full), full), figures.common_blocks)
    length = np.where(branched, before * ratio, before + earlier.output_tokens[rows] + message)
    # at least one token that is not shared, where the longest prompt leaves room for it
    length = np.minimum(np.maximum(length, kept * figures.block_tokens + 1), figures.input_range[1])
    input_tokens = _whole(np.maximum(length, figures.input_range[0]))
    return _Turn(
        time_s=earlier.time_s[rows] + gap_s,
        input_tokens=input_tokens,
        output_tokens=_whole(figures.draw(figures.output_tokens, n, random["output_tokens"])),
        parent=first_row + rows,
        kept_blocks=np.minimum(kept, input_tokens // figures.block_tokens),
        branched=branched,
    )


def _chain(figures: SessionFigures, input_tokens: Ints, parent: Ints, kept_blocks: Ints) -> tuple[Ints, Ints]:
    """Return flat block ids and offsets: the kept front of the parent's ids, then new ones."""
    blocks = -(-input_tokens // figures.block_tokens)
    offsets = np.concatenate(([0], np.cumsum(blocks)))
    ids = np.arange(figures.common_blocks, figures.common_blocks + offsets[-1])
    for row, (begin, before, kept) in enumerate(
        zip(offsets[:-1].tolist(), parent.tolist(), kept_blocks.tolist(), strict=True)
    ):
        shared = min(kept, int(blocks[row]))
        if before < 0:
            ids[begin : begin + shared] = np.arange(shared)
        else:
            front = int(offsets[before])
            ids[begin : begin + shared] = ids[front : front + shared]
    return ids, offsets


def _whole(values: Floats) -> Ints:
    """Round to whole numbers of at least 1."""
    return np.maximum(np.rint(values), 1).astype(np.int64)
