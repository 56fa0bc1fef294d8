"""One token after the other."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.policies.decoding.protocol import Question
from simulator.policies.registry import register


class OneService:
    """Base of policies that use no other service and lose no time between generations."""

    __slots__ = ()

    @property
    def services(self) -> tuple[str, ...]:
        """None but the one that was asked."""
        return ()

    @property
    def call_overhead(self) -> float:
        """None."""
        return 0.0


@register("decoding", "autoregressive")
@dataclass(frozen=True, slots=True)
class Autoregressive(OneService):
    """Each engine step decodes one token of the answer."""

    def generations(self, question: Question) -> None:
        """Decode the whole answer as one sequence."""
        return
