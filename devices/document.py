"""Strict reading of YAML files, with the place of every key and value; and writing them.

The rules are those of YAML 1.2's core schema: ``25e9`` and ``1e-3`` are numbers, ``on`` and ``yes`` are
texts, ``0o17`` is octal. What lets a file say something else than a reader sees is refused: duplicate keys,
anchors and aliases, tags, merge keys, several documents, keys that are not texts. PyYAML supplies the tokens
only (its own constructor follows YAML 1.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from devices.errors import Fault, InputError
from devices.files import read_text

MAXIMUM_BYTES = 16 * 2**20
"""Larger files are refused: a scenario or catalogue file has some kilobytes, so it is the wrong file."""
MAXIMUM_VALUES = 100_000
"""So is a file of more values, keys included: they would take long to read, and much memory."""
MAXIMUM_FAULTS = 100
"""Breaches of the rules after which the rest of a file is not looked at."""
MAXIMUM_DEPTH = 64
"""Deeper nesting is refused."""

Path_ = tuple[str | int, ...]
"""Where a value stands in a document: the keys and list indices from the root to it."""

_TAG = "tag:yaml.org,2002:"
_CORE_SCHEMA: tuple[tuple[str, re.Pattern[str], Callable[[str], object]], ...] = (
    ("null", re.compile(r"(?:null|Null|NULL|~|)\Z"), lambda text: None),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), lambda text: text.lower() == "true"),
    (
        "int",
        re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
        lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    ),
    ("float", re.compile(r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)\Z"), float),
    (
        "float",
        re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.nan|\.NaN|\.NAN)\Z"),
        lambda text: float(text.replace(".", "")),
    ),
)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LOADER = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # only its parser is used; the C one is ten times as fast


@dataclass(frozen=True, slots=True)
class Mark:
    """Where one entry of a document was written."""

    file: str
    """File as the user named it, or the name of another origin such as ``--set``."""
    key: tuple[int, int] = (0, 0)
    """1-based line and column of its key (of the value in a list); zeros where unknown."""
    value: tuple[int, int] = (0, 0)
    """1-based line and column of its value."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data together with the place of each of its parts."""

    name: str
    """File as the user named it."""
    data: Any
    """dict, list, str, int, float, bool and None, nested."""
    marks: Mapping[Path_, Mark]
    """The place of each part of `data` by its path; the root's path is empty."""

    def at(self, path: Path_) -> Any:
        """Return the part of `data` at `path`; KeyError or IndexError where there is none."""
        value = self.data
        for step in path:
            value = value[step]
        return value

    def position(self, path: Path_, *, key: bool = False) -> tuple[int, int]:
        """Return 1-based line and column of the value at `path`, or of its key.

        For a path that is not in the document the nearest part around it counts, by its key.
        """
        mark, whole = self._mark(path)
        return mark.key if key or not whole else mark.value

    def fault(self, path: Path_, message: str, *, key: bool = False) -> Fault:
        """Return a fault of the value at `path` (or of its `key`) that names its place."""
        mark, _ = self._mark(path)
        line, column = self.position(path, key=key)
        return Fault(message, path=dotted(path), file=mark.file, line=line, column=column)

    def replaced(self, path: Path_, data: Any, origin: str) -> Document:
        """Return a document with other `data`: what is at `path`, and new around it, is from `origin`."""
        marks = {place: mark for place, mark in self.marks.items() if place[: len(path)] != path}
        for length in range(len(path) + 1):
            marks.setdefault(path[:length], Mark(origin))
        return Document(self.name, data, marks)

    def _mark(self, path: Path_) -> tuple[Mark, bool]:
        """Return the mark of the longest known beginning of `path`, and whether that is all of it."""
        for length in range(len(path), -1, -1):
            if mark := self.marks.get(path[:length]):
                return mark, length == len(path)
        return Mark(self.name), False


def dotted(path: Path_) -> str:
    """Return `path` as users write it, such as ``services.chat.kv_tiers.0``."""
    return ".".join(str(step) for step in path)


def read_document(source: str | Path, name: str = "") -> Document:
    """Read one YAML document.

    Parameters
    ----------
    source
        A `Path` is read as a UTF-8 file; a `str` is the text itself.
    name
        What messages call it; empty: the path.

    Raises
    ------
    InputError
        Where it cannot be read or breaks the rules above, with file, line and column; every breach is listed
        up to the first one after which the rest has no clear meaning.
    """
    if isinstance(source, Path):
        name = name or str(source)
        text = read_text(source, name, maximum_bytes=MAXIMUM_BYTES)
    else:
        name = name or "<text>"
        text = source
        if len(text) > MAXIMUM_BYTES:
            _refuse(name, f"longer than {MAXIMUM_BYTES // 2**20} MiB")
        text = text.removeprefix("\ufeff")
    if bad := _UNPRINTABLE.search(text):
        before = text[: bad.start()].replace("\r\n", "\n").replace("\r", "\n")
        column = len(before) - (before.rfind("\n") + 1) + 1
        _refuse(name, f"character U+{ord(bad[0]):04X} is not allowed", before.count("\n") + 1, column)
    reader = _Reader(name, text)
    data = reader.read()
    if reader.faults:
        raise InputError(reader.faults)
    return Document(name, data, reader.marks)


