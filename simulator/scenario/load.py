"""From a scenario file to a `Scenario`, with every fault at once; and back to plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from devices.document import Document, read_document
from devices.errors import InputError
from simulator.scenario import shapes
from simulator.scenario.overrides import apply_overrides
from simulator.scenario.spec import Scenario


@dataclass(frozen=True, slots=True)
class Resolver:
    """Turns a path that a scenario names into a file: beside the scenario first, else as it is."""

    folder: Path
    """The scenario's folder."""

    def __call__(self, path: str) -> Path:
        """Return the file; where there is none, what `path` means in the working directory."""
        beside = self.folder / path
        try:
            return beside if beside.exists() else Path(path)
        except (OSError, ValueError):  # too long a name, a NUL in it
            return Path(path)


def resolver(path: str | Path) -> Resolver:
    """Return what turns the paths in the scenario file `path` into files.

    A `Scenario` keeps its paths as they were written, so that what is derived from it (its hash, a resolved
    copy of it) is the same on every machine.
    """
    return Resolver(Path(path).parent)


def load(path: str | Path, overrides: Iterable[str] = (), seed: int | None = None) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    path
        The file.
    overrides
        ``PATH=VALUE`` texts (see `simulator.scenario.overrides`), applied in order before the checks.
    seed
        Root of the random streams instead of the file's; None: the file's.

    Raises
    ------
    InputError
        With every fault found, each with file:line:column, path, what is wrong and what is allowed.
    """
    return _checked(read_document(Path(path)), overrides, seed, resolver(path))


def load_text(
    text: str,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    *,
    name: str = "<text>",
    folder: str | Path = ".",
) -> Scenario:
    """Check a scenario given as text; messages call it `name`, its paths start in `folder`."""
    return _checked(read_document(text, name), overrides, seed, Resolver(Path(folder)))


def _checked(document: Document, overrides: Iterable[str], seed: int | None, resolve: Resolver) -> Scenario:
    # Late, for whoever only wants a `Scenario`'s types: these bring pydantic and the catalogues.
    from simulator.scenario.parts import sound_parts  # noqa: PLC0415
    from simulator.scenario.references import check_files, check_references  # noqa: PLC0415
    from simulator.scenario.relations import check_relations  # noqa: PLC0415
    from simulator.scenario.validation import validate  # noqa: PLC0415

    document, faults = apply_overrides(Scenario, document, overrides)
    if seed is not None and isinstance(document.data, dict):
        document = document.replaced(("seed",), {**document.data, "seed": seed}, "--seed")
    scenario, found = validate(Scenario, document)
    problems = [
        *check_references(document.data),
        *check_files(document.data, resolve),
        *check_relations(sound_parts(document)),
    ]
    faults += found
    faults += [document.fault(problem.path, problem.message, key=problem.key) for problem in problems]
    if faults:
        raise InputError(sorted(dict.fromkeys(faults), key=lambda fault: (fault.line, fault.column)))
    assert isinstance(scenario, Scenario)
    return scenario


def to_data(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as plain data: SI numbers, defaults written out, policies with their parameters.

    `load_text` of its YAML (`devices.document.dump_yaml`) gives an equal scenario.
    """
    return _record(scenario)


def _record(instance: Any) -> dict[str, Any]:
    return {
        name: _plain(hint, getattr(instance, name)) for name, hint in shapes.fields_of(type(instance)).items()
    }


def _plain(annotation: Any, value: Any) -> Any:  # noqa: PLR0911 (one per sort of value)
    choice = shapes.choice_of(annotation)
    if choice is not None and choice.policy:
        name = next(tag for tag, member in choice.members.items() if type(value) is member)
        return {choice.key: name, **_record(value)}
    if choice is not None and choice.optional is not None and value is not None:
        return _plain(choice.optional, value)
    if is_dataclass(value):
        return _record(value)
    if isinstance(value, dict):
        return {name: _plain(None, entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_plain(None, entry) for entry in value]
    if isinstance(value, int) and not isinstance(value, bool):
        # A default may be written as an int: the same number must look the same after a round trip.
        inner = shapes.narrow(annotation, value)
        quantity = shapes.quantity_of(inner)
        return float(value) if inner is float or (quantity and not quantity.whole) else value
    return value
