"""The KV cache of one replica as a whole: what is admitted, shared, loaded and given back."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from simulator.policies.kv_loading import KvLoading, LoadPlan
from simulator.serving.decodes import Decodes
from simulator.serving.kv_cache import BlockPool
from simulator.serving.kv_tiers import KvTiers, Load, Segment
from simulator.serving.load_view import AdmissionView, check_plan
from simulator.serving.sequence import Sequence
from simulator.serving.step_cost import StepCost


class Admission(Enum):
    """What came of an attempt to admit a request."""

    ADMITTED = auto()
    NO_BUDGET = auto()
    """It has nothing to load and the coming step has no token budget left."""
    NO_MEMORY = auto()
    """Its prompt does not fit beside the sequences that are admitted."""


class KvManager:
    """Memory of a replica: paged blocks in the GPUs, prefix blocks in storage, and the loads between them.

    A prompt's blocks are reserved when it is admitted; decodes grow block by block. Prefix blocks are shared once
    their prompt is prefilled.

    Parameters
    ----------
    pool
        KV blocks in GPU memory.
    tiers
        Storage below it.
    policy
        KV-loading policy.
    cost
        Step cost, for the policy's view.
    port
        Number of the replica, by which it finds its own path to storage.
    block_tokens
        Tokens per KV block.
    prefix_block_tokens
        Tokens per hash id; 0 where requests carry none.
    step_tokens
        Token budget of a step.
    io_chunk_tokens
        Tokens per storage operation.
    write_through
        Write prefix blocks to the first tier once computed.
    draft_tokens
        Tokens of which a decode needs KV beyond its own.
    """

    __slots__ = (
        "_cost",
        "_decode_blocks",
        "_draft_tokens",
        "_io_chunk_tokens",
        "_pinned",
        "_policy",
        "_port",
        "_step_tokens",
        "_write_through",
        "block_tokens",
        "pool",
        "prefix_block_tokens",
        "tiers",
    )

    def __init__(
        self,
        pool: BlockPool,
        tiers: KvTiers,
        policy: KvLoading,
        cost: StepCost,
        port: int,
        block_tokens: int,
        prefix_block_tokens: int,
        step_tokens: int,
        io_chunk_tokens: int,
        write_through: bool,
        draft_tokens: int = 0,
    ) -> None:
        self.pool = pool
        self.tiers = tiers
        self.block_tokens = block_tokens
        self.prefix_block_tokens = prefix_block_tokens
        self._policy = policy
        self._cost = cost
        self._port = port
        self._step_tokens = step_tokens
        self._io_chunk_tokens = io_chunk_tokens
        self._write_through = write_through
        self._draft_tokens = draft_tokens
        self._decode_blocks = 0
        self._pinned: dict[object, list[int]] = {}

    def fits_alone(self, sequence: Sequence) -> bool:
        """Whether the request could ever be served: prompt and answer within the whole pool."""
        tokens = sequence.input_tokens + sequence.output_tokens - 1  # nobody reads the last one's KV
        tokens += self._draft_tokens
        return -(-tokens // self.block_tokens) <= self.pool.total_blocks

    def admit(
        self,
        sequence: Sequence,
        may_compute: bool,
        start_load: Callable[[Sequence, list[Segment], int], Load],
    ) -> Admission:
        """Try to admit a request: look its prefix up, ask the policy, reserve blocks, start the load.

        A request with KV to load is admitted even where the coming step has no budget left (`may_compute` False),
        so that loading starts on arrival; one that only computes would hold memory in vain.
        """
        if sequence.handover is not None:
            return self._admit_handed_over(sequence)
        pool = self.pool
        blocks = -(-sequence.prefill_to // self.block_tokens)
        ids: list[int] = []
        resident = 0
        plan: LoadPlan | None = None
        segments: list[Segment] = []
        if self.prefix_block_tokens and sequence.hash_ids:
            # The last token is always computed, to have something to sample from.
            ids = sequence.hash_ids[: (sequence.prefill_to - 1) // self.prefix_block_tokens]
            resident = pool.resident(ids) if pool.keep or sequence.in_parts else 0
            if self.tiers.tiers:
                segments = self.tiers.segments(ids[resident:])
                if segments:
                    plan = self._ask(sequence, segments, resident * self.prefix_block_tokens)
        loads = plan is not None and plan.load_from < sequence.stored_tokens
        if not loads and not may_compute:
            return Admission.NO_BUDGET
        shared = ids[:resident]
        blocks -= resident * pool.chunk_blocks
        pool.acquire(shared)
        if not pool.make_room(blocks):
            pool.release(shared)
            return Admission.NO_MEMORY

        pool.private_blocks += blocks
        sequence.private_blocks = blocks
        sequence.shared = shared
        sequence.position = resident * self.prefix_block_tokens
        sequence.resident_tokens += sequence.position
        sequence.compute_to = sequence.prefill_to
        if self.tiers.tiers:
            for index, count in segments:
                sequence.found_tokens[index] += count * self.prefix_block_tokens
        if plan is not None and loads:
            sequence.compute_to = plan.compute_to
            sequence.racing = plan.compute_to > plan.load_from
            sequence.yields = plan.yields
            sequence.overlaps = plan.overlap_layers
            self.tiers.touch(ids[resident:])
            sequence.load = start_load(sequence, segments, sequence.stored_tokens - plan.load_from)
        return Admission.ADMITTED

    def _admit_handed_over(self, sequence: Sequence) -> Admission:
        """Reserve blocks for KV that was computed elsewhere and is about to be sent."""
        blocks = -(-sequence.prefill_to // self.block_tokens)
        if not self.pool.make_room(blocks):
            return Admission.NO_MEMORY
        self.pool.private_blocks += blocks
        sequence.private_blocks = blocks
        sequence.position = sequence.compute_to = 0
        return Admission.ADMITTED

    def _ask(self, sequence: Sequence, segments: list[Segment], resident_tokens: int) -> LoadPlan:
        sequence.stored_tokens = resident_tokens + self.prefix_block_tokens * sum(
            count for _, count in segments
        )
        view = AdmissionView(
            self._cost,
            self.tiers,
            segments,
            self._port,
            sequence.prefill_to,
            resident_tokens,
            sequence.stored_tokens,
            self._step_tokens,
            self._io_chunk_tokens,
        )
        return check_plan(self._policy, self._policy.plan(view), view)

    def load(self, segments: list[Segment], tokens: int, on_done: Callable[[], None]) -> Load:
        """Start loading the last `tokens` tokens of a stored prefix."""
        return Load(self.tiers, segments, tokens, self._io_chunk_tokens, self._port, on_done)

    def share(self, sequence: Sequence, first_block: int, tokens: int) -> None:
        """Make prefix blocks from `first_block` on, within the first `tokens` tokens, available to others."""
        if not self.prefix_block_tokens or not sequence.hash_ids:
            return
        if not (self.pool.keep or sequence.in_parts):  # nobody shares, yet the tiers may get a copy
            if self._write_through:
                whole = sequence.hash_ids[first_block : tokens // self.prefix_block_tokens]
                self.tiers.write(whole, self._port)
            return
        added = self.pool.add(sequence.hash_ids[first_block : tokens // self.prefix_block_tokens])
        blocks = len(added) * self.pool.chunk_blocks
        sequence.private_blocks -= blocks
        self.pool.private_blocks -= blocks
        # A block that someone else has made available meanwhile stays a private copy of this sequence.
        sequence.shared = sequence.shared + added
        if self._write_through:
            self.tiers.write(added, self._port)

    def pin(self, owner: object, hash_ids: list[int]) -> None:
        """Keep the leading prefix blocks that are in GPU memory from being evicted; one pin per owner."""
        resident = hash_ids[: self.pool.resident(hash_ids)]
        if resident:
            self.pool.acquire(resident)
            self._pinned[owner] = resident

    def unpin(self, owner: object) -> None:
        """Give up what `owner` has pinned, if anything."""
        pinned = self._pinned.pop(owner, None)
        if pinned is not None:
            self.pool.release(pinned)

    def unpin_all(self) -> bool:
        """Give up all pins, because memory is short; whether there was one."""
        owners = list(self._pinned)
        for owner in owners:
            self.unpin(owner)
        return bool(owners)

    def reserve(self, decodes: Decodes, steps: int) -> bool:
        """Reserve what the decodes will hold after `steps` further steps; False, and as before, without room."""
        if not decodes:
            return self._reserve(0)
        return self._reserve(decodes.blocks_bound(steps)) or self._reserve(decodes.blocks(steps))

    def reserve_exactly(self, decodes: Decodes, steps: int) -> bool:
        """The same, to the block: worth its O(n) where an upper bound keeps others out."""
        return self._reserve(decodes.blocks(steps))

    def reserve_longest(self, decodes: Decodes, steps: int) -> int:
        """Reserve for as many of `steps` steps as there is room for, and return how many."""
        if self._reserve(decodes.blocks_bound(steps)):
            return steps
        low, high = 0, steps
        while low < high:
            middle = (low + high + 1) // 2
            if self._reserve(decodes.blocks(middle)):
                low = middle
            else:
                high = middle - 1
        return low

    def _reserve(self, blocks: int) -> bool:
        more = blocks - self._decode_blocks
        if more > 0 and not self.pool.make_room(more):
            return False
        self._decode_blocks = blocks
        self.pool.private_blocks += more
        return True

    def hand_to_decodes(self, sequence: Sequence) -> None:
        """Count a prefilled sequence's private blocks with the decodes from now on."""
        self._decode_blocks += sequence.private_blocks
        sequence.private_blocks = 0

    def take_from_decodes(self, sequence: Sequence, blocks: int) -> None:
        """Count `blocks` private blocks with the sequence itself again, because it stops decoding."""
        self._decode_blocks -= blocks
        sequence.private_blocks = blocks

    def release(self, sequence: Sequence) -> None:
        """Give back what a sequence holds, apart from what is reserved for decodes."""
        self.give_back(sequence.private_blocks, sequence.shared)
        sequence.private_blocks = 0
        sequence.shared = []

    def give_back(self, private_blocks: int, shared: list[int]) -> None:
        """Give back blocks that nobody else has, and references to shared ones."""
        self.pool.private_blocks -= private_blocks
        self.pool.release(shared)

    def clear(self) -> None:
        """Lose everything in GPU memory, pins and what is reserved for decodes included."""
        self._decode_blocks = 0
        self._pinned.clear()
        self.pool.clear()
