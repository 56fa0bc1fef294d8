"""Runs of small scenarios with one thing changed."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

import pytest

from devices.document import dump_yaml
from devices.errors import InputError
from simulator.scenario import shapes
from simulator.scenario.load import to_data
from simulator.scenario.spec import Scenario

NAMES = {
    "profile": [
        "a100-40g-sxm",
        "h100-80g-sxm",
        "nvme-gen5",
        "hdd-7200",
        "galaxy-s10",
        "pixel-5",
        "ethernet-10g",
        "ethernet-25g",
        "wifi-6",
        "galaxy-s20-ultra",
    ],
    "model": ["llama-2-7b", "qwen3-8b", "vicuna-7b"],
    "engine": ["vllm-0.12", "vllm-0.6"],
    "like": ["oboe", "irish-5g"],
    "soc": ["snapdragon-8-gen-2", "qcs6490", "snapdragon-8-gen-3"],
    "network": ["xlsr", "quicksrnet-small"],
}
"""Other names for fields that name an entry of a catalogue."""


def candidates(annotation: Any, value: Any, key: str) -> Iterator[Any]:
    """Yield other values that may be allowed for a field."""
    choice = shapes.choice_of(annotation)
    if choice is not None:
        if choice.key:
            yield from (tag for tag in choice.members if tag != value)
            return
        if value is not None and "null" in choice.members:
            yield None
        for tag, member in choice.members.items():
            if tag != "null":
                yield from candidates(member, value, key)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from (it for it in typing.get_args(annotation) if it != value)
    elif annotation is bool:
        yield not value
    elif annotation is float or annotation is int or shapes.quantity_of(annotation):
        yield from _numbers(annotation, value)
    elif annotation is str:
        yield from (it for it in NAMES.get(key, ()) if it != value)
    elif shapes.is_list(annotation) and value:
        yield list(value[:-1])
        if len(value) > 1:
            yield list(reversed(value))


def _numbers(annotation: Any, value: Any) -> Iterator[float]:
    quantity = shapes.quantity_of(annotation)
    whole = annotation is int or (quantity is not None and quantity.whole)
    if isinstance(value, int | float) and not isinstance(value, bool):
        tries = (
            [value + 1, value * 2, value // 2, value // 8, 0]
            if whole
            else [value * 1.1, value * 0.5, value + 0.5, 0.0]
        )
    else:
        tries = [1, 2, 16, 256] if whole else [0.5, 2.0, 30.0, 1e6, 1e9, 2.5e10]
    yield from (it for it in tries if it != value)


def leaves(annotation: Any, value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, annotation and value of every field below a value of plain data."""
    inner = shapes.narrow(annotation, value)
    choice = _tagged(annotation, value)
    if isinstance(value, dict) and (is_dataclass(inner) or shapes.is_named(inner)):
        if choice is not None and choice.key:
            yield ".".join(path), annotation, value[choice.key]
        for key, entry in value.items():
            if choice is not None and key == choice.key:
                continue
            yield from leaves(shapes.descend(annotation, value, key), entry, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, entry in enumerate(value):
            yield from leaves(shapes.descend(annotation, value, index), entry, (*path, str(index)))
    else:
        yield ".".join(path), annotation, value


def _tagged(annotation: Any, value: Any) -> Any:
    """Return the choice by a tag, if that is what a value is of; it may stand in a choice by shape."""
    choice = shapes.choice_of(annotation)
    while choice is not None and not choice.key:
        annotation = choice.members[choice.pick(value)]
        choice = shapes.choice_of(annotation)
    return choice


def written(data: Any, path: str) -> bool:
    """Whether a file's data has a field itself, and not only by default."""
    for step in path.split("."):
        if isinstance(data, list):
            data = data[int(step)]
        elif isinstance(data, dict) and step in data:
            data = data[step]
        else:
            return False
    return True


def kind_of(path: str) -> str:
    """Return a path with the names that the user chose, and indices, as ``*``."""
    path = re.sub(r"^(devices|services|workloads|links|faults|accounting\.prices)\.[^.]+", r"\1.*", path)
    path = re.sub(r"\.helpers\.[^.]+", ".helpers.*", path)
    return re.sub(r"\.\d+(?=\.|$)", ".*", path)


class Bench:
    """Runs small scenarios with one field changed, and remembers what they give unchanged."""

    kind_of = staticmethod(kind_of)
    written = staticmethod(written)

    def __init__(self, shipped: Any) -> None:
        self.shipped = shipped
        self._plain: dict[str, str] = {}

    def fields(self, name: str) -> list[tuple[str, Any, Any]]:
        """Return every field of a scenario: path, annotation, value."""
        return list(leaves(Scenario, to_data(self.shipped.load(name))))

    def print_of(self, name: str, *overrides: str) -> str:
        return str(self.shipped.fingerprint(self.shipped.run(name, self.shipped.load(name, overrides))))

    def changes(self, name: str, path: str, annotation: Any, value: Any) -> Iterator[bool]:
        """Yield for every allowed change of a field whether it changes the run."""
        if name not in self._plain:
            self._plain[name] = self.print_of(name)
        for other in candidates(annotation, value, path.rpartition(".")[2]):
            try:
                found = self.print_of(name, f"{path}={dump_yaml(other).strip()}")
            except InputError:
                continue
            yield found != self._plain[name]

    def others(self, annotation: Any, value: Any, key: str) -> Iterator[str]:
        """Yield other values that may be allowed for a field, as texts."""
        return (dump_yaml(other).strip() for other in candidates(annotation, value, key))


@pytest.fixture(scope="session")
def bench(shipped: Any) -> Bench:
    """One for all tests."""
    return Bench(shipped)
