"""The seam between an assistant and a placement policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, as far as it is known when it is placed."""

    input_tokens: int
    """Length of its prompt."""
    expected_tokens: int
    """Length of its answer, as the assistant expects it of any question."""
    failed_at: tuple[str, ...]
    """Places where it has failed before."""


@dataclass(frozen=True, slots=True)
class PlaceView:
    """What is predicted for a question at one place, from how busy that is now."""

    name: str
    """``device``, ``edge`` or ``cloud``."""
    ttft_s: float
    """Time until the first token is on the phone, waiting and network included."""
    tpot_s: float
    """Time per further token."""
    energy_j: float
    """What the phone spends on it: accelerator or radio."""
    quality: float
    """Quality of answers from there, 0 to 1, as the scenario declares it (a surrogate)."""
    tokens: int
    """Tokens of the answer that these figures are for."""
    qoe_of: Callable[[float, float, int], float]
    """Streamed-text QoE of an answer by TTFT, TPOT and tokens, for the assistant's reader."""

    @property
    def e2e_s(self) -> float:
        """Time until the last token is on the phone."""
        return self.ttft_s + (self.tokens - 1) * self.tpot_s

    @property
    def qoe(self) -> float:
        """Streamed-text QoE, 0 to 1."""
        return self.qoe_of(self.ttft_s, self.tpot_s, self.tokens)


class Placement(Protocol):
    """A placement policy: a frozen dataclass, registered with ``@register("placement", NAME)``."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Places that the assistant must have for this policy to make sense."""
        ...

    def place(self, ask: Ask, places: Sequence[PlaceView]) -> str | None:
        """Return the name of the place that answers a question; None: none does, the question has failed.

        Parameters
        ----------
        ask
            The question.
        places
            Those that can take it, in the order device, edge, cloud; at least one. A place where the question has
            failed is not among them.
        """
        ...


def least_e2e(places: Sequence[PlaceView]) -> PlaceView:
    """Return the place with the least predicted end-to-end latency, the first of several."""
    return min(places, key=lambda place: place.e2e_s)
