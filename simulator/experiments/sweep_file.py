"""The sweep file: which paths of a scenario take which values, by which design."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

from devices.document import Document, Path_, read_document
from devices.errors import Fault, InputError
from devices.files import named_fault
from devices.quantity import Count, NonNegativeCount, number_and_unit, shown
from simulator.experiments.sweep_faults import faults_of_values, own_overrides
from simulator.scenario.validation import validate

MOST_RUNS = 10_000_000
"""A design with more runs is taken for a slip."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a sweep file says beside its axes."""

    version: Literal[1]
    """Version of the file format."""
    name: str
    """Name of the sweep; it becomes part of the folder's name."""
    base: str
    """Scenario file, relative to the sweep file's folder."""
    design: Literal["grid", "zip", "latin_hypercube", "sobol"] = "grid"
    """How values of the axes are combined."""
    replications: Count = 1
    """Independent repetitions of each point."""
    samples: Count | None = None
    """Points of a design that samples."""
    seed: NonNegativeCount = 0
    """Seed of a design that samples; the scenario has its own for what is simulated."""
    set: tuple[str, ...] = ()
    """``PATH=VALUE`` texts that hold for every run."""


@dataclass(frozen=True, slots=True)
class Span:
    """An axis that is sampled: numbers from `low` to `high` of one unit."""

    low: float
    """Lowest value."""
    high: float
    """Highest value, above `low`."""
    unit: str = ""
    """Unit that follows the number."""
    log: bool = False
    """Even in the logarithm instead of in the value."""
    whole: bool = False
    """Whole numbers only: each stands for the values from it to the next one."""

    def at(self, share: float) -> str:
        """Return the value at a share from 0 to 1 of the way, as YAML text."""
        high = self.high + 1.0 if self.whole else self.high
        value = self.low * (high / self.low) ** share if self.log else self.low + share * (high - self.low)
        # the last number is as likely as the others, and is not passed where the share is 1 or is rounded to it
        number = f"{min(math.floor(value), self.high):.0f}" if self.whole else f"{value:.6g}"
        return f"{number} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep: its base and the points of its design."""

    name: str
    """Name of the sweep."""
    base: Path
    """The scenario file."""
    overrides: tuple[str, ...]
    """``PATH=VALUE`` texts that hold for every run."""
    replications: int
    """Independent repetitions of each point."""
    axes: tuple[str, ...]
    """Paths that vary."""
    points: Sequence[Mapping[str, str]] = field(repr=False)
    """YAML text by path, per point, in the order of the design."""
    document: Document = field(repr=False, compare=False)
    """What was written, with the place of each part."""


def is_sweep(path: Path) -> bool:
    """Tell whether a YAML file is meant to be a sweep and no scenario: it has axes or a base."""
    data = read_document(path).data
    return isinstance(data, dict) and bool({"axes", "base"} & data.keys())


def load_sweep(
    source: Path | Mapping[str, Any], overrides: Sequence[str] = (), replications: int | None = None
) -> Sweep:
    """Read a sweep file and lay out its design.

    Parameters
    ----------
    source
        The file, or what would stand in it; then `base` is relative to the working directory.
    overrides
        ``PATH=VALUE`` texts that come after the file's own.
    replications
        Instead of the file's; None: the file's.

    Raises
    ------
    InputError
        With every fault of the file; where it has any, also those of each of its values taken alone. Without, the
        faults of the scenarios that it makes are found when they are loaded.
    """
    document = read_document(source) if isinstance(source, Path) else Document(MAPPING, plain(source), {})
    data = document.data if isinstance(document.data, dict) else {}
    head_data = {key: value for key, value in data.items() if key != "axes"}
    head, faults = validate(Head, replace(document, data=head_data) if data else document)
    faults = [*faults]
    axes = _axes(document, data.get("axes"), faults)
    if isinstance(head, Head):
        head = replace(head, replications=replications or head.replications)
        faults += _misfits(document, head, axes)
    folder, where = (
        (source.parent, "beside the sweep file")
        if isinstance(source, Path)
        else (Path(), "in the working directory")
    )
    written = data.get("base")
    base = folder / written if isinstance(written, str) else folder
    missing = named_fault(base, str(written), where)
    if isinstance(written, str) and missing:
        faults.append(document.fault(("base",), missing))
    if faults:
        if not missing:
            lists = {path: axis for path, axis in axes.items() if not isinstance(axis, Span)}
            faults += faults_of_values(document, base, lists, (*own_overrides(document), *overrides))
        raise InputError(sorted(dict.fromkeys(faults), key=lambda fault: (fault.line, fault.column)))
    assert isinstance(head, Head)
    points = _points(head, axes)
    return Sweep(
        head.name,
        base,
        (*head.set, *overrides),
        head.replications,
        tuple(axes),
        points,
        document,
    )


MAPPING = "sweep"
"""What messages call a sweep that is no file."""


