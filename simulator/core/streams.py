"""Named random streams: every source of randomness has its own, so that one does not shift another."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from simulator.core.errors import CoreError


@dataclass(frozen=True, slots=True)
class Streams:
    """All random streams of one replication.

    Two runs with the same seed and replication see the same numbers in the streams of the same names,
    whatever else they draw: this is what gives policies under comparison the same arrivals (common random
    numbers).
    """

    seed: int
    """Root of every stream, at least 0."""
    replication: int = 0
    """Which independent repetition, at least 0."""

    def __post_init__(self) -> None:
        if self.seed < 0 or self.replication < 0:
            raise CoreError(
                f"seed and replication must be at least 0, not {self.seed} and {self.replication}"
            )

    def stream(self, name: str) -> np.random.Generator:
        """Return a generator at the beginning of the stream `name`.

        Nothing is remembered: the same name twice gives two generators of the *same* numbers. Ask once and
        keep the generator, or use two names.
        """
        key = (self.replication, crc32(name.encode()))
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
