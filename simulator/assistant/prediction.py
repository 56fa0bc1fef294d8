"""What an LLM service takes for a question: as predicted from how busy it is, and at least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.assistant.route import LONGEST_S
from simulator.policies.decoding.autoregressive import Autoregressive
from simulator.serving.service import ServiceRuntime
from simulator.serving.step_cost import StepCost
from simulator.serving.work import chunk_pairs


@dataclass(frozen=True, slots=True)
class Expected:
    """A question as a service would see it, with an answer of the length that is expected of any."""

    input_tokens: int
    """Length of the prompt."""
    output_tokens: int
    """Expected length of the answer."""
    hash_ids: Sequence[int]
    """Prefix block ids of the prompt; empty where prompts share nothing."""


def predicted_s(service: ServiceRuntime, question: Expected) -> tuple[float, float]:
    """Return TTFT and TPOT of a question that arrives at a service now, in s: the means of its replicas' forecasts.

    Where none is up, it is that of the one that autoscaling could have up first; where all have failed, TTFT is
    `LONGEST_S`.
    """
    up, until_up_s = service.pool.up, 0.0
    if not up and service.autoscaler is not None:
        until_s = {it: service.autoscaler.until_up_s(it) for it in service.pool.closed}
        up = sorted(until_s, key=lambda it: until_s[it])[:1]
        until_up_s = sum(until_s[it] for it in up)
    first = up if service.prefill is None else service.prefill.pool.up
    if not up or not first:
        return LONGEST_S, 0.0
    ttft_s = sum(it.forecast.ttft_s(question) for it in first) / len(first)
    tpot_s = sum(it.forecast.tpot_s(question) for it in up) / len(up)
    return min(service.request_overhead_s + until_up_s + ttft_s, LONGEST_S), tpot_s


def least_s(
    service: ServiceRuntime, input_tokens: int, output_tokens: int, shares: bool, in_parts: bool
) -> tuple[float, float]:
    """Return the least TTFT and E2E of a question at a service, in s: alone on a replica, whatever the policies do.

    A true bound: a prompt computed in one step costs no more than in several, as what a step costs is paid once; of a
    prompt that may be found in a cache only one token need be computed; a step of one decode is the cheapest; where a
    model drafts, each step brings all that it drafts and one token more.

    Parameters
    ----------
    service
        The service.
    input_tokens, output_tokens
        Tokens of prompt and answer.
    shares
        Whether its prefix may be found in a cache or a store.
    in_parts
        Whether the answer may be decoded otherwise than token by token.
    """
    sequential = not in_parts and isinstance(service.decoding, Autoregressive)
    found = [
        _least_on(cost, 1 if shares else input_tokens, input_tokens, output_tokens if sequential else 1)
        for cost in {id(it.cost): it.cost for it in service.replicas}.values()
    ]
    ttft_s, decoding_s = (min(times) for times in zip(*found, strict=True))
    ttft_s += service.request_overhead_s
    return ttft_s, ttft_s + decoding_s


def _least_on(cost: StepCost, computed: int, input_tokens: int, output_tokens: int) -> tuple[float, float]:
    """Return the least time of the prefill, and of the decodes after it.

    The stages of a pipeline share attention at best evenly, which they do where others keep them busy; drafts are at
    best all accepted, and then bring context as evenly as the decodes do.
    """
    pairs = cost.gpu.attention_token_pairs * computed + chunk_pairs(0, computed)
    prefill_s = (
        cost.fixed_s
        + cost.linear_s(computed)
        + cost.rows_s(0)
        + cost.launch_s
        + cost.beta_s * pairs / cost.stages
    )
    tokens = output_tokens - 1
    if not tokens:
        return prefill_s, 0.0
    steps = -(-tokens // cost.most_tokens_per_step)
    read_tokens = steps * input_tokens + tokens * (steps - 1) / 2.0  # at least: the newest ones apart
    return prefill_s, steps * cost.step_s(1, 1) + cost.growth_s(cost.stages, read_tokens)
