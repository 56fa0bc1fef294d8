"""A recipe: how some values of shipped files follow from measurements, so that they can be found again.

A shipped file is what was cited by hand (texts, sources, values of datasheets, assumptions) and what was computed.
A recipe names the computed values by pattern and computes them; `rebuild` puts them in place of the shipped ones and
leaves all else as it stands. Recipes run in a fixed order, and a later one sees what earlier ones have found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from calibration.device_file import Entry, format_device_file, with_entries
from calibration.fits.regression import Array, Regression
from devices.catalogue import PROFILE_KINDS, load_sourced, unknown_name
from devices.document import read_document
from devices.errors import Fault, InputError
from devices.evidence import Evidence
from devices.profiles import GpuProfile, Profile
from simulator.serving.engines import EngineProfile

PROJECT = Path(__file__).parents[2]
"""Folder of the project's packages."""

DEVICES = Path("devices", "catalog")
ENGINES = Path("simulator", "serving", "catalog", "engines")
"""Shipped files, below the project's folder."""

SOURCES = {
    "relative": {"title": "Nearest relative in this catalogue (named in the note)"},
    "estimate": {"title": "Estimate of this project"},
    "aihub_llm": {
        "title": "Qualcomm AI Hub Models, published performance of language models",
        "url": "https://github.com/quic/ai-hub-models",
    },
    "stress": {
        "title": "Nexa AI, stress test of a language model on NPU and CPU, Samsung Galaxy S25 Ultra (r/LocalLLM, 2025)",
        "url": "https://www.reddit.com/r/LocalLLM/comments/1otth6t",
    },
}
"""Sources that a file need not list by hand."""

Path_ = tuple[str, ...]
"""Where a value stands in a file, such as ``("gemm", "bf16", "efficiency")``."""

Entries = Mapping[Path_, Entry]
"""Computed values of one file."""


@dataclass(frozen=True)
class Fit:
    """A regression, and what its residuals are drawn over."""

    regression: Regression
    """The fit."""
    over: Array
    """What varies most, shape ``(points,)``."""
    over_label: str
    """Its name with unit."""
    size: Array
    """What the points are classed by, shape ``(points,)``."""
    size_label: str
    """Its name with unit."""

    @property
    def valid(self) -> str:
        """Range of the points, in words."""
        return f"{_range(self.over_label, self.over)}; {_range(self.size_label, self.size)}"


@dataclass(frozen=True, slots=True)
class Found:
    """What a recipe has computed."""

    entries: Mapping[str, Entries]
    """Values by file."""
    fits: Mapping[str, Fit] = field(default_factory=dict)
    """The fits behind them, by a title for reports and plots."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How some values of some files are computed."""

    name: str
    """What it is about, in words."""
    computes: Mapping[str, tuple[str, ...]]
    """File -> patterns of the dotted paths that it computes, such as ``gemm.*.efficiency``."""
    inputs: tuple[str, ...]
    """Tables that it needs: patterns below the folder of published tables."""
    run: Callable[[Path, Shelf], Found]
    """Computes them from that folder and from the files as rebuilt so far."""

    def covers(self, file: str, path: Path_) -> bool:
        """Whether a value of a file is computed by this recipe."""
        return any(fnmatchcase(".".join(path), pattern) for pattern in self.computes.get(file, ()))


class Shelf:
    """Shipped files as rebuilt so far, by name; read when first asked for."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Any]] = {}

    def document(self, name: str) -> dict[str, Any]:
        """Return a file's document."""
        if name not in self._documents:
            self._documents[name] = shipped_document(name)
        return self._documents[name]

    def put(self, name: str, entries: Entries) -> None:
        """Replace values of a file; sources follow (`SOURCES`), and one that no value names any more goes.

        Raises
        ------
        InputError
            Where the file is no longer one, such as one that names a source which it does not list.
        """
        document = with_entries(self.document(name), entries)
        named = {entry["source"] for _, entry in entries_of(document)}
        kept = {key: source for key, source in document["sources"].items() if key in named}
        document["sources"] = kept | {key: SOURCES[key] for key in SOURCES if key in named - kept.keys()}
        profile_of(document, name)
        self._documents[name] = document

    def profile(self, name: str) -> Profile | EngineProfile:
        """Return the profile that a file describes."""
        return profile_of(self.document(name), name)

    def gpu(self, name: str) -> GpuProfile:
        """Return the profile of a GPU."""
        profile = self.profile(name)
        assert isinstance(profile, GpuProfile), name
        return profile

    def evidence(self, name: str, path: Path_) -> Evidence:
        """Return one value of a file with its provenance."""
        part: Any = self.profile(name)
        for key in path[:-1]:
            if key != "values":
                part = part[key] if isinstance(part, Mapping) else getattr(part, key)
        evidence: Evidence = part.evidence[path[-1]]
        return evidence


def shipped_names() -> list[str]:
    """Return the names of all shipped device and engine files."""
    return sorted(path.stem for folder in (DEVICES, ENGINES) for path in (PROJECT / folder).glob("*.yaml"))


