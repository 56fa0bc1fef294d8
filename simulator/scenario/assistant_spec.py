"""The assistant of a scenario file: phones that ask LLM questions, and the places where these can be answered.

As in `simulator.scenario.spec`, field names are the keys of the YAML file and types carry the unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from devices.quantity import Bytes, Count, Ratio
from simulator.policies.placement.qoe_aware import QoeAware
from simulator.policies.registry import PolicyOf
from simulator.scenario.reader_spec import ReaderSpec
from simulator.scenario.streaming_spec import PhoneSpec


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """The phone itself: its chip runs a small model, for one question after the other."""

    model: str
    """Name under ``llm`` in the file of the chip, such as ``llama-3.2-3b``."""
    soc: str | None = None
    """Chip of all phones, a device of kind soc (`hetsim list devices`); None: that of each phone's ``npu``."""
    quality: Ratio = 1.0
    """Quality of its answers, 0 to 1, for policies and reports (a surrogate: the scenario's word, assumed)."""

    def soc_of(self, phone: PhoneSpec | None) -> str | None:
        """Return the chip of a phone; None where nothing names one."""
        return self.soc or (phone.npu.soc if phone is not None and phone.npu is not None else None)


@dataclass(frozen=True, slots=True)
class ServicePlace:
    """An LLM service of the scenario that is reached over a radio and links."""

    service: str
    """Name of the LLM service."""
    radio: Literal["wlan", "lte", "5g-low", "5g-mmwave"]
    """The phone's radio that carries prompt and answer, for its energy."""
    links: tuple[str, ...] = ()
    """Links of the scenario on the way there, from the phone on: the first one is the radio's. Empty: no network."""
    quality: Ratio = 1.0
    """Quality of its answers, 0 to 1, for policies and reports (a surrogate: the scenario's word, assumed)."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where questions can be answered; at least one."""

    device: DevicePlace | None = None
    """On the phone; None: it has no model."""
    edge: ServicePlace | None = None
    """Near by; None: there is none."""
    cloud: ServicePlace | None = None
    """Far away; None: there is none."""

    def services(self) -> Iterator[tuple[str, ServicePlace]]:
        """Yield name and place of those that are LLM services."""
        for name, place in (("edge", self.edge), ("cloud", self.cloud)):
            if place is not None:
                yield name, place


@dataclass(frozen=True, slots=True)
class AssistantPolicies:
    """The exchangeable decision of an assistant."""

    placement: Annotated[object, PolicyOf("placement")] = field(default_factory=QoeAware)
    """Where each question is answered."""


@dataclass(frozen=True, slots=True)
class AssistantService:
    """Phones that ask LLM questions; each is placed on the phone, at the edge or in the cloud."""

    kind: Literal["assistant"]
    """Kind of service."""
    phones: tuple[str, ...]
    """Devices of kind phone that ask; who asks which question is drawn, but one phone asks all turns of a session."""
    places: Places
    """Where questions can be answered."""
    prompt_token_bytes: Bytes = 4.0
    """Bytes that a token of a prompt takes on the way (assumed: four characters of English text)."""
    answer_token_bytes: Bytes = 250.0
    """Bytes that a token of an answer takes on the way back (assumed: an event of its own, with its JSON)."""
    expected_answer_tokens: Count = 200
    """Length of answers that predictions are made for: how long one will be is not known beforehand (assumed)."""
    radio_includes_idle: bool = True
    """Whether the published power of a cellular radio contains that of the awake phone (not documented: assumed)."""
    reader: ReaderSpec = field(default_factory=ReaderSpec)
    """Whom the answers are streamed to: what their QoE is held against, and what `qoe_aware` predicts."""
    policies: AssistantPolicies = field(default_factory=AssistantPolicies)
    """The exchangeable decision."""
