"""Where a question can be answered: on the phone, or at an LLM service behind radio and links."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from simulator.assistant.prediction import Expected, least_s, predicted_s
from simulator.assistant.question import AskingPhone, Question
from simulator.assistant.route import Route
from simulator.core import ARRIVAL, Environment
from simulator.policies.placement import PlaceView
from simulator.scenario.assistant_spec import AssistantService, DevicePlace, ServicePlace
from simulator.serving.sequence import COMPLETED, Sequence
from simulator.serving.service import ServiceRuntime

QoeOf = Callable[[float, float, int], float]
"""Streamed-text QoE by TTFT, TPOT and tokens."""


class Outcome(Protocol):
    """Whom a place tells what became of a question."""

    def answered(self, question: Question) -> None:
        """The last token is on the phone."""

    def failed(self, question: Question) -> None:
        """It was refused, or its request has failed."""


class Place(Protocol):
    """A place where questions are answered."""

    name: str
    """``device``, ``edge`` or ``cloud``."""
    quality: float
    """Declared quality of its answers."""

    def takes(self, question: Question) -> bool:
        """Whether it can begin with a prompt of that length."""

    def view(self, question: Question) -> PlaceView:
        """Predict what becomes of a question that is placed here now."""

    def least_s(self, question: Question) -> tuple[float, float] | None:
        """Return the least TTFT and E2E of a question here; None: it can never be answered here."""

    def start(self, question: Question) -> None:
        """Begin with a question that is placed here."""

    def cut_off(self, question: Question) -> None:
        """Book what a question here has cost by the end of the run, which comes before its end."""


class OnDevice:
    """The phone's own accelerator: first come, first served, one question at a time.

    Nothing can disturb it, so that its end is known at its start and costs one event.
    """

    name = "device"

    def __init__(
        self, env: Environment, spec: DevicePlace, service: AssistantService, qoe_of: QoeOf, outcome: Outcome
    ) -> None:
        self.quality = spec.quality
        self._env = env
        self._expected = service.expected_answer_tokens
        self._qoe_of = qoe_of
        self._outcome = outcome

    def takes(self, question: Question) -> bool:
        """Whether the prompt leaves room for an answer in the model's context."""
        llm = question.phone.llm
        return llm is not None and question.request.input_tokens < llm.context_tokens

    def view(self, question: Question) -> PlaceView:
        """Predict what becomes of a question that is placed here now."""
        llm, tokens = question.phone.llm, self._expected
        assert llm is not None
        ttft_s = llm.ttft_s(question.request.input_tokens)
        tpot_s = 1.0 / llm.decode_tokens_per_s
        energy_j = llm.power_w * (ttft_s + (tokens - 1) * tpot_s)
        wait_s = max(0.0, question.phone.free_s - self._env._now)
        return PlaceView(self.name, wait_s + ttft_s, tpot_s, energy_j, self.quality, tokens, self._qoe_of)

    def least_s(self, question: Question) -> tuple[float, float] | None:
        """Return TTFT and E2E without a wait."""
        if not self._fits(question):
            return None
        llm, request = question.phone.llm, question.request
        assert llm is not None
        ttft_s = llm.ttft_s(request.input_tokens)
        return ttft_s, ttft_s + (request.output_tokens - 1) / llm.decode_tokens_per_s

    def start(self, question: Question) -> None:
        """Put a question into the line, or refuse one that does not fit into the context with its answer."""
        if not self._fits(question):
            self._outcome.failed(question)
            return
        phone, request = question.phone, question.request
        llm = phone.llm
        assert llm is not None
        question.start_s = max(self._env._now, phone.free_s)
        question.first_s = question.start_s + llm.ttft_s(request.input_tokens)
        phone.free_s = question.first_s + (request.output_tokens - 1) / llm.decode_tokens_per_s
        self._env.call_at(phone.free_s, partial(self._end, question), ARRIVAL)

    def _end(self, question: Question) -> None:
        self._book(question)
        self._outcome.answered(question)

    def cut_off(self, question: Question) -> None:
        """Book the time that the accelerator has worked on a question so far."""
        if question.first_s > self._env._now:
            question.first_s = -1.0
        self._book(question)

    def _book(self, question: Question) -> None:
        phone = question.phone
        assert phone.llm is not None
        worked_s = max(0.0, self._env._now - question.start_s)
        phone.busy_s += worked_s
        question.chip_j += phone.llm.power_w * worked_s

    @staticmethod
    def _fits(question: Question) -> bool:
        llm, request = question.phone.llm, question.request
        return llm is not None and request.input_tokens + request.output_tokens <= llm.context_tokens