def shipped_path(name: str) -> Path:
    """Return the file of a device or engine of the catalogues.

    Raises
    ------
    InputError
        Where there is none; the message names the nearest.
    """
    for folder in (DEVICES, ENGINES):
        if name and (path := PROJECT / folder / f"{name}.yaml").is_file():
            return path
    raise InputError(Fault(unknown_name("device or engine", name, shipped_names(), "hetsim list devices")))


def shipped_document(name: str) -> dict[str, Any]:
    """Return the document of a shipped file."""
    document: dict[str, Any] = read_document(shipped_path(name)).data
    return document


def profile_of(document: Mapping[str, Any], name: str) -> Profile | EngineProfile:
    """Return the profile that a document describes; raises `InputError` with every fault where it is none."""
    text = format_device_file(document)
    if "kind" not in document:
        return load_sourced(text, EngineProfile, name=name)
    return load_sourced(text, PROFILE_KINDS[document["kind"]], name=name, also=("kind",))


def entries_of(document: Mapping[str, Any], path: Path_ = ()) -> Iterator[tuple[Path_, Mapping[str, Any]]]:
    """Yield the sourced values of a document with their paths."""
    for key, value in document.items():
        if isinstance(value, Mapping) and key != "sources":
            if "value" in value and "kind" in value:
                yield (*path, key), value
            else:
                yield from entries_of(value, (*path, key))


def rebuild(recipe: Recipe, data: Path | None, shelf: Shelf) -> Found:
    """Run a recipe and put what it has computed on the shelf.

    Raises
    ------
    InputError
        Where a table is missing, or a file no longer is one.
    ValueError
        Where the recipe computes something else than it says: a mistake in the recipe.
    """
    check_inputs(recipe, data)
    found = recipe.run(data or Path(), shelf)
    for name, entries in found.entries.items():
        if astray := [path for path in entries if not recipe.covers(name, path)]:
            raise ValueError(f"recipe {recipe.name!r}: {name} has no pattern for {astray}")
        shelf.put(name, entries)
    return found


def check_inputs(recipe: Recipe, data: Path | None) -> None:
    """Raise `InputError` with every table that a recipe lacks."""
    if data is None and recipe.inputs:
        tables = ", ".join(recipe.inputs)
        raise InputError(Fault(f"{recipe.name}: needs {tables}; --data names the folder", file="--data"))
    folder = data or Path()
    missing = [folder / pattern for pattern in recipe.inputs if not any(folder.glob(pattern))]
    if missing:
        raise InputError([Fault(f"{recipe.name}: not found", file=str(path)) for path in missing])


WIDE = 20.0
"""Interval, as a ratio of its ends, from which on a constant counts as undetermined."""

ENOUGH = 2
"""Points per constant that a fit needs at least."""

UNDETERMINED = "the points do not determine it"


def undetermined(low: float, high: float) -> bool:
    """Whether an interval says nothing: wider than any use, or without width, as at a bound of the search."""
    return high > WIDE * low or high <= low


def fitted(
    regression: Regression, constant: str, unit: str, source: str, note: str, valid: str = ""
) -> Entry:
    """Return the entry of a fitted constant, with its interval and the cross-validated error of the fit.

    A constant that the points do not determine is not called fitted (`undetermined`).
    """
    low, high = regression.low[constant], regression.high[constant]
    if undetermined(low, high) or len(regression.errors) < ENOUGH * len(regression.constants):
        value = regression.constants[constant]
        return Entry(value, unit, source, "assumed", f"{note}; {UNDETERMINED}", valid=valid)
    return Entry(
        regression.constants[constant],
        unit,
        source,
        "fitted",
        note,
        low=low,
        high=high,
        valid=valid,
        error=regression.cross_validated_error,
    )


def _range(label: str, values: Array) -> str:
    low, high = (f"{float(f'{end:.4g}'):,g}" for end in (values.min(), values.max()))
    return f"{label[0].lower() if label[1].islower() else label[0]}{label[1:]} {low} to {high}"


def unit_of(name: str) -> str:
    """Return the SI unit that a field's name ends in; empty for a ratio."""
    if name.startswith("joules_per_"):
        return "J"
    units = {"_bytes_per_s": "B/s", "_flops": "FLOP/s", "_bytes": "B", "_s": "s", "_w": "W", "_j": "J"}
    return next((unit for ending, unit in units.items() if name.endswith(ending)), "")


def copied(shelf: Shelf, relative: str, path: Path_, note: str, *, source: str = "relative") -> Entry:
    """Return the entry of a device that takes a relative's value: assumed, so without interval and error."""
    evidence = shelf.evidence(relative, path)
    return Entry(evidence.value, evidence.unit, source, "assumed", note)


def scaled(entry: Entry, factor: float) -> Entry:
    """Return `entry` times `factor`, its interval with it."""
    low, high = (None if end is None else end * factor for end in (entry.low, entry.high))
    return replace(entry, value=entry.value * factor, low=low, high=high)
