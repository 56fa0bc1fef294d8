"""One viewer: chunks become playable in order, and what is not there in time stalls."""

from __future__ import annotations

from collections import deque
from math import inf

from simulator.core import Table
from simulator.streaming.player import ROUNDING_S


class Viewer:
    """Playback on one phone, from its own buffer.

    Chunk k plays when it and all before it are there and the one before has been played. Nothing needs an event:
    until when the buffer lasts is known at each delivery.

    Parameters
    ----------
    name
        The phone.
    first
        First chunk that it plays.
    chunks, segment_s
        Number of chunks of the video, and their duration.
    startup_chunks
        Chunks in the buffer with which playback begins.
    now_s
        When the viewer begins to wait.
    table
        Gets one row per chunk that plays.
    """

    __slots__ = (
        "_chunks",
        "_coming",
        "_name",
        "_startup_chunks",
        "_table",
        "_waiting",
        "begun",
        "ends_s",
        "first",
        "has",
        "joined_s",
        "ready",
        "segment_s",
        "stall_s",
        "started_s",
        "stopped_s",
    )

    def __init__(
        self,
        name: str,
        first: int,
        chunks: int,
        segment_s: float,
        startup_chunks: int,
        now_s: float,
        table: Table,
    ) -> None:
        self._name, self._chunks, self._startup_chunks, self._table = name, chunks, startup_chunks, table
        self._waiting: list[tuple[int, float]] = []  # playable before playback has begun
        self._coming: deque[tuple[int, float, float, float]] = (
            deque()
        )  # rows of what has yet to begin to play
        self.segment_s = segment_s
        self.first = first
        """First chunk that it plays."""
        self.ready = first
        """All chunks from `first` up to here, exclusive, are there."""
        self.has: set[int] = set()
        """Chunks from `ready` on that are there already."""
        self.joined_s = now_s
        """When it began to wait."""
        self.started_s: float | None = None
        """When playback began."""
        self.ends_s = now_s
        """When it has played, or will have played, all that is ready."""
        self.stall_s = 0.0
        """Stalls so far, start-up apart."""
        self.begun = 0
        """Chunks recorded: once it has stopped, all that began to play."""
        self.stopped_s: float | None = None
        """When nobody watched any more: at the end, or when the phone left or died."""

    def deliver(self, chunk: int, now_s: float) -> None:
        """Take in a chunk.

        Raises
        ------
        ValueError
            Where it is there already: a chunk must not be delivered twice.
        """
        if chunk < self.ready or chunk in self.has:
            raise ValueError(f"chunk {chunk} was delivered to {self._name} twice")
        self.has.add(chunk)
        while self.ready in self.has:
            self.has.remove(self.ready)
            self._waiting.append((self.ready, now_s))
            self.ready += 1
        if self.started_s is None:
            if self.ready - self.first < self._startup_chunks and self.ready < self._chunks:
                return
            if self.ready == self.first:
                return
            self.started_s = self.ends_s = now_s
        self._write(now_s)
        for index, available_s in self._waiting:
            stall_s = now_s - self.ends_s
            if stall_s < ROUNDING_S:  # it came just in time
                stall_s = 0.0
            start_s = max(now_s, self.ends_s)
            self._coming.append((index, available_s, start_s, stall_s))
            self.stall_s += stall_s
            self.ends_s = start_s + self.segment_s
        self._waiting.clear()

    def _write(self, now_s: float) -> None:
        """Record what has begun to play before now."""
        coming = self._coming
        while coming and coming[0][2] < now_s:
            self._table.append(self._name, *coming.popleft())
            self.begun += 1

    def holds(self, chunk: int) -> bool:
        """Whether a chunk was delivered, or lies before what this viewer plays."""
        return chunk < self.ready or chunk in self.has

    def buffer_s(self, now_s: float) -> float:
        """Return how much playable video there is, in s."""
        if self.started_s is None:
            return (self.ready - self.first) * self.segment_s
        return max(self.ends_s - now_s, 0.0)

    def position_s(self, now_s: float) -> float:
        """Return what is played now, in s from the start of the video."""
        return self.ready * self.segment_s - self.buffer_s(now_s)

    def played_s(self, now_s: float) -> float:
        """Return how much video has been played, in s."""
        now_s = self.watched_until_s(now_s)
        return (self.ready - self.first) * self.segment_s - self.buffer_s(now_s)

    def watched_until_s(self, now_s: float) -> float:
        """Return the earlier one of now and when nobody watched any more."""
        return now_s if self.stopped_s is None else min(now_s, self.stopped_s)

    def stop(self, now_s: float) -> None:
        """Watch no longer; what has not begun to play by now never will."""
        self.stopped_s = now_s
        self._write(now_s)

    def stalled_s(self, now_s: float) -> float:
        """Return all stalls up to now, a running one included."""
        now_s = self.watched_until_s(now_s)
        running = self.started_s is not None and self.ready < self._chunks
        return self.stall_s + (max(now_s - self.ends_s, 0.0) if running else 0.0)

    def reaches_s(self, position_s: float, now_s: float) -> float:
        """Return when playback reaches a position; infinity where that takes chunks that are not there."""
        left_s = self.ready * self.segment_s - position_s
        if left_s < -1e-9 * self.segment_s:
            return inf
        if self.started_s is None:
            return now_s if position_s <= self.first * self.segment_s else inf
        return self.ends_s - left_s
