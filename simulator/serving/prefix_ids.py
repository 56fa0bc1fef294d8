"""Ids of the prefix blocks of generations: equal ids mean equal content up to and including that block.

Generations of one answer share what their prompts have in common from the front, whole blocks of it; instructions at
the front are shared by all answers of a service.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from simulator.policies.decoding import QUESTION, Generation

FIRST_ID = 1 << 47
"""Ids from here on are of generations: above those of workloads, within those of a service."""

Slice = tuple[str | int, int, int]
"""Source, first token, tokens."""

Key = tuple[int, tuple[Slice, ...]]
"""The block before (-1: none) and what a block holds."""


class Instructions:
    """Ids of a service: a counter, and the blocks of instructions that every answer may begin with."""

    __slots__ = ("_ids", "block_tokens", "known", "shared")

    def __init__(self, block_tokens: int, shared: bool) -> None:
        self.block_tokens = block_tokens
        """Tokens per prefix block; 0: nothing is shared."""
        self.shared = shared
        """Whether answers share them."""
        self.known: dict[Key, int] = {}
        self._ids = count(FIRST_ID)

    def new(self) -> int:
        """Return an id that no block has."""
        return next(self._ids)


class AnswerIds:
    """Ids of one answer's blocks.

    Parameters
    ----------
    instructions
        Those of the service.
    question_ids
        Ids of the request's own prompt; empty where it has none.
    """

    __slots__ = ("_instructions", "_known", "_question_ids")

    def __init__(self, instructions: Instructions, question_ids: Sequence[int]) -> None:
        self._instructions = instructions
        self._question_ids = question_ids
        self._known: dict[Key, int] = {}

    def of(self, number: int, generation: Generation) -> list[int]:
        """Return the ids of a generation's whole blocks, prompt and output."""
        size = self._instructions.block_tokens
        if not size:
            return []
        if not generation.shares_kv:
            prompt = generation.prompt[0]
            return list(self._question_ids[: prompt.tokens // size]) if prompt.source == QUESTION else []
        ids: list[int] = []
        block: list[Slice] = []
        room, common = size, self._instructions.shared
        for source, tokens, start in (*generation.prompt, (number, generation.tokens, 0)):
            common = common and isinstance(source, str) and source != QUESTION
            left, at = tokens, start
            while left:
                take = min(room, left)
                if block and block[-1][0] == source and block[-1][1] + block[-1][2] == at:
                    block[-1] = (source, block[-1][1], block[-1][2] + take)
                else:
                    block.append((source, at, take))
                left -= take
                at += take
                room -= take
                if not room:
                    ids.append(self._id(ids[-1] if ids else -1, tuple(block), len(ids), common))
                    block = []
                    room = size
        return ids

    def _id(self, before: int, block: tuple[Slice, ...], place: int, common: bool) -> int:
        if block[0][0] == QUESTION and len(block) == 1 and place < len(self._question_ids):
            return self._question_ids[place]  # a question with ids stands in front
        known = self._instructions.known if common else self._known
        key = (before, block)
        found = known.get(key)
        if found is None:
            found = known[key] = self._instructions.new()
        return found
