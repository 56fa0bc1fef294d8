"""A run: equal engine steps in a row, whose total time is known in advance."""

from __future__ import annotations

import math

from simulator.serving.sequence import Sequence


class Run:
    """The steps under way: `steps` of them from `start_s`, the first of `step_s`, each one `growth_s` longer.

    A replica has one and fills it anew for each run.
    """

    __slots__ = (
        "chunks",
        "growth_s",
        "left",
        "new",
        "pairs",
        "share",
        "start_s",
        "step_s",
        "steps",
        "yields",
    )

    def __init__(self) -> None:
        self.start_s = 0.0
        self.share = 1.0
        """Share of the GPU that its steps have."""
        self.steps = 0
        """Steps of the run; 0 while the first step is still to be formed."""
        self.step_s = 0.0
        self.growth_s = 0.0
        self.chunks: list[tuple[Sequence, int]] = []
        """Sequences that prefill, and the tokens of each that every step computes."""
        self.new = 0
        """Tokens that each step computes, decodes included."""
        self.pairs = 0.0
        """Query-key pairs of the first step's chunks."""
        self.left = 0
        """Token budget that every step leaves unused."""
        self.yields = False
        """Whether a chunk would give way to a newcomer."""

    def clear(self) -> None:
        """Hold nothing: whatever is done now, the next step is still to be formed."""
        self.steps = 0
        self.chunks = []
        self.new = self.left = 0
        self.pairs = 0.0
        self.yields = False

    def add(self, sequence: Sequence, tokens: int, pairs: float) -> None:
        """Let every step prefill `tokens` tokens of a sequence, `pairs` query-key pairs in the first one."""
        self.chunks.append((sequence, tokens))
        self.left -= tokens
        self.new += tokens
        self.pairs += pairs
        self.yields = self.yields or sequence.yields

    def duration_s(self, steps: int) -> float:
        """Return the time of the first `steps` steps, in s."""
        return steps * self.step_s + 0.5 * self.growth_s * steps * (steps - 1)

    def ended_steps(self, elapsed_s: float) -> int:
        """Return how many steps have ended `elapsed_s` after the start; none while one of them awaits a load."""
        if not self.steps or any(it.overlaps and it.load is not None for it, _ in self.chunks):
            return 0
        steps = self.step_at(elapsed_s)
        return steps - 1 if self.duration_s(steps) > elapsed_s else steps

    def step_at(self, elapsed_s: float) -> int:
        """Return the number, from 1 on, of the first step that ends `elapsed_s` after the start or later."""
        linear_s = self.step_s - 0.5 * self.growth_s
        if self.growth_s > 0.0:
            root = math.sqrt(linear_s * linear_s + 2.0 * self.growth_s * elapsed_s)
            steps = int((root - linear_s) / self.growth_s)
        else:
            steps = int(elapsed_s / self.step_s)
        steps = max(1, min(steps, self.steps))
        while steps > 1 and self.duration_s(steps - 1) >= elapsed_s:
            steps -= 1
        while self.duration_s(steps) < elapsed_s:
            steps += 1
        return steps
