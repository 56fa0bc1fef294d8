"""No dead values: every number of every device, engine and model of a shipped scenario moves some output.

Each number is made a tenth larger, one at a time, in the shipped scenarios (small ones) that use its file, then in
`FURTHER` ones; or it is declared inert with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from fnmatch import fnmatch
from typing import Any

import pytest

import devices.catalogue
import simulator.serving.engines
import simulator.serving.models
from devices.catalogue import load_profile
from devices.errors import InputError
from devices.phones import PhoneProfile, SocProfile
from devices.profiles import GpuProfile, LinkProfile, StorageProfile
from simulator.scenario.spec import Scenario
from simulator.scenario.streaming_spec import PhoneSpec
from simulator.serving.engines import EngineProfile, load_engine
from simulator.serving.models import ModelSpec, load_model

INERT = {
    "playback.*.power_w": "nothing reads it: decoding and screen are counted one by one",
    "llm.llama-2-7b.chunk_tokens": "one chunk is its whole context",
    "cross_validated_error": "says how good the fit is",
}
"""Patterns of values that nothing in the simulator reads, each with the reason."""

INERT_OF_LINKS = {
    "active_w": "what a link draws is counted at its ends: radios of phones, storage devices, GPUs"
}
"""The same of links alone."""

ENGINES = ("vllm-0.6", "vllm-0.12", "transformers-4.28")

GPU, TP = "devices.gpu.profile=NAME", "services.chat.tensor_parallel=4"
CROWD = [
    "workloads.chat.arrivals=at_once",
    "workloads.chat.requests=1200",
    "workloads.chat.input_tokens=1",
    "workloads.chat.output_tokens=3",
    "services.chat.policies.batching=chunked_prefill",
]
LONG = [  # more KV than any GPU holds
    "workloads.chat.arrivals=at_once",
    "workloads.chat.requests=200",
    "workloads.chat.input_tokens=1000",
    "workloads.chat.output_tokens=400",
]
FULL = [  # more prompts than any tier holds, each one block
    "devices.disk={profile: NAME}",
    "services.chat.kv_bits=32",
    "workloads.chat.input_tokens=100000",
    "workloads.chat.hash_block_tokens=100000",
    "workloads.chat.requests=8000",
    "horizon=1 ms",
]
ASKING = [  # one prompt that leaves next to nothing of the context of a phone's model
    "services.ask.policies.placement=device_only",
    "services.ask.places.device={soc: NAME, model: MODEL}",
    "workloads.questions.requests=1",
]
ASKED = {"llama-2-7b": 1000}
"""By model: tokens of that prompt, where the context is shorter than that of most."""
PHONES = ["devices.phones.profile=NAME", "services.video.super_resolution=[180p-720p]"]
MODELS_ON_PHONES = (
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-3.1-8b",
    "mistral-7b",
    "phi-3.5-mini",
    "llama-2-7b",
)
COMBINATIONS = ("180p-1080p", "360p-720p", "360p-1080p")
FURTHER: dict[type, list[tuple[str, list[str]]]] = {
    GpuProfile: [
        *(("bench/poisson.yaml", [GPU, f"services.chat.precision={it}"]) for it in ("fp8", "int8", "int4")),
        *(("bench/poisson.yaml", [GPU, f"services.chat.engine={it}"]) for it in ENGINES),
        ("bench/poisson.yaml", [GPU, TP, "workloads.chat.input_tokens=4000"]),
        ("bench/poisson.yaml", [GPU, TP, "services.chat.model=mixtral-8x7b"]),
        ("bench/poisson.yaml", [GPU, *LONG, "services.chat.model=vicuna-13b"]),
        ("cluster/edge_helper.yaml", [GPU, "services.video.group_size=1"]),  # more groups than video engines
    ],
    StorageProfile: [
        ("cake/single.yaml", ["devices.disk={profile: NAME}"]),
        (
            "cake/single.yaml",
            [
                "devices.disk={profile: NAME}",
                "services.chat.kv_write=write_through",
                "workloads.chat.stored.share=0.5",
            ],
        ),
        ("cake/single.yaml", FULL),
    ],
    LinkProfile: [("cluster/placement.yaml", ["links.internet={profile: NAME}"])],
    PhoneProfile: [
        ("oasis/phones.yaml", PHONES),
        ("oasis/heat.yaml", [*PHONES, "devices.phones.phone.thermal.ambient_c=40"]),
        *(
            ("oasis/phones.yaml", [*PHONES, f"devices.phones.phone.radio={it}"])
            for it in ("5g-low", "5g-mmwave")
        ),
        *(
            ("cluster/placement.yaml", [PHONES[0], f"services.ask.places.cloud.radio={it}"])
            for it in ("lte", "5g-low", "5g-mmwave")
        ),
        ("oasis/phones.yaml", [*PHONES, "devices.phones.phone.npu={soc: snapdragon-8-elite}"]),
        *(
            ("oasis/phones.yaml", [PHONES[0], f"services.video.super_resolution=[{it}]"])
            for it in COMBINATIONS
        ),
    ],
    SocProfile: [
        (
            "cluster/placement.yaml",
            [
                *(text.replace("MODEL", model) for text in ASKING),
                f"workloads.questions.input_tokens={ASKED.get(model, 4050)}",
                f"workloads.questions.output_tokens={tokens}",
            ],
        )
        for model in MODELS_ON_PHONES
        for tokens in (10, 100)
    ]
    + [
        (
            "oasis/flagship.yaml",
            [f"devices.flagship.phone.npu={{soc: NAME, network: {network}, precision: {it}}}"],
        )
        for network in ("sesr-m5", "xlsr", "real-esrgan-general", "real-esrgan-x4plus")
        for it in ("w8a8", "float")
    ],
    EngineProfile: [
        ("cake/single.yaml", ["services.chat.engine=NAME"]),
        ("cake/single.yaml", ["services.chat.engine=NAME", "services.chat.policies.kv_loading=io_only"]),
        ("bench/poisson.yaml", ["services.chat.engine=NAME", *CROWD]),
        ("bench/poisson.yaml", ["services.chat.engine=NAME", *CROWD, "workloads.chat.input_tokens=900"]),
    ],
    ModelSpec: [
        ("bench/poisson.yaml", ["services.chat.model=NAME", f"workloads.chat.input_tokens={tokens}"])
        for tokens in (2100, 4200, 34_000, 135_000)
    ]
    + [
        ("bench/poisson.yaml", ["services.chat.model=NAME", *LONG]),
        # A model that is too large for one GPU.
        (
            "bench/poisson.yaml",
            [
                *("services.chat.model=NAME", "services.chat.tensor_parallel=2", *LONG),
                "workloads.chat.requests=300",
                "workloads.chat.output_tokens=1500",
            ],
        ),
        ("bench/poisson.yaml", ["services.chat.model=NAME", TP, "workloads.chat.input_tokens=34000"]),
        # those too large for one GPU
        ("bench/poisson.yaml", ["services.chat.model=NAME", TP, "workloads.chat.input_tokens=135000"]),
        ("bench/poisson.yaml", ["services.chat.model=NAME", TP, "devices.gpu.memory=40 GB", *LONG]),
    ],
}
"""By kind: scenarios and what they need so that the rest of a file called NAME matters."""

CATALOGUES: dict[str, tuple[Any, Callable[[str], Any]]] = {
    "device": (devices.catalogue, load_profile),
    "engine": (simulator.serving.engines, load_engine),
    "model": (simulator.serving.models, load_model),
}
"""By kind of file: the module whose ``_load`` reads one, and the function that asks it."""

DEVICES = (
    *("a100-40g-sxm", "a100-80g-sxm", "a40", "h100-80g-sxm", "l40s"),
    *("5g-midband", "ethernet-100g", "ethernet-10g", "ethernet-25g", "wifi-5", "wifi-6"),
    *("dram-pcie4", "ideal-store", "nvme-array-4x-gen4", "nvme-gen4", "remote-rdma-100g", "remote-tcp-25g"),
    *("galaxy-s10", "galaxy-s20-ultra", "galaxy-s21-ultra", "galaxy-s22-plus", "pixel-5"),
    *("snapdragon-7s-gen-3", "snapdragon-8-elite", "snapdragon-8-gen-1"),
)
MODELS = (
    *("llama-2-13b", "llama-2-7b", "llama-3.1-70b", "llama-3.1-8b", "longalpaca-13b", "longalpaca-7b"),
    *("mixtral-8x7b", "qwen3-32b"),
    *("vicuna-13b", "vicuna-33b", "vicuna-7b"),
)
FAST = {"a100-80g-sxm", "nvme-gen4", "galaxy-s20-ultra", "snapdragon-8-elite", "vllm-0.6", "llama-3.1-8b"}
"""One file of each kind; the others are `slow`."""


def used(scenario: Scenario) -> set[tuple[str, str]]:
    """Return catalogue and name of every file that a scenario stands on."""
    names = {("device", spec.profile) for spec in (*scenario.devices.values(), *scenario.links.values())}
    for spec in scenario.devices.values():
        if isinstance(spec.phone, PhoneSpec) and spec.phone.npu is not None:
            names.add(("device", spec.phone.npu.soc))
    for assistant in scenario.assistants.values():
        if assistant.places.device is not None and assistant.places.device.soc is not None:
            names.add(("device", assistant.places.device.soc))
    for service in scenario.llm_services.values():
        names |= {("engine", service.engine), ("model", service.model)}
    return names


def numbers(profile: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every number of a profile, those of its sections included."""
    for field in fields(profile):
        value = getattr(profile, field.name)
        if field.name == "evidence" or isinstance(value, str):
            continue
        if isinstance(value, int | float):
            if (
                value or not isinstance(profile, ModelSpec) or isinstance(value, bool)
            ):  # 0: it has no such part
                yield (*path, field.name)
        else:
            for key, entry in value.items():
                yield from numbers(entry, (*path, field.name, key))


