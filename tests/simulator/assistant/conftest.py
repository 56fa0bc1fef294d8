"""Assistants over random scenarios of the laboratory."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from simulator.policies.placement.energy_aware import EnergyAware
from simulator.policies.placement.latency_threshold import LatencyThreshold
from simulator.policies.placement.one_place import CloudOnly, DeviceOnly, EdgeOnly
from simulator.policies.placement.qoe_aware import QoeAware
from simulator.scenario.assistant_spec import (
    AssistantPolicies,
    AssistantService,
    DevicePlace,
    Places,
    ServicePlace,
)
from simulator.scenario.spec import (
    BandwidthTrace,
    DeviceSpec,
    LinkSpec,
    PrefillSpec,
    Scenario,
    SpeculativeSpec,
)

POLICIES: tuple[Callable[[], Any], ...] = (
    DeviceOnly,
    EdgeOnly,
    CloudOnly,
    LatencyThreshold,
    EnergyAware,
    QoeAware,
    lambda: EnergyAware(patience=0.5),
    lambda: LatencyThreshold(ttft=0.1, tpot=0.05),
    lambda: QoeAware(qoe=2.0, quality=0.1, per_joule=0.05, per_second=0.1),
)
"""Makes each placement policy, some with other parameters too."""

ALL = Places(
    device=DevicePlace("llama-3.2-3b", "snapdragon-8-elite", 0.5),
    edge=ServicePlace("chat", "wlan", ("wifi",), 0.7),
    cloud=ServicePlace("far", "5g-low", ("cell", "wan"), 0.9),
)
"""One of each."""


FAR: dict[str, dict[str, Any]] = {
    "plain": {},
    "speculative": {"speculative": SpeculativeSpec("llama-2-7b", acceptance=0.9)},
    "all accepted": {"speculative": SpeculativeSpec("llama-2-7b", acceptance=1.0, draft_tokens=7)},
    "pipeline": {"tensor_parallel": 1, "pipeline_parallel": 2},
    "long pipeline": {"pipeline_parallel": 8, "background_share": 0.5},
    "prefill apart": {"prefill": PrefillSpec("gpu", "wan", pipeline_parallel=4)},
}
"""Ways for the cloud's service to compute, as fields of it."""


class Town:
    """Makes scenarios with an assistant."""

    policies = POLICIES
    far = FAR
    places = ALL

    def __init__(self, lab: Any) -> None:
        self.lab = lab

    def assistant(self, placement: object, places: Places = ALL, **fields: Any) -> AssistantService:
        """An assistant with the phones ``phones``."""
        policies = AssistantPolicies(placement=placement)
        return AssistantService("assistant", ("phones",), places, policies=policies, **fields)

    def scenario(self, placement: object, rows: list[Any], phones: int = 1, **fields: Any) -> Scenario:
        """Questions (arrival in s, input tokens, output tokens) for one assistant; `fields` are of the assistant."""
        base = self.lab.scenario(self.lab.trace(rows, service="ask"), self.lab.llm())
        return self._with_assistant(base, self.assistant(placement, **fields), self.lab.llm(), phones)

    def random(self, seed: int, placement: object, far_as: str = "plain") -> Scenario:
        """Any services, workloads, links and phones; `far_as`: a key of `FAR`."""
        rng = random.Random(seed)
        base = self.lab.random_scenario(seed)
        workload = replace(base.workloads["work"], service="ask")
        far = self.lab.llm(
            **{
                "model": "llama-3.1-8b",
                "tensor_parallel": 2,
                "replicas": rng.choice([1, 2]),
                "prefix_cache": rng.random() < 0.5,
                **FAR[far_as],
            }
        )
        assistant = self.assistant(
            placement,
            prompt_token_bytes=rng.choice([0.0, 4.0, 2e5]),
            answer_token_bytes=rng.choice([0.0, 250.0, 1e5]),
            expected_answer_tokens=rng.choice([1, 50, 1000]),
            radio_includes_idle=rng.random() < 0.5,
        )
        base = replace(base, workloads={"work": workload})
        scenario = self._with_assistant(base, assistant, far, rng.choice([1, 3, 20]))
        wave = BandwidthTrace(times=(0.0, 0.3, 1.0), values=(rng.choice([1e4, 1e7]), 5e6))
        return replace(scenario, links={**scenario.links, "cell": LinkSpec("5g-midband", bandwidth=wave)})

    @staticmethod
    def _with_assistant(base: Scenario, assistant: AssistantService, far: Any, phones: int) -> Scenario:
        places = assistant.places
        used = {link for _, place in places.services() for link in place.links}
        links = {
            "wifi": LinkSpec("wifi-5"),
            "cell": LinkSpec("5g-midband"),
            "wan": LinkSpec("ethernet-10g", latency=0.02),
        }
        return replace(
            base,
            devices={**base.devices, "phones": DeviceSpec("galaxy-s22-plus", count=phones)},
            links={name: link for name, link in links.items() if name in used},
            services={**base.services, "far": far, "ask": assistant},
        )


@pytest.fixture
def town(lab: Any) -> Town:
    """The maker of scenarios."""
    return Town(lab)
