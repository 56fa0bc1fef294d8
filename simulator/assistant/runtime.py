"""An assistant at run time: it places each question, places those again that fail, and records what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Several

from simulator.assistant.places import Place
from simulator.assistant.question import AskingPhone, Question
from simulator.core import Environment, Table
from simulator.policies.placement import Ask, Placement
from simulator.policies.registry import nonsense
from simulator.serving.feed import Feed
from simulator.serving.sequence import COMPLETED, FAILED, UNFINISHED, Sequence
from simulator.workloads.graphs import AnswerGraph

ASKS = {
    "request": "q",
    "workload": "text",
    "phone": "text",
    "device": "text",
    "place": "text",
    "status": "B",
    "arrival_s": "d",
    "first_token_s": "d",
    "finish_s": "d",
    "input_tokens": "q",
    "output_tokens": "q",
    "placements": "i",
    "quality": "d",
    "chip_j": "d",
    "radio_j": "d",
    "predicted_ttft_s": "d",
    "predicted_e2e_s": "d",
    "least_ttft_s": "d",
    "least_e2e_s": "d",
}
"""Columns of the table of asks, one row per question, in the order of their ends. Times are those of the phone, -1
where they did not happen. ``place`` is where the question was placed last (empty: nowhere), ``placements`` how often it
was placed; ``quality`` and what was predicted (-1: nothing) are of that placement, predictions counted from the
arrival. ``chip_j`` and ``radio_j`` are what the phone has spent, failed placements included. ``least_ttft_s`` and
``least_e2e_s`` are what no placement can be below (`simulator.assistant.prediction.least_s`)."""


class AssistantRuntime:
    """Takes the questions of phones, has them placed, and records what became of them.

    Parameters
    ----------
    env
        The simulation's environment.
    name
        Name of the service in the scenario.
    phones
        All its phones.
    asked_by
        By workload: number of the phone that asks each question.
    placement
        Policy that picks the place.
    expected_tokens
        Length of answers that predictions are for.
    """

    request_overhead_s = 0.0
    """Questions are there when they are asked; what a service needs comes on top there."""
    tier_names: tuple[str, ...] = ()
    """It has no KV cache of its own."""

    def __init__(
        self,
        env: Environment,
        name: str,
        phones: Several[AskingPhone],
        asked_by: Mapping[str, list[int]],
        placement: Placement,
        expected_tokens: int,
    ) -> None:
        self.env = env
        self.name = name
        self.phones = phones
        self.places: list[Place] = []
        """In the order device, edge, cloud; whoever builds this fills it."""
        self.records = Table(ASKS)
        """One row per question, in the order of their ends."""
        self.arrived = 0
        self._asked_by = asked_by
        self._placement = placement
        self._expected = expected_tokens
        self._open: dict[Question, Place | None] = {}

    def submit(self, request: Sequence, feed: Feed, graph: AnswerGraph | None = None) -> None:
        """Take a question that is asked now; `graph` is its answer."""
        self.arrived += 1
        phone = self.phones[self._asked_by[feed.workload][request.index]]
        question = Question(request, feed, graph, phone)
        least = [it for place in self.places if (it := place.least_s(question)) is not None]
        if least:
            question.least_ttft_s, question.least_e2e_s = (min(times) for times in zip(*least, strict=True))
        self._open[question] = None
        self._place(question)

    def _place(self, question: Question) -> None:
        """Have the policy pick one of the places that are left."""
        failed_at = question.failed_at
        left = {it.name: it for it in self.places if it.name not in failed_at and it.takes(question)}
        views = {name: place.view(question) for name, place in left.items()}
        choice = None
        if left:
            ask = Ask(question.request.input_tokens, self._expected, failed_at)
            choice = self._placement.place(ask, tuple(views.values()))
        if choice is None:
            self._end(question, FAILED)
            return
        if type(choice) is not str or choice not in left:
            what = f"chose {choice!r}; allowed: {', '.join(left)}, or None"
            raise nonsense("placement", self._placement, what)
        view, so_far_s = views[choice], self.env._now - question.request.arrival_s
        question.place, question.quality = choice, view.quality
        question.placements += 1
        question.predicted_ttft_s, question.predicted_e2e_s = so_far_s + view.ttft_s, so_far_s + view.e2e_s
        self._open[question] = left[choice]
        if self.env.log is not None:
            label = f"{question.feed.workload}/{question.request.index}"
            self.env.log.add(self.env._now, "place", label, f"{question.phone.name} -> {choice}")
        left[choice].start(question)

    def answered(self, question: Question) -> None:
        """The last token of an answer is on the phone."""
        self._end(question, COMPLETED)

    def failed(self, question: Question) -> None:
        """A place could not answer a question: it is placed again, somewhere else."""
        question.failed_at = (*question.failed_at, question.place)
        self._place(question)

    def close(self) -> int:
        """Record what is still under way when the run stops; return how many questions that are."""
        unfinished = len(self._open)
        for question, place in self._open.items():
            if place is not None:
                place.cut_off(question)
            self._record(question, UNFINISHED)
        self._open.clear()
        return unfinished

    def _end(self, question: Question, status: int) -> None:
        del self._open[question]
        self._record(question, status)
        question.feed.finished(question.request, status)

    def _record(self, question: Question, status: int) -> None:
        request, phone = question.request, question.phone
        phone.energy_j += question.chip_j + question.radio_j
        self.records.append(
            request.index,
            question.feed.workload,
            phone.name,
            phone.device,
            question.place,
            status,
            request.arrival_s,
            question.first_s if status != FAILED else -1.0,
            self.env._now if status == COMPLETED else -1.0,
            request.input_tokens,
            request.output_tokens,
            question.placements,
            question.quality,
            question.chip_j,
            question.radio_j,
            question.predicted_ttft_s,
            question.predicted_e2e_s,
            question.least_ttft_s,
            question.least_e2e_s,
        )
