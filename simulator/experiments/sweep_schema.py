"""JSON Schema of the sweep file, for editors."""

from __future__ import annotations

from typing import Any

from simulator.experiments.sweep_file import Head
from simulator.scenario.schema import DIALECT, schema_of

_END: dict[str, Any] = {
    "type": ["number", "string"],
    "description": "A number, with its unit where it has one.",
}

AXIS: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "minItems": 1, "description": "Values, policies and mappings included."},
        {
            "type": "object",
            "description": "A range, for the designs that sample.",
            "properties": {
                "low": _END,
                "high": _END,
                "scale": {"enum": ["linear", "log"], "default": "linear"},
                "whole": {"type": "boolean", "default": False, "description": "Whole numbers only."},
            },
            "required": ["low", "high"],
            "additionalProperties": False,
        },
    ]
}
"""Schema of the values of one path."""


def sweep_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the sweep file."""
    schema = schema_of(Head)
    axes = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": AXIS,
        "description": "Values by path of the scenario.",
    }
    return {
        "$schema": DIALECT,
        "title": "hetsim sweep",
        **schema,
        "properties": schema["properties"] | {"axes": axes},
        "required": [*schema["required"], "axes"],
    }
