"""The sequences that hold memory of a replica, by what comes next for each of them."""

from __future__ import annotations

from simulator.core import Environment
from simulator.serving.decodes import Decodes
from simulator.serving.handover import Handover
from simulator.serving.kv_manager import KvManager
from simulator.serving.loader import Loader
from simulator.serving.sequence import Sequence


class Batch:
    """Who has been admitted, and stands in which line: for a prefill chunk, for what is left, or with the decodes.

    A sequence that stands in none is on its way: its KV is being loaded, or the engine takes that over.

    Parameters
    ----------
    env
        The simulation's environment.
    kv
        KV cache of the replica.
    loader
        Its back pointers.
    decodes
        Its decodes, none as yet; None: such that each decodes one token per step.
    """

    __slots__ = ("_env", "_kv", "_loader", "admitted", "decodes", "leaving", "prefilling", "yielding")

    def __init__(
        self, env: Environment, kv: KvManager, loader: Loader, decodes: Decodes | None = None
    ) -> None:
        self._env = env
        self._kv = kv
        self._loader = loader
        self.admitted: dict[Sequence, None] = {}
        """All of them, in order of admission."""
        self.prefilling: list[Sequence] = []
        """May take a chunk of the coming step."""
        self.yielding: list[Sequence] = []
        """Likewise, from what the others leave."""
        self.leaving: dict[Sequence, Handover] = {}
        """Not of the batch any more: prefilled here, to be decoded elsewhere; they hold memory until they are there."""
        self.decodes = Decodes(kv.block_tokens, kv.pool.chunk_blocks) if decodes is None else decodes

    def line(self, sequence: Sequence) -> list[Sequence]:
        """Return the line in which a sequence stands when it may take a chunk."""
        return self.yielding if sequence.yields else self.prefilling

    def meet(self, sequence: Sequence) -> None:
        """Take a sequence out of its line if its pointers have met, or if the front is done and awaits the back."""
        line = self.line(sequence)
        met = self._loader.met(sequence)
        if met:
            sequence.log(self._env, "meet", sum(sequence.loaded_tokens))
        if (met or sequence.position >= sequence.compute_to) and sequence in line:
            line.remove(sequence)

    def front_moved(self, sequence: Sequence) -> bool:
        """Take note that the front pointer of a load has moved; whether it goes on into what nobody loads."""
        if not sequence.overlaps and sequence.position <= sequence.stored_tokens:
            self.meet(sequence)
            return False
        if sequence.racing:  # the front has come past the whole prefix: nothing is taken over
            self.line(sequence).remove(sequence)
            sequence.compute_to = sequence.prefill_to
            sequence.racing = sequence.yields = False
            self.prefilling.append(sequence)
        self._loader.end(sequence)
        sequence.overlaps = False
        return True

    def start_decoding(self, sequence: Sequence) -> None:
        """Let a prefilled sequence decode from the next step on."""
        self.decodes.join(sequence)
        self._kv.hand_to_decodes(sequence)

    def share_decoded(self, sequence: Sequence, tokens: int) -> None:
        """Share the blocks of a decode that has come to `tokens` tokens."""
        before = len(sequence.shared)
        self._kv.share(sequence, before, sequence.input_tokens + tokens - 1)
        self.decodes.shares(len(sequence.shared) - before)
        self._kv.hand_to_decodes(sequence)

    def leave(self, sequence: Sequence) -> None:
        """Take a sequence out whose answer is complete, and share its blocks; it still holds them."""
        kv = self._kv
        if kv.prefix_block_tokens:
            kv.share(
                sequence,
                sequence.input_tokens // kv.prefix_block_tokens,
                sequence.input_tokens + sequence.output_tokens - 1,
            )
        del self.admitted[sequence]

    def set_aside(self, handover: Handover) -> None:
        """Take a prefilled sequence out that will be decoded elsewhere; its KV stays."""
        sequence = handover.sequence
        handover.private_blocks, handover.shared = sequence.private_blocks, sequence.shared
        sequence.private_blocks, sequence.shared = 0, []
        del self.admitted[sequence]
        self.leaving[sequence] = handover

    def let_go(self, handover: Handover) -> None:
        """Give the memory back of a sequence that was set aside."""
        del self.leaving[handover.sequence]
        self._kv.give_back(handover.private_blocks, handover.shared)

    def remove(self, victim: Sequence) -> None:
        """Take a sequence out before its end, wherever it stands, and give its memory back."""
        del self.admitted[victim]
        if victim.load is not None:
            self._loader.end(victim)
        if victim.join_call is not None:
            victim.join_call.cancel()
        line = self.line(victim)
        if victim in line:
            line.remove(victim)
        if self.decodes.remove(victim):
            self._kv.take_from_decodes(victim, self.decodes.held_blocks(victim))
        self._kv.release(victim)

    def clear(self) -> int:
        """Lose all of them with the memory, also who is leaving; return the tokens of KV that they held."""
        held_tokens = 0
        for sequence in self.admitted:
            held_tokens += sequence.position - sequence.generated_tokens
            if sequence.load is not None:
                self._loader.end(sequence)
            if sequence.join_call is not None:
                sequence.join_call.cancel()
        self.decodes.clear()
        held_tokens += sum(sequence.prefill_to for sequence in self.leaving)
        self.leaving.clear()
        for sequence in self.admitted:
            held_tokens += sequence.generated_tokens
        self.admitted.clear()
        self.prefilling.clear()
        self.yielding.clear()
        return held_tokens
