"""What a replica is expected to do with a request: for routers, placement and autoscaling."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from simulator.policies.routing import RequestShape
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs

if TYPE_CHECKING:
    from simulator.serving.replica import Replica


class Saturation:
    """A replica full of requests of one shape, in its steady state.

    Every step decodes one token of each of its sequences; when one ends, a step prefills the next one's prompt too.
    Memory, sequence slots or the token budget bound their number.

    Parameters
    ----------
    cost
        Step cost.
    token_budget
        Tokens per step.
    max_sequences
        Most sequences at a time.
    kv_tokens
        Tokens whose KV has room.
    prefills
        Whether it prefills prompts; one that does not gets them prefilled by others, and decodes.
    """

    __slots__ = ("_cost", "_max_sequences", "_token_budget", "kv_tokens", "prefills", "work_s")

    def __init__(
        self, cost: StepCost, token_budget: int, max_sequences: int, kv_tokens: int, prefills: bool = True
    ) -> None:
        self._cost = cost
        self._token_budget = token_budget
        self._max_sequences = max_sequences
        self.kv_tokens = kv_tokens
        self.prefills = prefills
        self.work_s = lru_cache(maxsize=1 << 16)(self._work_s)
        """``work_s(input_tokens, output_tokens)``: time between two completions, in s."""

    def _work_s(self, input_tokens: int, output_tokens: int) -> float:
        # The first token comes with the prompt's last chunk.
        steps = max(1, round((output_tokens - 1) / self._cost.tokens_per_step))
        by_memory = self.kv_tokens / (input_tokens + output_tokens)
        by_budget = self._token_budget / (1.0 + (input_tokens / steps if self.prefills else 0.0))
        sequences = min(by_memory, by_budget, float(self._max_sequences))
        if (
            sequences < 1.0
        ):  # a step prefills less than one decoded token's worth of prompt: one after the other
            decode_s = self._cost.step_s(1, 1, input_tokens + 0.5 * output_tokens)
            alone_s = self._cost.prefill_s(0, input_tokens, self._token_budget)
            return alone_s + (output_tokens - 1) / self._cost.tokens_per_step * decode_s
        decodes = int(sequences)
        context = decodes * (input_tokens + 0.5 * output_tokens)
        if not self.prefills:
            return steps / decodes * self._cost.step_s(decodes, decodes, context)
        # Prompts come one by one as others end, several at a time where more than one ends per step.
        chunk = min(input_tokens * max(1.0, decodes / steps), float(max(1, self._token_budget - decodes)))
        prefills = input_tokens / chunk
        pairs = chunk_pairs(0, input_tokens) / prefills
        mixed_s = self._cost.step_s(decodes + round(chunk), decodes, context, pairs)
        plain_s = self._cost.step_s(decodes, decodes, context)
        return prefills * mixed_s + max(0.0, steps / decodes - prefills) * plain_s


class ReplicaForecast:
    """`simulator.policies.routing.Forecast` of one replica, as fast as it is now, faults and a shared GPU included.

    Parameters
    ----------
    replica
        The replica.
    full
        The same replica, full; shared by all that are alike.
    """

    __slots__ = ("_full", "_replica")

    def __init__(self, replica: Replica, full: Saturation) -> None:
        self._replica = replica
        self._full = full

    def work_s(self, request: RequestShape) -> float:
        """Time that the request takes of the replica when that is full of such requests, in s."""
        speed, _ = self._replica.outlook()
        return self._full.work_s(request.input_tokens, request.output_tokens) / speed

    def ahead_s(self, request: RequestShape) -> float:
        """Work of all that was sent here and is not finished, each like `request`, and of SR that goes first, in s."""
        tokens = request.input_tokens + request.output_tokens
        _, wait_s = self._replica.outlook()
        return wait_s + self._replica.outstanding_tokens / tokens * self.work_s(request)

    def ttft_s(self, request: RequestShape) -> float:
        """Time until its first token if it were sent here now, in s.

        What waits or prefills now comes first, in steps that are full; where memory is short, so does as much work as
        gives enough of it back.
        """
        replica = self._replica
        scheduler, decodes = replica.scheduler, replica.batch.decodes
        speed, wait_s = replica.outlook()
        if not self._full.prefills:  # its prompt comes prefilled, and its next token with the next step
            return wait_s + max(self.tpot_s(request), self._freed_s(request))
        held = replica.resident_prefix_tokens(request.hash_ids) if request.hash_ids else 0
        tokens = request.input_tokens - min(held, request.input_tokens - 1)
        tokens += replica.unfilled_tokens()
        sequences = len(decodes.heap)
        room = max(1, scheduler.token_budget - sequences)
        chunk = min(tokens, room)
        pairs = chunk_pairs(0, min(request.input_tokens, chunk))
        step_s = replica.cost.step_s(sequences + chunk, sequences, replica.context_tokens(), pairs)
        return wait_s + max(-(-tokens // room) * step_s / speed, self._freed_s(request))

    def _freed_s(self, request: RequestShape) -> float:
        """Time until the memory is free that the prompt lacks, in s."""
        short = self._replica.outstanding_tokens + request.input_tokens - self._full.kv_tokens
        if short <= 0:
            return 0.0
        return short / (request.input_tokens + request.output_tokens) * self.work_s(request)

    def tpot_s(self, request: RequestShape) -> float:
        """Time per further token if it were decoded beside what is decoded here now, in s."""
        replica = self._replica
        decodes = replica.batch.decodes
        sequences = len(decodes.heap) + 1
        context = replica.context_tokens() + request.input_tokens + 0.5 * request.output_tokens
        step_s = replica.cost.step_s(sequences, sequences, context)
        speed, _ = replica.outlook()
        return step_s / replica.cost.tokens_per_step / speed
