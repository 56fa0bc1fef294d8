"""No dead parameters: each parameter of each registered policy moves some output in a scenario in which it matters."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from devices.errors import InputError
from simulator.policies.registry import DECISIONS, policies
from simulator.scenario import shapes

CONTEXTS: dict[str, list[tuple[str, list[str], str]]] = {
    "batching": [
        ("bench/poisson.yaml", ["workloads.chat.rate=40/s"], "services.chat.policies.batching"),
    ],
    "kv_loading": [("cake/burst.yaml", [], "services.chat.policies.kv_loading")],
    "decoding": [
        ("plato/load.yaml", [], "services.chat.policies.decoding"),
        ("plato/mixed.yaml", [], "services.chat.policies.decoding"),
        ("plato/small_model.yaml", [], "services.chat.policies.decoding"),
    ],
    "node_order": [
        (
            "plato/mixed.yaml",
            ["services.chat.policies.batching={name: chunked_prefill, max_sequences: 3}"],
            "services.chat.policies.node_order",
        ),
    ],
    "queueing": [("cluster/slo_classes.yaml", [], "services.chat.policies.queueing")],
    "routing": [
        ("cake/agents.yaml", ["devices.gpu.count=3"], "services.chat.policies.routing"),
        ("cluster/mixed_pool.yaml", ["workloads.chat.rate=20/s"], "services.chat.policies.routing"),
    ],
    "autoscaling": [
        ("cluster/autoscaling.yaml", more, "services.chat.policies.autoscaling")
        for more in (
            [],
            [
                "workloads.chat.rate=0.5/s",
                "workloads.chat.arrivals.shape=[9, 1, 1, 1]",
                "workloads.chat.arrivals.period=800 s",
            ],
        )
    ],
    "gpu_sharing": [("cluster/shared_gpu.yaml", [], "devices.edge.sharing")],
    "recovery": [
        (
            "faults/gpu_failure.yaml",
            ["workloads.chat.requests=500", "faults.crash.mtbf=6 s", "faults.crash.mttr=1 s"],
            "services.chat.policies.recovery",
        )
    ],
    "placement": [
        ("cluster/placement.yaml", [], "services.ask.policies.placement"),
        ("cluster/placement.yaml", ["workloads.questions.rate=14/s"], "services.ask.policies.placement"),
    ],
    "abr": [
        (
            "oasis/player.yaml",
            ["services.video.policies.collaboration=no_sr", *more],
            "services.video.policies.collaboration.rule",
        )
        for more in ([], ["services.video.buffer=12"], ["workloads.watch.segment=1 s"])
    ],
    "collaboration": [
        (name, [], "services.video.policies.collaboration")
        for name in ("oasis/policies.yaml", "oasis/compute_skew.yaml", "oasis/abr_ablation.yaml")
    ],
}
"""By decision: scenarios, what they need, and where the policy stands."""

TOGETHER: dict[tuple[str, str], tuple[str, str]] = {
    ("decoding", "easy_below"): (
        "easy_below: 0.3, easy_service: small",
        "easy_below: 0.7, easy_service: small",
    ),
    ("decoding", "easy_service"): ("", "easy_below: 0.5, easy_service: small"),
    ("collaboration", "output_height"): ("", "output_height: 1080"),
    ("collaboration", "alpha"): ("", "alpha: 8"),
}
"""By decision and parameter: two settings that must differ, where not any other value will do."""

PARAMETERS = [
    pytest.param(decision, name, parameter.name, id=f"{decision}-{name}-{parameter.name}")
    for decision in CONTEXTS
    for name, policy in policies(decision).items()
    for parameter in fields(policy)
    if parameter.init
]


@pytest.mark.parametrize(("decision", "name", "parameter"), PARAMETERS)
def test_a_parameter_moves_some_output(bench: Any, decision: str, name: str, parameter: str) -> None:
    policy = policies(decision)[name]
    annotation, value = shapes.fields_of(policy)[parameter], shapes.default_of(policy, parameter)
    plain, *others = TOGETHER.get((decision, parameter)) or (
        "",
        *(f"{parameter}: {other}" for other in bench.others(annotation, value, parameter)),
    )
    for scenario, needs, path in CONTEXTS[decision]:
        for other in others:
            try:
                before, after = (
                    bench.print_of(scenario, *needs, f"{path}={{name: {name}, {setting}}}")
                    for setting in (plain, other)
                )
            except InputError:  # no service of that name, no phone that can do it
                continue
            if before != after:
                return
    pytest.fail(f"{decision} policy {name}: {parameter} moves nothing")


def test_every_decision_has_its_contexts() -> None:
    assert set(CONTEXTS) == set(DECISIONS)
