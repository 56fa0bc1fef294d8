"""The seam between the serving engine and a KV-loading policy.

Two numbers say everything: the front pointer may compute up to `LoadPlan.compute_to`, the back pointer may load
down to `LoadPlan.load_from`. Where the two ranges touch, the prefix is split; where they overlap, the pointers
race until they meet, as in Cake (Jin et al., ICML 2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A decision on one request's stored prefix ``[resident, stored)``."""

    compute_to: int
    """The front pointer prefills tokens from the resident ones up to here, at most."""
    load_from: int
    """The back pointer loads tokens from the end of the stored prefix down to here, at most."""
    yields: bool = False
    """Until the prefix is complete, its chunks take only the token budget that other requests leave."""
    overlap_layers: bool = False
    """What follows the prefix is computed layer by layer while the later layers still load.

    Only where all of it is loaded: a layer of what follows needs that layer of the whole prefix.
    """


class LoadView(Protocol):
    """What a policy may see when a request with a stored prefix is admitted."""

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt."""

    @property
    def resident_tokens(self) -> int:
        """Tokens at the front whose KV is in GPU memory already."""

    @property
    def stored_tokens(self) -> int:
        """Tokens from the front whose KV is resident or stored; below `prompt_tokens`."""

    @property
    def step_tokens(self) -> int:
        """Token budget of one engine step that this service may use."""

    @property
    def io_chunk_tokens(self) -> int:
        """Tokens per storage operation."""

    @property
    def handover_s(self) -> float:
        """Time that the engine takes to take over a prefix of which something was loaded, in s."""

    @property
    def rest_s(self) -> float:
        """Time to prefill what follows the stored prefix, in steps of its own, in s."""

    def compute_s(self, end: int) -> float:
        """Time to prefill from the resident tokens up to `end` with every step to itself, in s."""

    def load_s(self, start: int) -> float:
        """Time to load from the end of the stored prefix down to `start` over idle channels, in s."""

    def load_now_s(self, start: int) -> float:
        """The same from now on, with bandwidth as it will be and the transfers that share the channels now."""


class StepView(Protocol):
    """What a policy may see at a step's start, while a request's pointers race."""

    @property
    def step_s(self) -> float:
        """Duration of the step that would compute this request's next chunk, in s."""

    @property
    def load_remaining_s(self) -> float:
        """Time until the back pointer alone has loaded all that is missing, at the present rate, in s.

        Where the step would complete the prefix without it, the time to take a loaded prefix over is included.
        """


class KvLoading(Protocol):
    """A KV-loading policy: a frozen dataclass, registered with ``@register("kv_loading", NAME)``."""

    def plan(self, view: LoadView) -> LoadPlan:
        """Decide on a request's stored prefix when it is admitted."""

    def keep_computing(self, view: StepView) -> bool:
        """Whether the front pointer takes part in the coming step.

        Asked at every step of a race if `asks_every_step`; once False, the rest is left to the back pointer.
        """

    @property
    def asks_every_step(self) -> bool:
        """Whether `keep_computing` must be asked; False lets the engine advance many steps at once."""


class PlansOnce:
    """Base of policies that decide at admission only."""

    __slots__ = ()

    @property
    def asks_every_step(self) -> bool:
        """Never."""
        return False

    def keep_computing(self, view: StepView) -> bool:
        """Always: the plan of the admission holds."""
        return True