def _refuse(name: str, message: str, line: int = 0, column: int = 0) -> NoReturn:
    raise InputError(Fault(message, file=name, line=line, column=column))


class _Reader:
    """Builds plain data and marks from the parser's events."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.faults: list[Fault] = []
        self._values = 0
        self.marks: dict[Path_, Mark] = {}
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)

    def read(self) -> Any:
        try:
            return self._document()
        except yaml.MarkedYAMLError as error:
            ends = "end of stream" in (error.problem or "")  # then where it began tells more
            mark = error.context_mark if ends and error.context_mark else error.problem_mark
            line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
            what = ", ".join(part for part in (error.context, error.problem) if part)
            raise InputError(
                [*self.faults, Fault(f"not YAML: {what}", "", self.name, line, column)]
            ) from None

    def _document(self) -> Any:
        next(self._events)  # the stream's start
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            self.marks[()] = Mark(self.name, (1, 1), (1, 1))
            return None
        event = next(self._events)
        self.marks[()] = Mark(self.name, _place(event), _place(event))
        data = self._value(event, ())
        next(self._events)  # the document's end
        more = next(self._events)
        if not isinstance(more, yaml.StreamEndEvent):
            self._fault("only one document per file is allowed", more, ())
        return data

    def _value(self, event: yaml.Event, path: Path_) -> Any:
        self._values += 1
        if self._values > MAXIMUM_VALUES:
            self._fault(f"more than {MAXIMUM_VALUES:,} keys and values", event, path[:3])
            raise InputError(self.faults)
        if isinstance(event, yaml.AliasEvent):
            self._fault(f"aliases are not allowed (*{event.anchor}); write the value out", event, path)
            return None
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._fault(f"anchors are not allowed (&{event.anchor})", event, path)
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None:
                self._fault(f"tags are not allowed ({event.tag})", event, path)
            return self._scalar(event, path)
        assert isinstance(event, yaml.CollectionStartEvent)
        if event.tag is not None:
            self._fault(f"tags are not allowed ({event.tag})", event, path)
        if len(path) >= MAXIMUM_DEPTH:
            self._fault(f"nested deeper than {MAXIMUM_DEPTH} levels", event, path[:3])
            raise InputError(self.faults)
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)

    def _list(self, path: Path_) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self.marks[here] = Mark(self.name, _place(event), _place(event))
            items.append(self._value(event, here))
        return items

    def _mapping(self, path: Path_) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            value = next(self._events)
            if key is None:  # already a fault: read past its value
                self._value(value, (*path, "?"))
                continue
            here = (*path, key)
            if key in entries:
                line, column = self.marks[here].key
                self._fault(f"the key is there twice: first at {line}:{column}", event, here)
                self._value(value, (*path, "?"))
                continue
            self.marks[here] = Mark(self.name, _place(event), _place(value))
            entries[key] = None  # known from here on, so that a fault inside does not hide a second one
            entries[key] = self._value(value, here)
        return entries

    def _key(self, event: yaml.Event, path: Path_) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, (*path, "?"))
            self._fault("a key must be a text", event, path)
            return None
        key = self._value(event, path)
        if not isinstance(key, str):
            self._fault(f"a key must be a text, not {event.value or 'empty'}; quote it", event, path)
            return None
        if key == "<<" and event.implicit[0]:
            self._fault("merge keys (<<) are not allowed; write the values out", event, path)
            return None
        return key

    def _scalar(self, event: yaml.ScalarEvent, path: Path_) -> Any:
        text: str = event.value
        if event.implicit[0]:  # plain: neither quoted nor a block of text
            for _, pattern, convert in _CORE_SCHEMA:
                if pattern.match(text):
                    try:
                        return convert(text)
                    except ValueError:  # Python reads some thousand digits at most
                        self._fault("a number of this many digits is not allowed", event, path)
                        return None
        return text

    def _fault(self, message: str, event: yaml.Event, path: Path_) -> None:
        line, column = _place(event)
        self.faults.append(Fault(message, dotted(path), self.name, line, column))
        if len(self.faults) >= MAXIMUM_FAULTS:
            raise InputError(self.faults)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None  # a parsed event always has one
    return mark.line + 1, mark.column + 1


class _Dumper(yaml.SafeDumper):
    """Writes plain data so that `read_document` reads it back equal."""

    # Every first character is looked up under None: the texts that need quotes are those that our rules
    # would read as something else.
    yaml_implicit_resolvers = {None: [(_TAG + name, pattern) for name, pattern, _ in _CORE_SCHEMA]}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def _float(self, value: float) -> yaml.ScalarNode:
        text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
        return self.represent_scalar(f"{_TAG}float", text)

    def _text(self, value: str) -> yaml.ScalarNode:
        # YAML folds these line ends unless they are escaped.
        style = '"' if any(end in value for end in "\x85\u2028\u2029") else None
        return self.represent_scalar(f"{_TAG}str", value, style)


_Dumper.add_representer(float, _Dumper._float)
_Dumper.add_representer(str, _Dumper._text)


def dump_yaml(data: Any) -> str:
    """Return plain data (dict, list, str, int, float, bool, None) as YAML text, keys in their order."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return str(text).removesuffix("...\n")
