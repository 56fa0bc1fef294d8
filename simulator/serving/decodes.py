"""All decoding sequences of a replica at once.

They advance together, one token each per step. So one clock counts the steps of all, a sequence is known by the value
of the clock at which it stops next (its end, or a token that others wait for), and no token is ever touched: a change
costs O(log n), a step nothing.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from simulator.serving.sequence import GenerationSequence, Sequence


class Decodes:
    """The decode part of the batch.

    Parameters
    ----------
    block_tokens
        Tokens per KV block.
    chunk_blocks
        KV blocks per prefix block.
    """

    __slots__ = (
        "_block_tokens",
        "_chunk_blocks",
        "_joined",
        "_shared_blocks",
        "clock",
        "context_tokens",
        "heap",
        "width",
    )

    def __init__(self, block_tokens: int, chunk_blocks: int) -> None:
        self._block_tokens = block_tokens
        self._chunk_blocks = chunk_blocks
        self._joined = 0  # sequences that have joined so far: the number settles ties in the heap
        self._shared_blocks = 0  # KV blocks that they hold as prefix blocks
        self.heap: list[tuple[int, int, Sequence]] = []
        """(clock of its next stop or its end, order of joining, sequence)."""
        self.clock = 0
        """Decode steps done."""
        self.context_tokens = 0.0
        """Tokens that the next step attends to, all sequences together."""
        self.width = 1
        """Tokens of a step's budget that each sequence takes."""

    def __len__(self) -> int:
        return len(self.heap)

    def join(self, sequence: Sequence) -> None:
        """Let a sequence decode from the next step on."""
        self._enter(sequence)
        stops = self.clock + sequence.stop_tokens - sequence.generated_tokens
        heappush(self.heap, (stops, self._joined, sequence))

    def _enter(self, sequence: Sequence) -> None:
        sequence.join_clock = self.clock
        sequence.join_context = sequence.prefill_to + 1
        self.context_tokens += sequence.join_context
        self._shared_blocks += len(sequence.shared) * self._chunk_blocks
        self._joined += 1

    def growth_tokens(self) -> float:
        """Return how many tokens more each step attends to than the one before it."""
        return len(self.heap)

    def advance(self, steps: int) -> None:
        """Decode `steps` tokens of each sequence."""
        self.clock += steps
        self.context_tokens += steps * len(self.heap)

    def stopped(self) -> list[tuple[Sequence, int]]:
        """Return the sequences that have come to a stop, with the tokens decoded; take out those at their end."""
        heap = self.heap
        stopped: list[tuple[Sequence, int]] = []
        while heap and heap[0][0] <= self.clock:
            _, order, sequence = heappop(heap)
            tokens = sequence.stop_tokens
            if tokens < sequence.output_tokens:
                assert isinstance(sequence, GenerationSequence)
                sequence.pass_stop()
                clock = sequence.join_clock + sequence.stop_tokens - sequence.generated_tokens
                heappush(heap, (clock, order, sequence))
            else:
                self._leave(sequence)
                sequence.generated_tokens = tokens
            stopped.append((sequence, tokens))
        return stopped

    def shares(self, blocks: int) -> None:
        """Note that a sequence holds `blocks` more of its prefix blocks shared."""
        self._shared_blocks += blocks * self._chunk_blocks

    def remove(self, victim: Sequence) -> bool:
        """Take a sequence out before its end; False where it does not decode. O(n)."""
        for place, entry in enumerate(self.heap):
            if entry[2] is victim:
                self.heap[place] = self.heap[-1]
                self.heap.pop()
                heapify(self.heap)
                self._leave(victim)
                victim.generated_tokens += self._decoded(victim)
                return True
        return False

    def clear(self) -> None:
        """Take all sequences out before their end."""
        for _, _, sequence in self.heap:
            sequence.generated_tokens += self._decoded(sequence)
        self.heap.clear()
        self.context_tokens = 0.0
        self._shared_blocks = 0

    def _leave(self, sequence: Sequence) -> None:
        self.context_tokens -= sequence.join_context + self._advanced(sequence, self.clock)
        self._shared_blocks -= len(sequence.shared) * self._chunk_blocks

    def _decoded(self, sequence: Sequence) -> int:
        """Return the tokens that a sequence has decoded here."""
        return self.clock - sequence.join_clock

    def _advanced(self, sequence: Sequence, clock: int) -> float:
        """Return by how many tokens the context of a sequence has grown here by a value of the clock."""
        return clock - sequence.join_clock

    def _kv_tokens(self, sequence: Sequence, clock: int) -> int:
        """Return the tokens that a sequence has KV of by a value of the clock."""
        return sequence.join_context + clock - sequence.join_clock - 1

    def held_blocks(self, sequence: Sequence) -> int:
        """Return the private KV blocks of a sequence that has decoded up to now."""
        tokens = self._kv_tokens(sequence, self.clock)
        return -(-tokens // self._block_tokens) - len(sequence.shared) * self._chunk_blocks

    def blocks_bound(self, steps: int) -> int:
        """Return an upper bound of the private KV blocks of all sequences after `steps` further steps. O(1)."""
        size = self._block_tokens
        tokens = self.context_tokens + len(self.heap) * (steps - 1 + size - 1)
        return int(tokens // size) - self._shared_blocks

    def blocks(self, steps: int) -> int:
        """Return the private KV blocks of all sequences after `steps` further steps, counted one by one. O(n)."""
        size = self._block_tokens
        ahead = self.clock + steps
        blocks = sum(-(-self._kv_tokens(sequence, ahead) // size) for _, _, sequence in self.heap)
        return blocks - self._shared_blocks
