"""Multi-turn conversations: each prompt is everything said before plus a new message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Conversations:
    """Requests of all sessions as columns, turn after turn, session after session."""

    after: Ints
    """Shape (n,). Row of the turn before; -1 for a session's first."""
    input_tokens: Ints
    """Shape (n,). Prompt: system prompt, all earlier messages and answers, the new message."""
    hash_ids: Ints
    """Flat block ids over prompt and answer of each request."""
    hash_offsets: Ints
    """Shape (n + 1,). Where each request's ids begin."""


def first_turns(turns: Ints, count: int | None) -> tuple[Ints, Ints]:
    """Return (session, turn within it) of the requests of sessions with these `turns`, at most `count`."""
    ends = np.cumsum(turns)
    if (
        count is not None and len(ends) and ends[-1] > count
    ):  # long sessions must not be laid out to be cut off
        enough = int(np.searchsorted(ends, count)) + 1
        turns, ends = turns[:enough].copy(), ends[:enough]
        turns[-1] -= ends[-1] - count
        ends[-1] = count
    n = int(ends[-1]) if len(ends) else 0
    session = np.repeat(np.arange(len(turns)), turns)
    turn = np.arange(n) - np.repeat(ends - turns, turns)
    return session, turn


def converse(
    session: Ints,
    turn: Ints,
    message_tokens: Ints,
    answer_tokens: Ints,
    system_tokens: int,
    block_tokens: int,
) -> Conversations:
    """Build the prompts of conversations and the ids of their prefix blocks.

    A conversation only grows, so one sequence of ids per session serves all its turns: a turn's full blocks,
    of the answer too, are found by the next one. The last block of a turn, where it is not full, has an id of
    its own, for the next turn fills it with other content. Blocks wholly inside the system prompt are the
    same in all sessions.

    Parameters
    ----------
    session, turn
        Shape (n,). From `first_turns`.
    message_tokens, answer_tokens
        Shape (n,). Length of each new message and of its answer.
    system_tokens
        Length of the system prompt that all sessions share.
    block_tokens
        Tokens per block.
    """
    n = len(session)
    said = np.cumsum(message_tokens + answer_tokens)
    opening = turn == 0
    before_session = (said - message_tokens - answer_tokens)[opening][session]
    total = system_tokens + said - before_session  # with the answer
    blocks = -(-total // block_tokens)
    offsets = np.concatenate(([0], np.cumsum(blocks)))

    # ids: 0 .. common - 1 the system prompt, then one run per session, then one per unfilled last block
    common = system_tokens // block_tokens
    longest = np.zeros(int(session[-1]) + 1 if n else 0, np.int64)
    np.maximum.at(longest, session, blocks)
    run = common + np.cumsum(longest) - longest
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], blocks)
    ids = np.where(place < common, place, np.repeat(run[session], blocks) + place)
    unfilled = np.flatnonzero(total % block_tokens)
    ids[offsets[1:][unfilled] - 1] = common + int(longest.sum()) + np.arange(len(unfilled))
    return Conversations(
        after=np.where(opening, -1, np.arange(n) - 1),
        input_tokens=total - answer_tokens,
        hash_ids=ids,
        hash_offsets=offsets,
    )
