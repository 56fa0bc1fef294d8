"""The text of a file of sourced values (`devices.sourced`), so that a fit can write what a person can read.

One canonical form: an entry stands on one line where it fits, else one key per line. What `format_device_file`
writes reads back as the same document, and formatting it again changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devices.quantity import format_quantity

LINE_WIDTH = 110
_PLAIN = re.compile(r"[A-Za-z0-9(][^:#{}\[\],&*?|<>=!%@`\"'\n]*")
_URL = re.compile(r"https?://[^\s,{}\[\]#]+")
_SPECIAL = {"true", "false", "null", "yes", "no", "on", "off", "nan", "inf"}
_NUMBER = re.compile(r"[-+]?(\d[\d_]*)?(\.\d*)?([eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a device file as a fit finds it."""

    value: float
    """In SI units."""
    unit: str
    """SI unit; empty for a ratio or a count, ``OP/s`` for a rate of whole numbers."""
    source: str
    """Key of the file's sources."""
    kind: str
    """``measured``, ``fitted`` or ``assumed``."""
    note: str = ""
    """How it was found."""
    low: float | None = None
    """Lower end of its interval."""
    high: float | None = None
    """Upper end of its interval."""
    valid: str = ""
    """Where it holds."""
    error: float | None = None
    """Cross-validated median relative error of the fit."""

    def as_document(self) -> dict[str, Any]:
        """Return the entry as it stands in a file; numbers have four digits."""
        document: dict[str, Any] = {
            "value": _quantity(self.value, self.unit),
            "source": self.source,
            "kind": self.kind,
        }
        for key in ("low", "high"):
            if (end := getattr(self, key)) is not None:
                document[key] = _quantity(end, self.unit)
        if self.error is not None:
            document["error"] = float(f"{self.error:.2g}")
        for key in ("valid", "note"):
            if text := getattr(self, key):
                document[key] = text
        return document


def with_entries(document: Mapping[str, Any], entries: Mapping[tuple[str, ...], Entry]) -> dict[str, Any]:
    """Return a copy of a device file's document with `entries` in place, by path such as ``("values", "idle_w")``."""
    result: dict[str, Any] = json.loads(json.dumps(document))
    for path, entry in entries.items():
        place = result
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = entry.as_document()
    return result


def format_device_file(document: Mapping[str, Any]) -> str:
    """Return the text of a device file."""
    lines: list[str] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            lines += ["", *_mapping(key, value, 0)]
        else:
            lines.append(f"{key}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def _mapping(key: str, value: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    if not value:
        yield f"{indent}{key}: {{}}"
        return
    if "kind" in value and "value" in value:
        flow = ", ".join(f"{name}: {_scalar(one)}" for name, one in value.items())
        line = f"{indent}{key}: {{{flow}}}"
        if len(line) <= LINE_WIDTH:
            yield line
            return
    yield f"{indent}{key}:"
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _mapping(name, one, depth + 1)
        else:
            yield f"{indent}  {name}: {_scalar(one)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _URL.fullmatch(value) or (_PLAIN.fullmatch(value) and value == value.strip())
        if plain and value.lower() not in _SPECIAL and not _NUMBER.fullmatch(value):
            return value
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _quantity(value: float, unit: str) -> float | str:
    """Return `value` with four digits: a number where it has no unit, else a text with a decimal prefix."""
    if unit == "OP/s":
        return format_quantity(value, "FLOP/s", digits=4).replace("FLOP/s", unit)
    if unit:
        return format_quantity(value, unit, digits=4)
    number = float(f"{value:.4g}")
    return int(number) if number.is_integer() else number
