"""Decoding sequences that advance by as many tokens per step as are accepted of a draft.

How many steps a sequence takes is drawn when it begins to decode; in between its context grows evenly, so that all that
decode still advance together, steps stay linear in their number, and a run of them has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from math import ceil

import numpy as np

from simulator.serving.decodes import Decodes
from simulator.serving.sequence import Sequence

_WHOLE = 1e-6
"""What is so close above a whole number of tokens is that number."""


def draw_steps(rng: np.random.Generator, tokens: int, draft_tokens: int, acceptance: float) -> int:
    """Return in how many steps `tokens` tokens are decoded.

    A step brings one token and as many drafted ones as are accepted in a row: each with chance `acceptance`,
    independently (as Leviathan et al. 2023 assume), up to `draft_tokens`.
    """
    if acceptance == 1.0:
        return -(-tokens // (draft_tokens + 1))
    brought = np.minimum(rng.geometric(1.0 - acceptance, tokens), draft_tokens + 1)
    return int(np.searchsorted(np.cumsum(brought), tokens)) + 1


class SpeculativeDecodes(Decodes):
    """The decode part of the batch, with drafts (other parameters: `Decodes`).

    Parameters
    ----------
    draft_tokens
        Tokens that are drafted per step and sequence; a step needs room for their KV too.
    acceptance
        Chance that one is accepted.
    luck
        Returns the random numbers of a sequence.
    """

    __slots__ = ("_acceptance", "_draft_tokens", "_growth_tokens", "_luck")

    def __init__(
        self,
        block_tokens: int,
        chunk_blocks: int,
        draft_tokens: int,
        acceptance: float,
        luck: Callable[[Sequence], np.random.Generator],
    ) -> None:
        super().__init__(block_tokens, chunk_blocks)
        self.width = draft_tokens + 1
        self._draft_tokens = draft_tokens
        self._acceptance = acceptance
        self._luck = luck
        self._growth_tokens = 0.0

    def growth_tokens(self) -> float:
        """Return how many tokens more each step attends to than the one before it."""
        return self._growth_tokens

    def join(self, sequence: Sequence) -> None:
        """Let a sequence decode from the next step on."""
        tokens = sequence.stop_tokens - sequence.generated_tokens
        steps = draw_steps(self._luck(sequence), tokens, self._draft_tokens, self._acceptance)
        sequence.pace = tokens / steps
        self._growth_tokens += sequence.pace
        self._enter(sequence)
        heappush(self.heap, (self.clock + steps, self._joined, sequence))

    def advance(self, steps: int) -> None:
        """Let each sequence advance by `steps` steps."""
        self.clock += steps
        self.context_tokens += steps * self._growth_tokens

    def clear(self) -> None:
        """Take all sequences out before their end."""
        super().clear()
        self._growth_tokens = 0.0

    def _leave(self, sequence: Sequence) -> None:
        super()._leave(sequence)
        self._growth_tokens -= sequence.pace
        if not self.heap:  # nothing is left over of rounding
            self._growth_tokens = 0.0
            self.context_tokens = 0.0

    def _decoded(self, sequence: Sequence) -> int:
        return int(self._advanced(sequence, self.clock) + _WHOLE)

    def _advanced(self, sequence: Sequence, clock: int) -> float:
        return sequence.pace * (clock - sequence.join_clock)

    def _kv_tokens(self, sequence: Sequence, clock: int) -> int:
        return (
            ceil(sequence.join_context + self._advanced(sequence, clock) - 1.0 - _WHOLE) + self._draft_tokens
        )

    def blocks_bound(self, steps: int) -> int:
        """Return an upper bound of the private KV blocks of all sequences after `steps` further steps. O(1)."""
        size = self._block_tokens
        tokens = self.context_tokens + steps * self._growth_tokens
        tokens += len(self.heap) * (self._draft_tokens + size - 1) + 1.0  # rounding
        return ceil(tokens) // size - self._shared_blocks
