"""One question of an assistant, and the phone that asks it."""

from __future__ import annotations

from devices.phones import PhoneLlmRate
from simulator.assistant.radio import RadioMeter
from simulator.serving.feed import Feed
from simulator.serving.sequence import Sequence
from simulator.workloads.graphs import AnswerGraph


class AskingPhone:
    """One phone that asks: its accelerator, its radios, and what it has spent.

    Parameters
    ----------
    name
        Unique among the phones of its service.
    device
        Its device in the scenario.
    llm
        What its accelerator makes of the model on it; None: there is none.
    radios
        Its radios by name.
    """

    __slots__ = ("busy_s", "device", "energy_j", "free_s", "llm", "name", "radios")

    def __init__(
        self, name: str, device: str, llm: PhoneLlmRate | None, radios: dict[str, RadioMeter]
    ) -> None:
        self.name = name
        self.device = device
        self.llm = llm
        self.radios = radios
        self.free_s = 0.0
        """When its accelerator has answered everything that it was given so far."""
        self.busy_s = 0.0
        """Time for which its accelerator has worked."""
        self.energy_j = 0.0
        """What it has spent on questions, accelerator and radios, on top of the awake phone."""


class Question:
    """A question from its arrival to the last token of its answer on the phone."""

    __slots__ = (
        "chip_j",
        "failed_at",
        "feed",
        "first_s",
        "graph",
        "least_e2e_s",
        "least_ttft_s",
        "mark",
        "phone",
        "place",
        "placements",
        "predicted_e2e_s",
        "predicted_ttft_s",
        "quality",
        "radio_j",
        "request",
        "sent",
        "start_s",
    )

    def __init__(self, request: Sequence, feed: Feed, graph: AnswerGraph | None, phone: AskingPhone) -> None:
        self.request = request
        self.feed = feed
        self.graph = graph
        self.phone = phone
        self.place = ""
        """Where it was placed last; empty: nowhere yet."""
        self.failed_at: tuple[str, ...] = ()
        """Where it has failed."""
        self.placements = 0
        """How often it was placed."""
        self.quality = 0.0
        """Declared quality of the place."""
        self.predicted_ttft_s = self.predicted_e2e_s = -1.0
        """What was predicted of that place, from then on."""
        self.least_ttft_s = self.least_e2e_s = 0.0
        """What they are at least, wherever it is placed."""
        self.first_s = -1.0
        """When the first token is on the phone; -1 where that is not known yet."""
        self.start_s = 0.0
        """On the phone: when its accelerator takes it up."""
        self.mark = 0.0
        """At a service: that of `RadioMeter.begin`."""
        self.sent: Sequence | None = None
        """At a service: the request there, once it has arrived."""
        self.chip_j = 0.0
        """What the accelerator has spent on it."""
        self.radio_j = 0.0
        """What the radios have spent on it."""
