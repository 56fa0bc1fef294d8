"""The seam between the serving engine and a batching policy."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Batching(Protocol):
    """A batching policy: a frozen dataclass, registered with ``@register("batching", NAME)``.

    Every step holds one token of each decoding sequence first; prefill chunks fill what is left of the budget,
    in order of admission, and those that yield (see `LoadPlan.yields`) come last.
    """

    @property
    def token_budget(self) -> int | None:
        """Most tokens of a step; None: the engine's default."""

    @property
    def max_sequences(self) -> int | None:
        """Most sequences admitted at a time; None: the engine's default."""

    @property
    def varies(self) -> bool:
        """Whether the budget differs from step to step, so that `step_budget` must be asked at each."""

    def step_budget(self, rng: np.random.Generator) -> int:
        """Return the token budget of the coming step; asked only if `varies`."""