class AtService:
    """An LLM service: the prompt goes there over the phone's radio and links, the tokens of the answer come back.

    At the service it is a request like any other.
    """

    def __init__(
        self,
        env: Environment,
        name: str,
        spec: ServicePlace,
        service: AssistantService,
        runtime: ServiceRuntime,
        route: Route,
        qoe_of: QoeOf,
        outcome: Outcome,
    ) -> None:
        self.name = name
        self.quality = spec.quality
        self._env = env
        self._radio = spec.radio
        self._prompt_token_bytes = service.prompt_token_bytes
        self._answer_token_bytes = service.answer_token_bytes
        self._expected = service.expected_answer_tokens
        self._runtime = runtime
        self._route = route
        self._qoe_of = qoe_of
        self._outcome = outcome

    def takes(self, question: Question) -> bool:
        """A service is offered everything; it may refuse what is longer than its KV cache."""
        return True

    def view(self, question: Question) -> PlaceView:
        """Predict what becomes of a question that is placed here now."""
        input_tokens, tokens = question.request.input_tokens, self._expected
        there_s = self._route.predicted_s(input_tokens * self._prompt_token_bytes)
        expected = Expected(input_tokens, tokens, question.request.hash_ids)
        at_service_s, tpot_s = predicted_s(self._runtime, expected)
        ttft_s = there_s + at_service_s + self._route.token_s(self._answer_token_bytes)
        awake_s = ttft_s + (tokens - 1) * tpot_s
        energy_j = self._traffic_j(question.phone, input_tokens, tokens, None)
        draw = question.phone.radios[self._radio].draw
        energy_j += draw.awake_w * (awake_s + draw.tail_s)
        return PlaceView(self.name, ttft_s, tpot_s, energy_j, self.quality, tokens, self._qoe_of)

    def least_s(self, question: Question) -> tuple[float, float] | None:
        """Return TTFT and E2E without anybody else, at the links' peak."""
        request, route = question.request, self._route
        shares, in_parts = bool(request.hash_ids), question.graph is not None
        ttft_s, e2e_s = least_s(self._runtime, request.input_tokens, request.output_tokens, shares, in_parts)
        network_s = route.least_s(request.input_tokens * self._prompt_token_bytes)
        network_s += route.least_token_s(self._answer_token_bytes)
        return network_s + ttft_s, network_s + e2e_s

    def start(self, question: Question) -> None:
        """Send the prompt."""
        question.mark = question.phone.radios[self._radio].begin(self._env._now)
        n_bytes = question.request.input_tokens * self._prompt_token_bytes
        self._route.send(n_bytes, partial(self._arrived, question))

    def _arrived(self, question: Question, air_s: float) -> None:
        question.radio_j += self._traffic_j(question.phone, question.request.input_tokens, 0, air_s)
        request = question.request
        sent = Sequence(
            request.index,
            self._env._now,
            request.input_tokens,
            request.output_tokens,
            request.hash_ids,
            len(self._runtime.tier_names),
            request.slo,
        )
        question.sent = sent
        enter = partial(self._runtime.submit, sent, Return(self, question), question.graph)
        self._env.call_at(self._env._now + self._runtime.request_overhead_s, enter, ARRIVAL)

    def finished(self, question: Question, status: int) -> None:
        """The service has made the last token, or given the request up."""
        sent = question.sent
        assert sent is not None
        if status != COMPLETED:
            self._end_radio(question)
            question.sent = None
            self._outcome.failed(question)
            return
        tokens = question.request.output_tokens = sent.output_tokens  # decoded in parts it may be longer
        question.first_s, last_s = self._route.delivered_s(
            sent.first_token_s, self._env._now, tokens, self._answer_token_bytes
        )
        self._env.call_at(last_s, partial(self._delivered, question), ARRIVAL)

    def _delivered(self, question: Question) -> None:
        question.radio_j += self._traffic_j(question.phone, 0, question.request.output_tokens, 0.0)
        self._end_radio(question)
        self._outcome.answered(question)

    def cut_off(self, question: Question) -> None:
        """Book the radio's time so far; of traffic, what had arrived at the service."""
        sent = question.sent
        if question.first_s < 0.0 and sent is not None and sent.first_token_s >= 0.0:
            question.first_s = self._route.delivered_s(
                sent.first_token_s, sent.first_token_s, 1, self._answer_token_bytes
            )[0]
        if question.first_s > self._env._now:
            question.first_s = -1.0
        self._end_radio(question)

    def _end_radio(self, question: Question) -> None:
        question.radio_j += question.phone.radios[self._radio].end(self._env._now, question.mark)

    def _traffic_j(
        self, phone: AskingPhone, sent_tokens: int, received_tokens: int, send_air_s: float | None
    ) -> float:
        """Return the energy of a prompt's and an answer's bytes; `send_air_s` None: on an idle link."""
        draw = phone.radios[self._radio].draw
        up_bytes = sent_tokens * self._prompt_token_bytes
        if send_air_s is None:
            send_air_s = self._route.air_s(up_bytes, sends=True)
        receive_air_s = received_tokens * self._route.air_s(self._answer_token_bytes, sends=False)
        received_bytes = received_tokens * self._answer_token_bytes
        return draw.send_j(send_air_s, up_bytes) + draw.receive_j(receive_air_s, received_bytes)


class Return:
    """Whom a service tells that the request of one question has ended."""

    __slots__ = ("_place", "_question", "workload")

    def __init__(self, place: AtService, question: Question) -> None:
        self.workload = question.feed.workload
        self._place = place
        self._question = question

    def finished(self, sequence: Sequence, status: int) -> None:
        """The request has been answered or has failed."""
        self._place.finished(self._question, status)
