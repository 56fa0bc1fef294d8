"""``--set PATH=VALUE``: change single values of a document before it is validated."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from devices.document import Document, Path_, dotted, read_document
from devices.errors import Fault, InputError
from devices.quantity import nearest
from simulator.scenario import shapes

ORIGIN = "--set"
"""What stands for the file in faults of overridden values."""


def apply_overrides(
    annotation: Any, document: Document, overrides: Iterable[str]
) -> tuple[Document, list[Fault]]:
    """Return `document` with each ``PATH=VALUE`` applied in order, and the faults of those that cannot be.

    Parameters
    ----------
    annotation
        What the document is to become; its fields are the known paths, whether the file has them or not.
    document
        What the file says. It is not changed.
    overrides
        Texts, split at the first ``=``. The value is read as YAML. A path is dotted, with indices in lists. A
        name that the user chose (of a device, a service, ...) must be in the file. Below a value that is
        written as a bare name, such as a policy, the value becomes a mapping with that name.
    """
    faults: list[Fault] = []
    for text in overrides:
        try:
            document = _apply(annotation, document, text)
        except InputError as error:
            faults += error.faults
    return document, faults


def _apply(annotation: Any, document: Document, text: str) -> Document:
    path_text, equals, value_text = text.partition("=")
    path_text = path_text.strip()
    if not equals or not path_text:
        raise InputError(Fault(f"{text!r} is not of the form PATH=VALUE", file=ORIGIN))
    try:
        value = read_document(value_text, ORIGIN).data
    except InputError as error:
        raise InputError([Fault(fault.message, path_text, ORIGIN) for fault in error.faults]) from None
    data = copy.deepcopy(document.data)
    path = _set(annotation, data, path_text, value)
    return document.replaced(path, data, ORIGIN)


def _set(annotation: Any, data: Any, path_text: str, value: Any) -> Path_:
    """Set `value` at a path inside `data`, in place, and return the path."""
    *way, last = path_text.split(".")
    here: Any = data
    done: Path_ = ()
    for step in way:
        key: Any = _known(annotation, here, step, done, path_text)
        inner = shapes.descend(annotation, here, key)
        held = here[key] if isinstance(here, list) or key in here else _unwritten(annotation, here, step)
        here[key] = _container(inner, held)
        annotation, here, done = inner, here[key], (*done, key)
    key = _known(annotation, here, last, done, path_text)
    here[key] = value
    return (*done, key)


def _known(annotation: Any, here: Any, step: str, done: Path_, path_text: str) -> str | int:
    """Return `step` as a key or index that can stand inside `here`; a fault names the nearest that can."""
    if not done and not isinstance(here, dict):
        raise _unknown(path_text, "the file is not a mapping")
    if isinstance(here, list):
        if step.isdecimal() and int(step) < len(here):
            return int(step)
        raise _unknown(path_text, f"{dotted(done)} has {len(here)} entries, numbered from 0")
    keys = shapes.keys(annotation, here)
    if step in keys:
        return step
    if not keys:
        empty = shapes.is_named(shapes.narrow(annotation, here))
        raise _unknown(
            path_text, f"{'there is nothing' if empty else 'nothing can stand'} below {dotted(done)}"
        )
    near = nearest(step, keys)
    if near:
        rest = path_text.split(".")[len(done) + 1 :]
        raise _unknown(path_text, f"nearest: {dotted((*done, near, *rest))}")
    raise _unknown(path_text, f"allowed{' below ' + dotted(done) if done else ''}: {', '.join(keys)}")


def _unknown(path_text: str, hint: str) -> InputError:
    return InputError(Fault(f"unknown path {path_text!r}; {hint}", path_text, ORIGIN))


def _unwritten(annotation: Any, here: Any, step: str) -> Any:
    """Return what stands for a field that the file leaves out: in a choice, the name of its default."""
    owner = shapes.narrow(annotation, here, step)
    default = shapes.default_of(owner, step)
    choice = shapes.choice_of(shapes.fields_of(owner)[step])
    if choice is None or not choice.key:
        return None
    return next((tag for tag, member in choice.members.items() if type(default) is member), None)


def _container(annotation: Any, value: Any) -> Any:
    """Return `value` as something that entries can be set in."""
    choice = shapes.choice_of(annotation)
    if choice is not None and choice.optional is not None:  # what may also be left out
        choice = shapes.choice_of(choice.optional)
    if choice is not None:
        value = choice.expand(value)
        if not choice.shorthand and choice.key and isinstance(value, str):
            return {choice.key: value}
    return value if isinstance(value, dict | list) else {}
