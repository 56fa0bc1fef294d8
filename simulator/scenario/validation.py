"""From plain data to the frozen dataclasses: types, units, ranges, unknown keys; every fault at once.

A core schema is built from the type hints and pydantic's engine checks by it. It is built here rather than by
pydantic's own reading of the hints because each choice between members shall be made by what the user wrote:
a fault is then reported once, against the member that was meant. Only the boundary imports this module, and
late: nothing that simulates needs pydantic.
"""

from __future__ import annotations

import math
import typing
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, cast

from pydantic_core import CoreSchema, ErrorDetails, SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from devices.document import Document, Path_
from devices.errors import Fault
from devices.quantity import Quantity, nearest, shown
from devices.sourced import unknown_name
from simulator.policies.registry import DECISIONS, policies
from simulator.scenario import shapes
from simulator.scenario.shapes import Choice

_TAG = "\0"
"""First character of a union tag in pydantic's error locations: no key that a user types has it."""


def validate(annotation: Any, document: Document, path: Path_ = ()) -> tuple[Any, list[Fault]]:
    """Return the part of `document` at `path` as what `annotation` says, and all its faults.

    Where there are faults the value is None.
    """
    data = document.at(path)
    try:
        return _validator(annotation, _registered()).validate_python(data), []
    except ValidationError as error:
        found = [_fault(annotation, document, path, detail) for detail in error.errors(include_url=False)]
        return None, found


@cache
def _validator(annotation: Any, registered: tuple[object, ...]) -> SchemaValidator:
    return SchemaValidator(core_schema(annotation))


def _registered() -> tuple[object, ...]:
    """Return all known policies: one that is registered after the first file was read counts too."""
    return tuple((decision, *policies(decision).items()) for decision in DECISIONS)


def core_schema(annotation: Any) -> CoreSchema:
    """Return pydantic's core schema of an annotation; ``metadata`` carries what JSON Schema needs besides."""
    builder = _Builder()
    schema = builder.build(annotation)
    return core.definitions_schema(schema, list(builder.definitions.values()))


_ANY_WHOLE = Quantity("", low=-1e12, high=1e12, whole=True)
"""What a policy's parameter of type `int` may be; `Count` and its kin say it more sharply."""


class _Builder:
    """Builds core schemas; dataclasses go into `definitions`, each once."""

    def __init__(self) -> None:
        self.definitions: dict[str, CoreSchema] = {}

    def build(self, annotation: Any) -> CoreSchema:  # noqa: PLR0911 (one per kind of annotation)
        if choice := shapes.choice_of(annotation):
            return self._choice(choice)
        if quantity := shapes.quantity_of(annotation):
            return core.no_info_plain_validator_function(quantity.parse, metadata={"quantity": quantity})
        if is_dataclass(annotation):
            return self._defined(cast(type, annotation))
        if typing.get_origin(annotation) is Literal:
            return _literal(typing.get_args(annotation))
        if shapes.is_named(annotation):
            return core.dict_schema(core.str_schema(), self.build(typing.get_args(annotation)[1]))
        if shapes.is_list(annotation):
            return core.tuple_variable_schema(self.build(typing.get_args(annotation)[0]))
        plain: dict[Any, CoreSchema] = {
            str: core.str_schema(strict=True),
            bool: core.bool_schema(strict=True),
            int: core.no_info_plain_validator_function(_ANY_WHOLE.parse, metadata={"quantity": _ANY_WHOLE}),
            float: core.no_info_plain_validator_function(_number, metadata={"number": True}),
            type(None): core.none_schema(),
        }
        return plain[annotation]

    def _choice(self, choice: Choice) -> CoreSchema:
        if choice.optional is not None:
            return core.nullable_schema(self.build(choice.optional))

        def pick(value: Any) -> str | None:
            tag = choice.pick(value)
            return None if tag is None else _TAG + tag

        members = {
            _TAG + tag: self._policy(tag, member, choice.key) if choice.policy else self.build(member)
            for tag, member in choice.members.items()
        }
        union = core.tagged_union_schema(
            members,
            pick,
            custom_error_type="choice",
            custom_error_message="no member is meant",
            metadata={"key": choice.key},
        )
        if not choice.shorthand:
            return union
        return core.no_info_before_validator_function(choice.expand, union, metadata={"shorthand": choice})

    def _policy(self, name: str, cls: type, key: str) -> CoreSchema:
        """Return the schema of a policy, beside whose parameters stands its name."""

        def parameters(value: dict[str, Any]) -> dict[str, Any]:
            return {name: given for name, given in value.items() if name != key}

        metadata = {"name": {key: name}}
        return core.no_info_before_validator_function(parameters, self._record(cls), metadata=metadata)

    def _defined(self, cls: type) -> CoreSchema:
        ref = cls.__qualname__
        if ref not in self.definitions:
            self.definitions[ref] = core.any_schema()  # a place holder, should the class hold itself
            self.definitions[ref] = self._record(cls, ref)
        return core.definition_reference_schema(ref)

    def _record(self, cls: type, ref: str | None = None) -> core.DataclassSchema:
        hints = shapes.fields_of(cls)
        items = []
        for field in fields(cast(Any, cls)):
            if not field.init:
                continue
            schema = self.build(hints[field.name])
            if field.default_factory is not MISSING:
                schema = core.with_default_schema(schema, default_factory=field.default_factory)
            elif field.default is not MISSING:
                schema = core.with_default_schema(schema, default=field.default)
            items.append(core.dataclass_field(field.name, schema, kw_only=True))
        return core.dataclass_schema(
            cls,
            core.dataclass_args_schema(cls.__name__, items),
            [field.name for field in fields(cast(Any, cls))],
            post_init=hasattr(cls, "__post_init__"),
            slots=True,
            ref=ref,
            config=core.CoreConfig(extra_fields_behavior="forbid"),
        )


