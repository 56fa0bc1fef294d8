"""KV cache in GPU memory: paged blocks of one replica, shared between equal prefixes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence


class BlockPool:
    """Accounts for every KV block of a replica: private, shared, or kept for reuse.

    Private blocks belong to one sequence. Shared ones belong to a prefix block (`chunk_blocks` KV blocks with one
    hash id) and carry a reference count; at zero references the prefix block stays until its room is needed, the
    least recently used first. Blocks are conserved: private + shared + free = total (checked by tests).

    Parameters
    ----------
    total_blocks
        Capacity in KV blocks.
    chunk_blocks
        KV blocks per prefix block; 0 where requests carry no hash ids.
    keep
        Whether unreferenced prefix blocks stay for reuse.
    on_evict
        Told the hash ids that lose their place, oldest first.
    """

    __slots__ = (
        "_idle",
        "_on_evict",
        "_references",
        "chunk_blocks",
        "keep",
        "private_blocks",
        "total_blocks",
    )

    def __init__(
        self,
        total_blocks: int,
        chunk_blocks: int,
        keep: bool,
        on_evict: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        self.total_blocks = total_blocks
        self.chunk_blocks = chunk_blocks
        self.keep = keep
        self.private_blocks = 0
        """KV blocks that belong to one sequence each; the engine keeps this up to date."""
        self._references: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._on_evict = on_evict

    @property
    def shared_blocks(self) -> int:
        """KV blocks of prefix blocks, in use or kept."""
        return len(self._references) * self.chunk_blocks

    @property
    def free_blocks(self) -> int:
        """KV blocks that hold nothing."""
        return self.total_blocks - self.private_blocks - self.shared_blocks

    @property
    def used_blocks(self) -> int:
        """KV blocks in use by a sequence; kept ones that nobody uses are not counted."""
        return self.private_blocks + (len(self._references) - len(self._idle)) * self.chunk_blocks

    def resident(self, hash_ids: Sequence[int]) -> int:
        """Return how many leading ids are here."""
        references = self._references
        count = 0
        for hash_id in hash_ids:
            if hash_id not in references:
                break
            count += 1
        return count

    def acquire(self, hash_ids: Iterable[int]) -> None:
        """Take a reference to prefix blocks that are here."""
        references, idle = self._references, self._idle
        for hash_id in hash_ids:
            references[hash_id] += 1
            if references[hash_id] == 1:
                del idle[hash_id]

    def add(self, hash_ids: Iterable[int]) -> list[int]:
        """Turn private blocks into shared ones with one reference; return the ids that were not here already.

        The caller takes the blocks of the returned ids off `private_blocks`; the others stay private copies.
        """
        references = self._references
        added = []
        for hash_id in hash_ids:
            if hash_id not in references:
                references[hash_id] = 1
                added.append(hash_id)
        return added

    def release(self, hash_ids: Sequence[int]) -> None:
        """Give references back. The tail of a prefix becomes evictable before its front, as it is of less use."""
        references, idle = self._references, self._idle
        for hash_id in reversed(hash_ids):
            references[hash_id] -= 1
            if not references[hash_id]:
                if self.keep:
                    idle[hash_id] = None
                else:
                    del references[hash_id]

    def clear(self) -> None:
        """Lose everything: nobody is told, nothing is written to storage."""
        self.private_blocks = 0
        self._references.clear()
        self._idle.clear()

    def make_room(self, blocks: int) -> bool:
        """Evict unreferenced prefix blocks until `blocks` are free; False, and nothing evicted, if impossible."""
        missing = blocks - self.free_blocks
        if missing <= 0:
            return True
        if missing > len(self._idle) * self.chunk_blocks:
            return False
        evicted = []
        for _ in range(-(-missing // self.chunk_blocks)):
            hash_id, _none = self._idle.popitem(last=False)
            del self._references[hash_id]
            evicted.append(hash_id)
        if self._on_evict is not None:
            self._on_evict(evicted)
        return True
