"""From an `AssistantService` of the scenario to its runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from devices.catalogue import load_profile
from devices.phones import PhoneLlmRate, PhoneProfile, SocProfile
from simulator.assistant.places import AtService, OnDevice, QoeOf
from simulator.assistant.question import AskingPhone
from simulator.assistant.radio import RadioMeter, radio_draw
from simulator.assistant.route import Route
from simulator.assistant.runtime import AssistantRuntime
from simulator.core import Channel, Environment, Streams
from simulator.metrics.text_qoe import text_qoe
from simulator.policies.placement import Placement
from simulator.scenario.assistant_spec import AssistantService, DevicePlace
from simulator.scenario.spec import DeviceSpec
from simulator.serving.service import ServiceRuntime
from simulator.streaming.phone_names import phone_names
from simulator.workloads.requests import Requests


def build_assistant(
    env: Environment,
    name: str,
    service: AssistantService,
    devices: Mapping[str, DeviceSpec],
    services: Mapping[str, ServiceRuntime],
    links: Mapping[str, tuple[Channel, Channel]],
    workloads: Mapping[str, Requests],
    streams: Streams,
) -> AssistantRuntime:
    """Build the phones and the places of an assistant.

    Parameters
    ----------
    env
        The simulation's environment.
    name, service
        The assistant.
    devices
        The scenario's devices.
    services
        Runtimes of the scenario's LLM services.
    links
        Channels of the scenario's links, there and back.
    workloads
        Questions by workload that is addressed to this assistant.
    streams
        Random streams: who asks is drawn from ``WORKLOAD/phones``.
    """
    phones = [phone for device in service.phones for phone in _phones(device, devices[device], service)]
    asked_by = {
        workload: _asked_by(requests, len(phones), streams.stream(f"{workload}/phones"))
        for workload, requests in workloads.items()
    }
    placement: Placement = service.policies.placement  # type: ignore[assignment]
    runtime = AssistantRuntime(env, name, phones, asked_by, placement, service.expected_answer_tokens)
    qoe_of = _qoe(service)
    if service.places.device is not None:
        runtime.places.append(OnDevice(env, service.places.device, service, qoe_of, runtime))
    for place, spec in service.places.services():
        route = Route([links[link] for link in spec.links])
        runtime.places.append(
            AtService(env, place, spec, service, services[spec.service], route, qoe_of, runtime)
        )
    return runtime


def _phones(device: str, spec: DeviceSpec, service: AssistantService) -> Iterator[AskingPhone]:
    profile = load_profile(spec.profile)
    assert isinstance(profile, PhoneProfile)
    llm = _llm(service.places.device, spec)
    radios = {place.radio for _, place in service.places.services()}
    draws = {radio: radio_draw(profile, radio, service.radio_includes_idle) for radio in sorted(radios)}
    for name in phone_names(device, spec):
        yield AskingPhone(name, device, llm, {radio: RadioMeter(draw) for radio, draw in draws.items()})


def _llm(place: DevicePlace | None, spec: DeviceSpec) -> PhoneLlmRate | None:
    if place is None:
        return None
    chip = load_profile(str(place.soc_of(spec.phone)))
    assert isinstance(chip, SocProfile)
    return chip.llm[place.model]


def _asked_by(requests: Requests, phones: int, rng: np.random.Generator) -> list[int]:
    """Draw which phone asks each question; a session's next turn is asked by the same one."""
    numbers: list[int] = rng.integers(phones, size=len(requests)).tolist()
    if requests.after is None:
        return numbers
    after: list[int] = requests.after.tolist()
    for turn in range(len(after)):
        first = turn
        while after[first] >= 0:
            first = after[first]
        numbers[turn] = numbers[first]
    return numbers


def _qoe(service: AssistantService) -> QoeOf:
    reader = service.reader

    def qoe_of(ttft_s: float, tpot_s: float, tokens: int) -> float:
        if ttft_s <= reader.ttft and tpot_s * reader.tokens_per_s <= 1.0:
            return 1.0  # no token is late
        return float(text_qoe(ttft_s, tpot_s, max(tokens, 2), reader))  # of a single one it is not defined

    return qoe_of
