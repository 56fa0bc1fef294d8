"""What is wrong with an assistant is said at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.scenario.load import load

SCENARIO = Path(__file__).parents[3] / "scenarios/cluster/placement.yaml"
PLACES = "services.ask.places"

WRONG = {
    f"{PLACES}.device.model=llama-3.2-4b": "places.device.model: unknown language model of snapdragon-8-elite "
    "'llama-3.2-4b'; nearest: llama-3.2-3b",
    f"{PLACES}.device.soc=qcs6490": "no rate of a language model is known for qcs6490; it is for: snapdragon-8-elite, "
    "snapdragon-8-gen-3",
    f"{PLACES}.device.soc=l40s": "'l40s' is a gpu profile; allowed: soc profiles",
    f"{PLACES}.device={{model: llama-3.2-3b}}": "needs a soc: phones has no npu that would name one",
    f"{PLACES}.edge.service=edgy": "places.edge.service: unknown service 'edgy'; nearest: edge",
    f"{PLACES}.edge.service=ask": "service 'ask' is of kind assistant; allowed: services of kind llm",
    f"{PLACES}.edge.links=[wify]": "places.edge.links.0: unknown link 'wify'; nearest: wifi",
    f"{PLACES}.cloud.links=[cellular, internet, cellular]": "'cellular' is listed twice",
    f"{PLACES}.edge.links=[]": "links.wifi: no device or place uses it",
    f"{PLACES}.cloud.radio=6g": "allowed",
    f"{PLACES}.edge.quality=1.5": "out of range",
    f"{PLACES}={{}}": "is empty; at least one of device, edge and cloud is needed",
    f"{PLACES}.device=null\tservices.ask.policies.placement=device_only": "needs the place device; the assistant has: "
    "edge, cloud",
    "services.ask.phones=[edge_gpu]": "device 'edge_gpu' is of kind gpu; allowed: devices of kind phone",
    "services.ask.phones=[]": "is empty; at least one device of kind phone is needed",
    "devices.phones.profile=galaxy-s10": "galaxy-s10 has no 5g-low; allowed: lte, wlan",
    "devices.phones.phone={battery: 0.5}": "says what only a streaming service reads",
    "services.ask.policies.placement=devise_only": "nearest: device_only",
    "services.ask.policies.placement={name: qoe_aware, qoe: -1}": "out of range",
    "faults={dead: {device: phones, kind: failure, at: 1 s}}": "no streaming service has 'phones': faults of phones "
    "that only ask are not modelled",
    "workloads.questions.service=edge": "services.ask: no workload gives it questions",
    "workloads.questions={trace: video, service: ask}": "'ask' takes requests, not what a 'video' workload gives",
}


@pytest.mark.parametrize("change", WRONG)
def test_is_refused(change: str) -> None:
    with pytest.raises(InputError) as found:
        load(SCENARIO, change.split("\t"))
    assert WRONG[change] in str(found.value)


def test_the_chip_may_stand_with_the_phone() -> None:
    scenario = load(
        SCENARIO,
        [f"{PLACES}.device={{model: llama-3.2-3b}}", "devices.phones.phone={npu: {soc: snapdragon-8-elite}}"],
    )
    place = scenario.assistants["ask"].places.device
    assert place is not None
    assert place.soc_of(scenario.devices["phones"].phone) == "snapdragon-8-elite"
