"""One request inside a replica, or one generation of a request that is decoded in several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.core import Call, Environment
from simulator.serving.kv_tiers import Load
from simulator.workloads.slo import SloClass

if TYPE_CHECKING:
    from simulator.serving.answer import Answer
    from simulator.serving.handover import Handover

COMPLETED, FAILED, UNFINISHED = 1, 2, 0
"""Values of the column ``status`` of requests and generations: decoded to the end; impossible to serve, or given up
after a fault; still under way at the horizon."""


class Sequence:
    """The mutable state of one request or generation from its arrival at a replica to its end.

    Slotted and flat, because a run may create a million of them.
    """

    __slots__ = (
        "admitted_s",
        "arrival_s",
        "compute_to",
        "computed_tokens",
        "first_token_s",
        "found_tokens",
        "generated_tokens",
        "handover",
        "hash_ids",
        "index",
        "input_tokens",
        "join_call",
        "join_clock",
        "join_context",
        "load",
        "load_step_s",
        "loaded_tokens",
        "name",
        "output_tokens",
        "overlaps",
        "pace",
        "position",
        "preemptions",
        "prefill_to",
        "private_blocks",
        "queue_key",
        "racing",
        "resident_tokens",
        "shared",
        "slo",
        "stop_tokens",
        "stored_tokens",
        "yields",
    )

    in_parts = False
    """Whether this is one of several generations of an answer, which share KV blocks even without a prefix cache."""
    rank: float | None = None
    """Place among the generations that wait, smallest first; None: it keeps its place."""
    passes_requests = False
    """Whether it also goes before requests that wait for their first generation."""

    def __init__(
        self,
        index: int,
        arrival_s: float,
        input_tokens: int,
        output_tokens: int,
        hash_ids: list[int],
        tiers: int,
        slo: SloClass | None = None,
    ) -> None:
        self.index = index
        """Number of the request in its workload."""
        self.name = ""
        """``workload/number``, for the log; empty where nothing is logged."""
        self.arrival_s = arrival_s
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.hash_ids = hash_ids
        """Prefix block ids of prompt and answer; empty where nothing is shared."""
        self.slo = slo
        """Class of the request; None: its workload has none."""
        self.queue_key = 0.0
        """What the queueing policy has said."""
        self.prefill_to = input_tokens
        """Tokens to prefill: the prompt, and after a preemption also what had been generated."""
        self.position = 0
        """Tokens from the front whose KV is in GPU memory."""
        self.generated_tokens = 0
        self.admitted_s = self.first_token_s = -1.0
        self.join_call: Call | None = None
        """The end of the engine's hand-over after a load; None outside of it."""
        self.join_clock = self.join_context = 0
        """Decode clock of the replica when decoding began; tokens that the first decode step attends to."""
        self.pace = 1.0  # tokens per step; of drafts more are accepted than one
        self.private_blocks = 0
        """KV blocks reserved for the prompt that are not shared."""
        self.shared: list[int] = []
        """Hash ids of prefix blocks that this sequence references."""
        self.load: Load | None = None
        """The back pointer, from its start until the prefix is complete."""
        self.handover: Handover | None = None
        """Its KV, as long as that lies where it was prefilled and is awaited where it is to be decoded."""
        self.compute_to = 0
        """Where the front pointer stops: the split, the end of the stored prefix, or the end of the prompt."""
        self.stored_tokens = 0
        """Tokens from the front that are resident or being loaded."""
        self.yields = False
        """Whether prefill chunks take only what other requests leave; ends when the prefix is complete."""
        self.racing = self.overlaps = False
        """Whether front and back pointer both run; whether the step over new tokens may overlap with the load of later
        layers."""
        self.load_step_s = 0.0
        """GPU time to expand loaded KV, charged to the step that uses it first."""
        self.resident_tokens = self.computed_tokens = self.preemptions = 0
        self.loaded_tokens = [0] * tiers
        """Tokens loaded, by tier."""
        self.found_tokens = [0] * tiers
        """Tokens found in each tier at admission, loaded or not."""
        self.stop_tokens = output_tokens
        """Decoded tokens at which something happens next: the end, or what others wait for."""

    @property
    def request(self) -> Sequence:
        """The request that it serves: itself, unless it is a part of an answer."""
        return self

    def log(self, env: Environment, kind: str, detail: float | str = "") -> None:
        """Log something that happens to it now, where anything is logged (`simulator.core.EventLog`)."""
        log = env.log
        if log is not None:
            log.add(env._now, kind, self.name, detail)

    def reset(self) -> None:
        """Forget everything in GPU memory: the sequence starts again and recomputes what it had generated."""
        self.position = 0
        self.prefill_to = self.input_tokens + self.generated_tokens
        self.private_blocks = 0
        self.shared = []
        self.load = None
        self.join_call = None
        self.compute_to = self.prefill_to
        self.stored_tokens = 0
        self.racing = self.yields = self.overlaps = False
        self.load_step_s = 0.0

    def restart(self, keep_generated: bool) -> None:
        """Start again on a GPU that holds nothing of it, from the tokens generated so far or from the prompt alone."""
        if not keep_generated:
            self.generated_tokens = 0
            self.first_token_s = -1.0
        self.reset()


class GenerationSequence(Sequence):
    """One generation of an answer.

    Parameters
    ----------
    answer
        The answer.
    generation
        Its number there.
    stops
        Numbers of decoded tokens at which others may start, ascending and fewer than all.
    rank
        Place among the generations that wait, smallest first; None: it keeps its place.
    passes_requests
        Whether it also goes before requests that wait for their first generation.
    """

    __slots__ = ("answer", "generation", "passes_requests", "rank", "stops")

    in_parts = True

    def __init__(
        self,
        answer: Answer,
        generation: int,
        input_tokens: int,
        output_tokens: int,
        hash_ids: list[int],
        tiers: int,
        stops: list[int],
        rank: float | None,
        passes_requests: bool,
    ) -> None:
        request = answer.request
        super().__init__(request.index, -1.0, input_tokens, output_tokens, hash_ids, tiers, request.slo)
        self.answer = answer
        self.generation = generation
        self.rank = rank
        self.passes_requests = passes_requests
        self.stops = stops[::-1]
        """Stops still to come, the next one last."""
        self.stop_tokens = self.stops[-1] if stops else output_tokens

    @property
    def request(self) -> Sequence:
        """The question, a part of whose answer it is."""
        return self.answer.request

    def pass_stop(self) -> int:
        """Go past the next stop and return at how many tokens it lay."""
        passed = self.stop_tokens
        self.stops.pop()
        self.stop_tokens = self.stops[-1] if self.stops else self.output_tokens
        return passed
