"""JSON Schema of the scenario file, for editors and for reading: names, units, ranges, descriptions."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from itertools import pairwise
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema as core

from devices.quantity import EXAMPLES, NUMBER, UNITS, Quantity
from simulator.scenario import shapes
from simulator.scenario.shapes import Choice
from simulator.scenario.spec import Scenario
from simulator.scenario.validation import core_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""Version of JSON Schema."""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the scenario file, with every policy that is registered."""
    return {"$schema": DIALECT, "title": "hetsim scenario", **schema_of(Scenario)}


def schema_of(cls: type) -> dict[str, Any]:
    """Return the JSON Schema of a dataclass that is read from a file."""
    return _Generator(by_alias=False).generate(core_schema(cls))


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass, those of its bases included, on one line each."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):  # defined where there is no source, such as an interactive session
            continue
        statements = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for field, doc in pairwise(statements):
            match field, doc:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    docs[name] = " ".join(text.split())
    return docs


class _Generator(GenerateJsonSchema):
    """Adds to pydantic's schema what its core schema does not tell."""

    def dataclass_schema(self, schema: core.DataclassSchema) -> JsonSchemaValue:
        """Describe a dataclass and its fields by their docstrings."""
        result = super().dataclass_schema(schema)
        cls = schema["cls"]
        docs = field_docs(cls)
        for name, item in result.get("properties", {}).items():
            item.pop("title", None)
            if name in docs:
                item["description"] = docs[name]
        result.pop("title", None)
        if inspect.getdoc(cls):
            result["description"] = " ".join(str(inspect.getdoc(cls)).split())
        return result

    def function_plain_schema(self, schema: core.PlainValidatorFunctionSchema) -> JsonSchemaValue:
        """Describe a quantity: a number in SI units, or a text with a unit."""
        quantity = schema.get("metadata", {}).get("quantity")
        return {"type": "number"} if quantity is None else quantity_schema(quantity)

    def tagged_union_schema(self, schema: core.TaggedUnionSchema) -> JsonSchemaValue:
        """Require the key that tells the members apart, which may have a default in the dataclass."""
        result = super().tagged_union_schema(schema)
        key = schema.get("metadata", {}).get("key")
        return {**result, "required": [key]} if key else result

    def function_before_schema(self, schema: core.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """Describe a shorthand, or a policy with its name beside its parameters."""
        result = super().function_before_schema(schema)
        metadata = schema.get("metadata", {})
        if name := metadata.get("name"):
            constants = {key: {"const": value} for key, value in name.items()}
            result["properties"] = constants | result.get("properties", {})
            result["required"] = [*name, *result.get("required", [])]
        if choice := metadata.get("shorthand"):
            result = {"anyOf": [_names(choice), result]}
        return result


def quantity_schema(quantity: Quantity) -> JsonSchemaValue:
    """Return the JSON Schema of one quantity."""
    lower = "exclusiveMinimum" if quantity.above_low else "minimum"
    number: dict[str, Any] = {"type": "integer" if quantity.whole else "number", lower: quantity.low}
    if quantity.high < float("inf"):
        number["exclusiveMaximum" if quantity.below_high else "maximum"] = quantity.high
    if quantity.whole:
        return number
    units = "|".join(re.escape(unit) for unit in sorted(UNITS[quantity.unit], key=len, reverse=True))
    text = {
        "type": "string",
        "pattern": f"^\\s*{NUMBER}\\s*({units})\\s*$",
        "examples": [EXAMPLES[quantity.unit]],
    }
    return {"anyOf": [number, text]}


def _names(choice: Choice) -> JsonSchemaValue:
    """Return the schema of the bare names that stand for a member: those with nothing else to give."""
    names = [name for name, member in choice.members.items() if not shapes.required(member) - {choice.key}]
    return {"enum": names}
