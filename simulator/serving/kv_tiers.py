"""The storage tiers below GPU memory, as one service sees them: look-up, loads, write-back and cascades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulator.serving.storage import AnyTransfer, Block, StorageDevice

NAMESPACE = 1 << 48
"""Distance between the hash ids of two services that share a storage device."""

Segment = tuple[int, int]
"""A run of stored prefix blocks in one tier: (tier index, blocks)."""


class KvTiers:
    """An ordered stack of storage devices, fastest first.

    A prefix block evicted from GPU memory is written to the first tier unless some tier holds it already; what a
    tier drives out moves on to the next, and out of the last it is lost. A block can be found once its write has
    completed. Only the write to the receiving tier is charged; the read from the tier above goes on behind it.

    Parameters
    ----------
    tiers
        Storage devices, fastest first.
    namespace
        Added to every hash id, so that services that share a device do not mistake each other's blocks: a multiple
        of `NAMESPACE`, one for each service.
    block_tokens
        Tokens per prefix block.
    token_bytes
        Stored bytes per token.
    operation_bytes
        Bytes per storage operation.
    """

    __slots__ = (
        "_namespace",
        "_writing",
        "block_bytes",
        "block_tokens",
        "operation_bytes",
        "tiers",
        "token_bytes",
    )

    def __init__(
        self,
        tiers: Sequence[StorageDevice],
        namespace: int,
        block_tokens: int,
        token_bytes: float,
        operation_bytes: float,
    ) -> None:
        self.tiers = tuple(tiers)
        self.block_tokens = block_tokens
        self.token_bytes = token_bytes
        self.block_bytes = block_tokens * token_bytes
        self.operation_bytes = operation_bytes
        self._namespace = namespace
        self._writing: set[int] = set()
        for tier in self.tiers:
            tier.owners[namespace // NAMESPACE] = self

    def segments(self, hash_ids: Sequence[int]) -> list[Segment]:
        """Return where the leading ids lie, as runs of blocks in one tier, up to the first that no tier holds."""
        found: list[Segment] = []
        stores = [tier.held for tier in self.tiers]
        tiers = len(stores)
        namespace = self._namespace
        last, count = -1, 0
        for hash_id in hash_ids:
            block = hash_id + namespace
            index = 0
            while index < tiers and block not in stores[index]:
                index += 1
            if index == tiers:
                break
            if index != last:
                if count:
                    found.append((last, count))
                last, count = index, 0
            count += 1
        if count:
            found.append((last, count))
        return found

    def touch(self, hash_ids: Sequence[int]) -> None:
        """Mark blocks as just used, in every tier that holds them."""
        namespace = self._namespace
        blocks = [hash_id + namespace for hash_id in hash_ids]
        for tier in self.tiers:
            tier.touch(blocks)

    def preload(self, tier_name: str, hash_ids: Sequence[int]) -> int:
        """Store blocks before the run starts, at no cost; return how many blocks that drove out of the tier."""
        tier = next(tier for tier in self.tiers if tier.name == tier_name)
        return len(tier.insert(self._blocks(hash_ids)))

    def write(self, hash_ids: Sequence[int], port: int) -> None:
        """Write prefix blocks that no tier holds to the first tier."""
        if not self.tiers:
            return
        writing = self._writing
        blocks = [block for block in self._blocks(hash_ids) if block[0] not in writing]
        for tier in self.tiers:
            held = tier.held
            blocks = [block for block in blocks if block[0] not in held]
        self._write(0, blocks, port)

    def _blocks(self, hash_ids: Sequence[int]) -> list[Block]:
        namespace, size = self._namespace, self.block_bytes
        return [(hash_id + namespace, size) for hash_id in hash_ids]

    def _write(self, index: int, blocks: list[Block], port: int) -> None:
        while index < len(self.tiers) and self.tiers[index].down:
            index += 1  # what a failed tier cannot take goes past it
        if not blocks or index == len(self.tiers):
            return
        tier = self.tiers[index]
        failures = tier.failures
        self._writing.update(block for block, _ in blocks)

        def stored() -> None:
            evicted: dict[int, list[Block]] = {}
            self._writing.difference_update(block for block, _ in blocks)
            if tier.failures != failures:
                return  # what was being written is lost
            for lost in tier.insert(blocks):
                evicted.setdefault(lost[0] // NAMESPACE, []).append(lost)
            for namespace, lost_blocks in evicted.items():
                owner = tier.owners[namespace]  # whoever it belongs to has its own next tier
                owner._write(owner.tiers.index(tier) + 1, lost_blocks, port)

        tier.write(port, sum(size for _, size in blocks), self.operation_bytes, stored)


class Piece(NamedTuple):
    """What a load has brought from one tier in one go."""

    tier: int
    """Index of the tier."""
    start_s: float
    """When it was asked for."""
    end_s: float
    """When it had arrived or was stopped."""
    before: int
    """Tokens, from the end of the prefix, that had been loaded before."""
    tokens: int
    """Tokens that it has brought."""


class Load:
    """The back pointer of one request: loads a stored prefix from its end, tier by tier.

    Parameters
    ----------
    tiers
        The service's stack.
    segments
        What is stored, front first.
    tokens
        Tokens to load, counted from the end of `segments`.
    io_chunk_tokens
        Tokens per storage operation; progress counts whole operations.
    port
        GPU group that loads.
    on_done
        Called when all `tokens` have arrived.
    """

    __slots__ = (
        "_before",
        "_on_done",
        "_pending",
        "_pieces",
        "_port",
        "_since_s",
        "_tier_index",
        "_transfer",
        "done_s",
        "io_chunk_tokens",
        "lost",
        "tiers",
        "tokens",
        "tokens_by_tier",
    )

    def __init__(
        self,
        tiers: KvTiers,
        segments: Sequence[Segment],
        tokens: int,
        io_chunk_tokens: int,
        port: int,
        on_done: Callable[[], None],
    ) -> None:
        self.tiers = tiers
        self.tokens = tokens
        self.io_chunk_tokens = io_chunk_tokens
        self.tokens_by_tier = [0] * len(tiers.tiers)
        """Tokens that have arrived from each tier; final once the load has ended."""
        self.done_s: float | None = None
        """When all tokens had arrived; None while it loads or if it was cut short."""
        self.lost = False
        """Whether a tier has failed that it was to read from, so that `tokens` are fewer than it was asked for."""
        self._port = port
        self._on_done = on_done
        self._before = 0
        self._pieces: list[Piece] = []
        self._since_s = 0.0
        self._transfer: AnyTransfer | None = None
        self._tier_index = -1
        self._pending: list[Segment] = tail_pieces(segments, tokens, tiers.block_tokens)
        self._next()

    def _next(self) -> None:
        index, tokens = self._pending[-1]
        self._tier_index = index
        self._since_s = self.tiers.tiers[index].env.now
        self._transfer = self.tiers.tiers[index].read(
            self._port,
            tokens * self.tiers.token_bytes,
            self.io_chunk_tokens * self.tiers.token_bytes,
            self._arrived,
        )

    def _arrived(self) -> None:
        index, tokens = self._pending.pop()
        self._account(index, tokens)
        self._before += tokens
        self._transfer = None
        if self._pending:
            self._next()
        else:
            self.done_s = self.tiers.tiers[index].env.now
            self._on_done()

    def _account(self, index: int, tokens: int) -> None:
        tier = self.tiers.tiers[index]
        self.tokens_by_tier[index] += tokens
        tier.read_bytes += tokens * self.tiers.token_bytes
        self._pieces.append(Piece(index, self._since_s, tier.env.now, self._before, tokens))

    def pieces(self) -> list[Piece]:
        """Return what has been loaded, in order; the last piece may be under way."""
        if self._transfer is None:
            return self._pieces
        index = self._tier_index
        now = self.tiers.tiers[index].env.now
        arrived = self.loaded_tokens() - self._before
        return [*self._pieces, Piece(index, self._since_s, now, self._before, arrived)]

    @property
    def done(self) -> bool:
        """Whether everything has arrived."""
        return self.done_s is not None

    def loaded_tokens(self) -> int:
        """Return the tokens, from the end of the prefix, whose KV has arrived: whole operations only."""
        if self._transfer is None:
            return self._before
        current = self._pending[-1][1]
        return self._before + min(current, self._transfer.operations_done() * self.io_chunk_tokens)

    def remaining_s(self, tokens: int) -> float:
        """Return the time until `tokens` tokens in all have arrived at the present rates, in s."""
        transfer = self._transfer
        if transfer is None or tokens <= self._before:
            return 0.0
        now = self.tiers.tiers[self._tier_index].env.now
        rest_s = 0.0
        reach = self._before + self._pending[-1][1]
        for index, size in reversed(self._pending[:-1]):
            if tokens <= reach:
                break
            share = min(size, self._whole(tokens - reach))
            rest_s += self.tiers.tiers[index].estimate_s(
                self._port, share * self.tiers.token_bytes, self.io_chunk_tokens * self.tiers.token_bytes
            )
            reach += size
        wanted = min(self._whole(tokens - self._before), self._pending[-1][1])
        return transfer.reach_s(wanted * self.tiers.token_bytes) - now + rest_s

    def _whole(self, tokens: int) -> int:
        """Round up to whole operations: what has arrived of one counts when all of it has."""
        return -(-tokens // self.io_chunk_tokens) * self.io_chunk_tokens

    def surely_before(self, tokens: int, time_s: float) -> bool:
        """Whether fewer than `tokens` tokens will certainly have arrived by `time_s`, whatever others do."""
        transfer = self._transfer
        if transfer is None:
            return tokens > self.tokens
        wanted = min(tokens - self._before, self._pending[-1][1])
        if wanted <= 0:
            return False
        return transfer.earliest(wanted * self.tiers.token_bytes) > time_s

    def limit(self, tokens: int) -> None:
        """Load no more than `tokens` tokens, rounded up to whole operations: the front pointer has the rest."""
        tokens = self._whole(tokens)
        transfer = self._transfer
        if transfer is None or tokens >= self.tokens:
            return
        self.tokens = tokens = max(tokens, self._before)
        left = tokens - self._before
        kept: list[Segment] = []
        for index, size in reversed(self._pending):
            if left > 0 or not kept:
                kept.append((index, min(size, left)))
                left -= kept[-1][1]
        kept.reverse()
        self._pending = kept
        transfer.shorten(kept[-1][1] * self.tiers.token_bytes)

    def reads(self, tier: int) -> bool:
        """Whether something is still to come from a tier."""
        return any(index == tier for index, _ in self._pending)

    def lose(self, tier: int) -> None:
        """Make do without what is still to come from a tier that has failed, and what lies before that."""
        self.lost = True
        pending = self._pending
        if pending[-1][0] == tier:
            arrived = self.loaded_tokens()
            self.cancel()
            self.tokens = self._before = arrived
        else:
            while any(index == tier for index, _ in pending):
                del pending[0]
            self.tokens = self._before + sum(size for _, size in pending)

    def cancel(self) -> None:
        """Stop loading; what is under way in the current operation is thrown away."""
        transfer = self._transfer
        if transfer is None:
            return
        index, _ = self._pending[-1]
        self._account(index, self.loaded_tokens() - self._before)
        self.tiers.tiers[index].cancel(self._port, transfer)
        self._transfer = None
        self._pending.clear()


def tail_pieces(segments: Sequence[Segment], tokens: int, block_tokens: int) -> list[Segment]:
    """Return (tier index, tokens) of the last `tokens` tokens of `segments`, front first."""
    pieces: list[Segment] = []
    left = tokens
    for index, blocks in reversed(segments):
        size = min(left, blocks * block_tokens)
        if size <= 0:
            break
        pieces.append((index, size))
        left -= size
    pieces.reverse()
    return pieces
