"""Files of sourced values: every number names where it is from and how it came about.

`load_sourced` reads such a file into any dataclass whose quantities are typed with `devices.quantity`;
devices, engines and calibration results share the form::

    name: nvlink3
    title: NVLink 3 (A100)
    duplex: full
    sources:
      datasheet: {title: NVIDIA A100 datasheet, url: https://...}
    values:
      bandwidth_bytes_per_s: {value: 300 GB/s, source: datasheet, kind: datasheet, note: One direction}
      ...

An entry may also have ``low`` and ``high`` (an interval around the value), ``valid`` (where it holds) and ``error``
(the cross-validated relative error of the fit that it is from).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError
from devices.evidence import Evidence, Kind
from devices.quantity import Quantity, nearest, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)
else:
    T = TypeVar("T")

_EVIDENCE_KINDS: tuple[str, ...] = get_args(Kind)
_REQUIRED = ("value", "source", "kind")
_ERROR = Quantity("", high=10.0)
_ENTRY_KEYS = (*_REQUIRED, "note", "low", "high", "valid", "error")


def unknown_name(what: str, name: str, known: Iterable[str], command: str = "") -> str:
    """Return the message for a `name` that is not `known`, with the nearest match or the way to the list."""
    names = sorted(known)
    near = nearest(name, names)
    if near:
        return f"unknown {what} {shown(name)}; nearest: {near}"
    return f"unknown {what} {shown(name)}; allowed: {command or ', '.join(names)}"


def load_sourced(source: str | Path, cls: type[T], *, name: str = "", also: tuple[str, ...] = ()) -> T:
    """Read a file of sourced values into a dataclass.

    Parameters
    ----------
    source
        A `Path` is read as a file, a `str` is the text itself.
    cls
        Dataclass. Fields of text type stand at the top level of the file, quantities below ``values``, and a
        field ``Mapping[str, D]`` with `D` a dataclass of quantities is a section of its own (``{}`` where
        empty; it may be left out where the field has a default). Its field ``evidence`` receives `Evidence` by
        field name.
    name
        What messages call the file.
    also
        Further keys that the top level may have.

    Raises
    ------
    InputError
        With every fault at once and its file:line:column: a field without a value, an unknown field, a value
        without a source, a source that is not listed or not used, an invalid kind, a quantity of the wrong
        unit or out of range.
    """
    document = read_document(source, name)
    reader = _SourcedReader(document)
    profile = reader.read(cls, also)
    if reader.faults:
        raise InputError(sorted(reader.faults, key=lambda fault: (fault.line, fault.column)))
    if isinstance(source, Path) and "name" in document.data and document.data["name"] != source.stem:
        raise InputError(document.fault(("name",), f"must be the file's name, {source.stem!r}"))
    assert profile is not None
    return profile


class _SourcedReader:
    """Collects faults while it builds a dataclass from one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.faults: list[Fault] = []
        self.sources: dict[str, tuple[str, str]] = {}
        self.used: set[str] = set()

    def read(self, cls: type[T], also: tuple[str, ...]) -> T | None:
        texts, quantities, sections = _parts(cls)
        allowed = (*texts, "sources", "values", *sections, *also)
        optional = {field.name for field in fields(cls) if field.default_factory is not MISSING}
        needed = (name for name in sections if name not in optional)
        data = self.mapping((), allowed=allowed, required=(*texts, "sources", "values", *needed))
        if not data:
            return None
        self.read_sources()
        arguments: dict[str, Any] = {}
        for field, choices in texts.items():
            if field in data:
                arguments[field] = self.text((field,), choices)
        values, evidence = self.values(("values",), quantities)
        arguments |= values
        for section, inner in sections.items():
            arguments[section] = {key: self.build(inner, (section, key)) for key in self.mapping((section,))}
        for key in self.sources.keys() - self.used:
            self.fault(("sources", key), "no value names this source", key=True)
        arguments["evidence"] = evidence
        return None if self.faults else cls(**arguments)

    def build(self, cls: type, path: Path_) -> Any:
        values, evidence = self.values(path, _parts(cls)[1])
        return None if self.faults else cls(**values, evidence=evidence)

    def read_sources(self) -> None:
        for key in self.mapping(("sources",)):
            path = ("sources", key)
            entry = self.mapping(path, allowed=("title", "url"), required=("title",))
            title = self.text((*path, "title")) if "title" in entry else ""
            url = self.text((*path, "url")) if "url" in entry else ""
            self.sources[key] = (title, url)

    def values(
        self, path: Path_, quantities: Mapping[str, Quantity]
    ) -> tuple[dict[str, float], dict[str, Evidence]]:
        values, evidence = {}, {}
        present = self.mapping(path, allowed=tuple(quantities), required=tuple(quantities))
        for field, quantity in quantities.items():
            if field in present and (entry := self.entry((*path, field), quantity)):
                values[field], evidence[field] = entry.value, entry
        return values, evidence

    def entry(self, path: Path_, quantity: Quantity) -> Evidence | None:
        entry = self.mapping(path, allowed=_ENTRY_KEYS, required=_REQUIRED)
        numbers = {
            key: self.number((*path, key), _ERROR if key == "error" else quantity)
            for key in ("value", "low", "high", "error")
            if key in entry
        }
        texts = {
            key: self.text((*path, key), _EVIDENCE_KINDS if key == "kind" else ())
            for key in ("source", "kind", "note", "valid")
            if key in entry
        }
        if "source" in texts:
            self.used.add(texts["source"])
            if texts["source"] not in self.sources:
                self.fault((*path, "source"), unknown_name("source", texts["source"], self.sources))
        value, low, high = (numbers.get(key) for key in ("value", "low", "high"))
        interval = [end for end in (low, value, high) if end is not None]
        if value is not None and interval != sorted(interval):
            self.fault((*path, "value"), f"{shown(entry['value'])} lies outside of its own low and high")
        if value is None or self.faults:
            return None
        title, url = self.sources[texts["source"]]
        return Evidence(
            value=value,
            unit=quantity.unit,
            kind=texts["kind"],  # type: ignore[arg-type]  # checked against the Literal above
            source=title,
            url=url,
            note=texts.get("note", ""),
            low=low,
            high=high,
            valid=texts.get("valid", ""),
            error=numbers.get("error"),
        )

    def number(self, path: Path_, quantity: Quantity) -> float | None:
        try:
            return quantity.parse(self.document.at(path))
        except ValueError as error:
            self.fault(path, str(error))
            return None

    def text(self, path: Path_, choices: tuple[str, ...] = ()) -> str:
        value = self.document.at(path)
        if not isinstance(value, str) or not value:
            self.fault(path, f"{shown(value)} is not a text")
            return ""
        if choices and value not in choices:
            self.fault(path, f"{shown(value)} is not allowed; allowed: {', '.join(choices)}")
        return value

    def mapping(
        self,
        path: Path_,
        *,
        allowed: tuple[str, ...] | None = None,
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Return the mapping at `path` after a check of its keys; empty where there is none."""
        try:
            data = self.document.at(path)
        except KeyError:  # its absence was reported one level up
            return {}
        if not isinstance(data, dict):
            self.fault(path, f"must be a mapping, not {shown(data)}")
            return {}
        for key in data:
            if allowed is not None and key not in allowed:
                self.fault((*path, key), unknown_name("key", key, allowed), key=True)
        for key in required:
            if key not in data:
                self.fault((*path, key), "is missing", key=True)
        return data

    def fault(self, path: Path_, message: str, *, key: bool = False) -> None:
        self.faults.append(self.document.fault(path, message, key=key))


@cache
def _parts(cls: type) -> tuple[dict[str, tuple[str, ...]], dict[str, Quantity], dict[str, type]]:
    """Sort a dataclass's fields into texts (with their choices), quantities and sections."""
    texts: dict[str, tuple[str, ...]] = {}
    quantities: dict[str, Quantity] = {}
    sections: dict[str, type] = {}
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        hint = hints[field.name]
        if field.name == "evidence":
            continue
        if hint is str:
            texts[field.name] = ()
        elif get_origin(hint) is Literal:
            texts[field.name] = get_args(hint)
        elif get_origin(hint) is Annotated:
            quantities[field.name] = next(mark for mark in hint.__metadata__ if isinstance(mark, Quantity))
        elif get_origin(hint) is Mapping and is_dataclass(get_args(hint)[1]):
            sections[field.name] = get_args(hint)[1]
        else:
            raise TypeError(f"{cls.__name__}.{field.name}: a sourced file cannot hold {hint}")
    return texts, quantities, sections