def plain(value: Any) -> Any:
    """Return Python data as a file would have given it: tuples and arrays as lists, NumPy's numbers as Python's.

    Raises
    ------
    InputError
        Where no file could have given a part of it.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(it) for key, it in value.items()}
    if isinstance(value, PathLike):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(it) for it in value]
    raise InputError(Fault(f"{value!r} is no value that a scenario could have", file=MAPPING))


def _axes(document: Document, written: Any, faults: list[Fault]) -> dict[str, list[str] | Span]:
    """Return the axes by path; what is wrong with them goes into `faults`."""
    if not isinstance(written, dict) or not written:
        faults.append(
            document.fault(("axes",) if written is not None else (), "axes: a mapping of paths is needed")
        )
        return {}
    axes: dict[str, list[str] | Span] = {}
    for path, values in written.items():
        if isinstance(values, list) and values:
            texts = [
                _text(document, ("axes", path, place), values[place], faults) for place in range(len(values))
            ]
            repeated = [text for text, times in Counter(texts).items() if text and times > 1]
            faults += [
                document.fault(("axes", path), f"{text} stands there more than once") for text in repeated
            ]
            axes[path] = texts
        elif isinstance(values, dict):
            span = _span(document, ("axes", path), values, faults)
            if span is not None:
                axes[path] = span
        else:
            message = "is neither a list of values nor a mapping with low and high"
            faults.append(document.fault(("axes", path), message))
    return axes


def _text(document: Document, place: Path_, value: Any, faults: list[Fault]) -> str:
    """Return a value as YAML text; empty, and a fault noted, where it has none."""
    try:
        return value.strip() if isinstance(value, str) else json.dumps(value)
    except ValueError:  # Python writes some thousand digits at most
        faults.append(document.fault(place, "a number of more than 77 digits is not allowed"))
        return ""


def _span(
    document: Document, place: tuple[str, str], values: Mapping[str, Any], faults: list[Fault]
) -> Span | None:
    wrong = [
        f"unknown key {shown(key)}; allowed: low, high, scale, whole"
        for key in values
        if key not in _SPAN_KEYS
    ]
    ends: list[float] = []
    units: list[str] = []
    for name in ("low", "high"):
        end = values.get(name)
        parts = number_and_unit(end if isinstance(end, str) else shown(end))
        if parts is None:
            wrong.append(f"{name} is {shown(end)}; allowed: a number and, where it has one, its unit")
        else:
            ends.append(parts[0])
            units.append(parts[1])
    scale, whole = values.get("scale", "linear"), values.get("whole", False)
    if scale not in ("linear", "log"):
        wrong.append(f"scale is {shown(scale)}; allowed: linear, log")
    if not isinstance(whole, bool):
        wrong.append(f"whole is {shown(whole)}; allowed: true, false")
    if len(ends) == 2:
        if units[0] != units[1]:
            wrong.append(f"low and high have different units ({units[0] or 'none'}, {units[1] or 'none'})")
        if not ends[0] < ends[1]:
            wrong.append(f"low ({ends[0]:g}) is not below high ({ends[1]:g})")
        if scale == "log" and ends[0] <= 0.0:
            wrong.append(f"low is {ends[0]:g}; a logarithmic scale needs values above 0")
        if whole is True and not (ends[0].is_integer() and ends[1].is_integer()):
            wrong.append(f"low and high are {ends[0]:g} and {ends[1]:g}; whole: true needs whole numbers")
    if wrong:
        faults += [document.fault(place, message) for message in wrong]
        return None
    return Span(ends[0], ends[1], units[0], scale == "log", whole)


_SPAN_KEYS = ("low", "high", "scale", "whole")


def _misfits(document: Document, head: Head, axes: Mapping[str, list[str] | Span]) -> list[Fault]:
    """Return what does not fit together: axes and design."""
    faults = []
    samples = head.design in ("latin_hypercube", "sobol")
    for path, axis in axes.items():
        if isinstance(axis, Span) and not samples:
            faults.append(
                document.fault(("axes", path), f"is a range; design {head.design} needs a list of values")
            )
    if samples and head.samples is None:
        faults.append(
            document.fault((), f"samples is missing; design {head.design} needs a number of points")
        )
    if not samples and head.samples is not None:
        faults.append(document.fault(("samples",), f"has no meaning with design {head.design}"))
    lengths = {path: len(axis) for path, axis in axes.items() if not isinstance(axis, Span)}
    if head.design == "zip" and len(set(lengths.values())) > 1:
        said = ", ".join(f"{path} {length}" for path, length in lengths.items())
        faults.append(
            document.fault(("axes",), f"have different lengths ({said}); design zip needs equal ones")
        )
    runs = head.replications * (head.samples or 1)
    if head.design == "grid":
        runs = head.replications * math.prod(lengths.values())
    if runs > MOST_RUNS:
        many = f"{runs:,}" if runs < 10**18 else "10^18 or more"
        faults.append(document.fault((), f"makes {many} runs; allowed: at most {MOST_RUNS:,}"))
    return faults


def _points(head: Head, axes: Mapping[str, list[str] | Span]) -> list[dict[str, str]]:
    if head.design in ("grid", "zip"):
        lists = [cast(list[str], axis) for axis in axes.values()]
        rows = itertools.product(*lists) if head.design == "grid" else zip(*lists, strict=True)
        return [dict(zip(axes, row, strict=True)) for row in rows]
    from scipy.stats import qmc  # noqa: PLC0415 (slow import, needed only here)

    assert head.samples is not None, "checked by _misfits"
    kind = qmc.LatinHypercube if head.design == "latin_hypercube" else qmc.Sobol
    sampler: Any = kind(d=len(axes), seed=head.seed)
    if head.design == "sobol":  # balanced only for powers of two: draw the next one, take the first points
        shares = sampler.random_base2(max(0, math.ceil(math.log2(head.samples))))[: head.samples]
    else:
        shares = sampler.random(head.samples)
    return [
        {
            path: axis.at(share)
            if isinstance(axis, Span)
            else axis[min(int(share * len(axis)), len(axis) - 1)]
            for (path, axis), share in zip(axes.items(), row, strict=True)
        }
        for row in shares.tolist()
    ]