def _literal(allowed: tuple[Any, ...]) -> CoreSchema:
    def no_boolean(value: Any) -> Any:
        if isinstance(value, bool):  # pydantic takes true for 1
            raise ValueError(_not_listed(value, allowed))
        return value

    schema = core.literal_schema(list(allowed))
    return core.no_info_before_validator_function(no_boolean, schema) if 1 in allowed else schema


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{number} is not allowed; allowed: finite numbers")
    return number


def _fault(  # noqa: PLR0911 (one per kind of error)
    annotation: Any, document: Document, base: Path_, detail: ErrorDetails
) -> Fault:
    """Translate one error of pydantic's into a fault with the user's path and words."""
    steps = tuple(step for step in detail["loc"] if not (isinstance(step, str) and step.startswith(_TAG)))
    path = base + steps
    value = detail["input"]
    match detail["type"]:
        case "value_error":
            return document.fault(path, str(detail["ctx"]["error"]))
        case "missing":
            return document.fault(path, "is missing", key=True)
        case "unexpected_keyword_argument":
            around = _annotation_at(annotation, document.at(base), steps[:-1])
            known = shapes.keys(around, document.at(path[:-1]))
            return document.fault(path, unknown_name("key", str(steps[-1]), known), key=True)
        case "choice":
            choice = shapes.choice_of(_annotation_at(annotation, document.at(base), steps))
            while choice is not None and not choice.key:
                choice = shapes.choice_of(choice.members[str(choice.pick(value))])
            return _choice_fault(cast(Choice, choice), document, path, value)
        case "literal_error" | "int_parsing_size":  # the latter for a huge number among numbers
            allowed = typing.get_args(
                shapes.narrow(_annotation_at(annotation, document.at(base), steps), value)
            )
            return document.fault(path, _not_listed(value, allowed))
        case kind if kind in _EXPECTED:
            return document.fault(path, f"{shown(value)} is not {_EXPECTED[kind]}")
        case _:
            return document.fault(path, f"{shown(value)} is not allowed: {detail['msg']}")


_EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}


def _annotation_at(annotation: Any, value: Any, steps: Path_) -> Any:
    for step in steps:
        choice = shapes.choice_of(annotation)
        annotation = shapes.descend(annotation, value, step)
        value = (choice.expand(value) if choice else value)[step]
    return annotation


def _choice_fault(choice: Choice, document: Document, path: Path_, value: Any) -> Fault:
    """Say what is wrong with a mapping whose `key` does not tell which member it is."""
    if isinstance(value, dict) and choice.key not in value:
        names = ", ".join(choice.members)
        return document.fault((*path, choice.key), f"is missing; allowed: {names}", key=True)
    if not isinstance(value, dict):
        shorthand = "a name or " if choice.shorthand else ""
        return document.fault(path, f"{shown(value)} is not {shorthand}a mapping with {choice.key!r}")
    # In the shorthand the name stands at `path` itself.
    written = document.at(path)
    place = (*path, choice.key) if isinstance(written, dict) else path
    return document.fault(place, _not_listed(value[choice.key], tuple(choice.members)))


def _not_listed(value: Any, allowed: tuple[Any, ...]) -> str:
    message = f"{shown(value)} is not allowed; allowed: {', '.join(str(entry) for entry in allowed)}"
    if isinstance(value, str) and (
        near := nearest(value, [entry for entry in allowed if isinstance(entry, str)])
    ):
        message += f"; nearest: {near}"
    return message