def enlarged(profile: Any, path: tuple[str, ...]) -> Any:
    """Return a profile with one number a tenth larger; whole ones by at least 1."""
    name, *rest = path
    value = getattr(profile, name)
    if rest:
        key, *inner = rest
        return replace(profile, **{name: {**value, key: enlarged(value[key], tuple(inner))}})
    return replace(profile, **{name: OTHER.get(name) or _larger(name, value)})


OTHER = {"weight_bits": 8, "kv_bits": 8}
"""Values of numbers that come from a short list."""


def _larger(name: str, value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + max(1, value // 10)
    return value * 1.1 or (1e13 if "bandwidth" in name else 1.0)


def dead(shipped: Any, catalogue: str, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """Return the values of a file that move nothing anywhere, and how many were tried."""
    module, load = CATALOGUES[catalogue]
    profile, read = load(name), module._load
    users = [(it, ()) for it in shipped.names if (catalogue, name) in used(shipped.load(it))]
    further = FURTHER.get(type(profile), [])
    places = [
        *users,
        *((it, [text.replace("NAME", name) for text in needs]) for it, needs in further),
    ]
    scenarios: dict[int, Scenario | None] = {}
    plain: dict[int, str] = {}

    def moves(other: Any, place: int) -> bool:
        base, needs = places[place]
        if place not in scenarios:
            try:
                scenarios[place] = shipped.load(base, needs)
            except InputError:  # such as a radio that this phone does not have
                scenarios[place] = None
            else:
                plain[place] = shipped.fingerprint(shipped.run(base, scenarios[place]))
        if scenarios[place] is None:
            return False
        with monkeypatch.context() as patch:
            patch.setattr(module, "_load", lambda *key: other if read(*key) is profile else read(*key))
            return bool(shipped.fingerprint(shipped.run(base, scenarios[place])) != plain[place])

    found, tried = [], 0
    inert = INERT | (INERT_OF_LINKS if isinstance(profile, LinkProfile) else {})
    for path in numbers(profile):
        label = ".".join(path)
        if any(fnmatch(label, pattern) for pattern in inert):
            continue
        tried += 1
        if not any(moves(enlarged(profile, path), place) for place in range(len(places))):
            found.append(label)
    return found, tried


def shipped_files() -> list[Any]:
    """Return catalogue and name of every file that a shipped scenario stands on, as parameters."""
    files = sorted(
        {("device", name) for name in DEVICES}
        | {("engine", name) for name in ENGINES}
        | {("model", name) for name in MODELS}
    )
    return [pytest.param(*it, marks=() if it[1] in FAST else pytest.mark.slow, id=it[1]) for it in files]


@pytest.mark.parametrize(("catalogue", "name"), shipped_files())
def test_every_number_moves_some_output(
    shipped: Any, catalogue: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, tried = dead(shipped, catalogue, name, monkeypatch)
    assert found == []
    assert tried >= 3


def test_the_files_are_those_of_the_shipped_scenarios(shipped: Any) -> None:
    needed = {it for name in shipped.names for it in used(shipped.load(name))}
    assert needed == {tuple(it.values) for it in shipped_files()}
