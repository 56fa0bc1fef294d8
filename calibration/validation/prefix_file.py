"""A prompt's KV cache in a file, in the order in which a back pointer reads it, and the thread that reads it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from calibration.bench.transformer import Tensor

_MOST_VECTORS = 1024
"""Pieces of memory that one read may fill (IOV_MAX on Linux)."""


class PrefixFile:
    """KV of the first `tokens` tokens of a KV cache, one record per I/O chunk, the prefix's tail first.

    A record holds keys and values of every layer and head, and one read puts it straight into the cache.

    Parameters
    ----------
    path
        A new file. It has no name any more once it is written, and goes away with this object.
    cache
        ``[layers, 2, 1, kv_heads, context, head_dim]`` on the CPU; it is written from here and read back into it.
    tokens
        Length of the prefix.
    chunk_tokens
        Tokens per record; the record of the prefix's front holds what is left.
    """

    def __init__(self, path: Path, cache: Tensor, tokens: int, chunk_tokens: int) -> None:
        self.tokens = tokens
        ends = range(tokens, 0, -chunk_tokens)
        self.starts = [max(0, end - chunk_tokens) for end in ends]
        """First token of each record."""
        self.record_bytes = [0] * len(ends)
        """Size of each record."""
        self._offsets: list[int] = []
        array = cache.numpy()[:, :, 0]
        heads = array.reshape(-1, *array.shape[3:])  # a view: [layers * 2 * kv_heads, context, head_dim]
        if len(heads) > _MOST_VECTORS:
            raise ValueError(f"{len(heads)} heads and layers in one record; allowed: {_MOST_VECTORS}")
        self._pieces = [
            [memoryview(head[start:end]).cast("B") for head in heads]
            for start, end in zip(self.starts, ends, strict=True)
        ]
        with path.open("xb", buffering=0) as file:
            for number, pieces in enumerate(self._pieces):
                self._offsets.append(file.tell())
                self.record_bytes[number] = os.writev(file.fileno(), pieces)
        self._file = os.open(path, os.O_RDONLY)
        path.unlink()  # it lives as long as it is open

    def read(self, record: int) -> None:
        """Read a record into the cache; raises OSError where the file has lost its end."""
        if os.preadv(self._file, self._pieces[record], self._offsets[record]) != self.record_bytes[record]:
            raise OSError("the file of the prefix has become shorter")

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class BackPointer(threading.Thread):
    """Reads records one after another, through a throttle, until it meets the front pointer or is stopped.

    A record counts as there when a channel of the given bandwidth would have moved its last byte, and not before it
    has really been read. Waiting costs no processor time.

    Parameters
    ----------
    file
        What to read.
    bandwidth_bytes_per_s
        Rate of the throttle.
    start_s
        When the first byte may move, on the clock of `time.perf_counter`.
    """

    def __init__(self, file: PrefixFile, bandwidth_bytes_per_s: float, start_s: float) -> None:
        super().__init__(daemon=True)
        self.position = file.tokens
        """Everything of the prefix from here on is in the cache."""
        self.front = 0
        """Everything before this has been computed, so that it need not be read; set by the compute loop."""
        self.failure: OSError | None = None
        """Why reading has ended early."""
        self._file = file
        self._bandwidth = bandwidth_bytes_per_s
        self._start_s = start_s
        self._stopped = threading.Event()

    def run(self) -> None:
        """Read; called by the thread."""
        moved = 0
        try:
            for record, first_token in enumerate(self._file.starts):
                if self.front >= self.position:
                    return
                self._file.read(record)
                moved += self._file.record_bytes[record]
                due_s = self._start_s + moved / self._bandwidth
                if self._stopped.wait(max(0.0, due_s - time.perf_counter())):
                    return
                self.position = first_token
        except OSError as error:
            self.failure = error

    def finish(self, stop: bool) -> None:
        """Wait until the thread has ended, at once where `stop`; raises the OSError that ended it early."""
        if stop:
            self._stopped.set()
        self.join()
        if self.failure is not None:
            raise self.failure
