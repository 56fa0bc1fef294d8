"""What a scenario's dataclasses say about the file: fields, choices between members, and which one is meant.

Validation, overrides, the schema and writing back all read the type hints through these functions, so that
they agree on what a file may hold.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from devices.quantity import Quantity, Tagged
from simulator.policies.registry import PolicyOf, policies

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Choice:
    """A value that may be one of several things."""

    members: Mapping[str, Any]
    """Annotation of each member by its tag; without a `key` the tag is only a label."""
    key: str = ""
    """Key of the file whose value is the tag; empty: the shape of the value decides."""
    shorthand: bool = False
    """A bare text stands for a mapping that holds it under `key` and nothing else."""
    policy: bool = False
    """The members are policies: `key` is not one of their fields."""

    def expand(self, value: Any) -> Any:
        """Return `value` with the shorthand written out."""
        return {self.key: value} if self.shorthand and isinstance(value, str) else value

    @property
    def optional(self) -> Any | None:
        """Annotation of the one member that may be left out (the other one is null); None where it is not so."""
        if self.key or len(self.members) != 2 or "null" not in self.members:
            return None
        return next(member for tag, member in self.members.items() if tag != "null")

    def pick(self, value: Any) -> str | None:
        """Return the tag of the member that `value` is meant to be; None where its `key` does not tell."""
        if self.key:
            tag = value.get(self.key) if isinstance(value, dict) else None
            return tag if isinstance(tag, str) and tag in self.members else None
        if value is None and "null" in self.members:
            return "null"
        mappings = [tag for tag, member in self.members.items() if _is_mapping(member)]
        others = [tag for tag in self.members if tag not in mappings and tag != "null"]
        if isinstance(value, dict) and mappings:
            return max(mappings, key=lambda tag: sum(key in keys(self.members[tag], value) for key in value))
        if isinstance(value, str) and value[:1].isalpha():  # a word is meant where words are listed
            others.sort(key=lambda tag: typing.get_origin(self.members[tag]) is not Literal)
        return (others or mappings)[0]


def fields_of(cls: type) -> Mapping[str, Any]:
    """Return the annotation of each field of a dataclass, markers included."""
    return _hints(cls)


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return types.MappingProxyType({field.name: hints[field.name] for field in fields(cls) if field.init})


def required(cls: type) -> frozenset[str]:
    """Return the fields of a dataclass that have no default."""
    return frozenset(
        field.name
        for field in fields(cls)
        if field.init and field.default is MISSING and field.default_factory is MISSING
    )


def default_of(cls: type, name: str) -> Any:
    """Return the default of a field; None where it has none."""
    field = next(field for field in fields(cls) if field.name == name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def quantity_of(annotation: Any) -> Quantity | None:
    """Return the `Quantity` marker of an annotation."""
    return _marker(annotation, Quantity)


def choice_of(annotation: Any) -> Choice | None:
    """Return the choice that an annotation leaves: a tagged union, a policy, or a plain union."""
    if policy := _marker(annotation, PolicyOf):
        return Choice(policies(policy.decision), key="name", shorthand=True, policy=True)
    if tagged := _marker(annotation, Tagged):
        members = {_literal(cls, tagged.key): cls for cls in typing.get_args(annotation.__origin__)}
        return Choice(members, key=tagged.key, shorthand=tagged.shorthand)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return Choice({_label(member, i): member for i, member in enumerate(typing.get_args(annotation))})
    return None


def keys(annotation: Any, value: Any) -> list[str]:
    """Return the keys that may stand in the mapping `value`; those that do, in a mapping by name."""
    if choice := choice_of(annotation):
        value = choice.expand(value)
        tag = choice.pick(value) if value else None
        tags = [tag] if tag is not None else list(choice.members)
        inner = [name for tag in tags for name in keys(choice.members[tag], value)]
        return list(dict.fromkeys([choice.key, *inner] if choice.key else inner))
    if is_dataclass(annotation):
        return list(fields_of(typing.cast(type, annotation)))
    return list(value) if is_named(annotation) and isinstance(value, dict) else []


def narrow(annotation: Any, value: Any, key: str = "") -> Any:
    """Return the member of a choice that `value` is meant to be, itself no choice; None where unclear.

    Where the value does not tell, the first member that has `key` is taken.
    """
    choice = choice_of(annotation)
    if choice is None:
        return annotation
    value = choice.expand(value)
    tag = choice.pick(value)
    if tag is None or (key and not (value and isinstance(value, dict))):
        having = (tag for tag, member in choice.members.items() if key in keys(member, value))
        tag = next(having, tag) if key else tag
    return None if tag is None else narrow(choice.members[tag], value, key)


def descend(annotation: Any, value: Any, step: str | int) -> Any:
    """Return the annotation of what stands at `step` inside `value`; None where nothing can stand there."""
    inner = narrow(annotation, value, str(step))
    if is_dataclass(inner):
        return fields_of(typing.cast(type, inner)).get(str(step))
    if is_named(inner):
        return typing.get_args(inner)[1]
    return typing.get_args(inner)[0] if is_list(inner) else None


def is_named(annotation: Any) -> bool:
    """Return whether a file holds a mapping here whose keys are names that the user chose."""
    return typing.get_origin(annotation) is Mapping


def is_list(annotation: Any) -> bool:
    """Return whether a file holds a list here."""
    return typing.get_origin(annotation) is tuple


def _marker(annotation: Any, kind: type[M]) -> M | None:
    if typing.get_origin(annotation) is not Annotated:
        return None
    return next((marker for marker in annotation.__metadata__ if isinstance(marker, kind)), None)


def _literal(cls: type, key: str) -> str:
    annotation = fields_of(cls)[key]
    if typing.get_origin(annotation) is not Literal:
        raise TypeError(f"{cls.__qualname__}.{key} must be a Literal: it tells the members of a union apart")
    return str(typing.get_args(annotation)[0])


def _label(member: Any, position: int) -> str:
    return "null" if member is type(None) else f"member {position}"


def _is_mapping(annotation: Any) -> bool:
    if choice := choice_of(annotation):
        return any(_is_mapping(member) for member in choice.members.values())
    return is_dataclass(annotation) or is_named(annotation)
