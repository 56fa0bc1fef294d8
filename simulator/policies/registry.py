"""One registry for all exchangeable decisions.

A policy is a frozen dataclass: its fields are its parameters (and its schema), its methods are the decision.
``@register`` in the policy's own file makes it known; an outside package uses the entry-point group
``hetsim.policies`` and needs nothing else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from typing import TypeVar

from devices.errors import InputError, SimulatorError
from simulator.policies.plugins import import_fault

DECISIONS = (
    "batching",
    "kv_loading",
    "decoding",
    "node_order",
    "queueing",
    "routing",
    "recovery",
    "placement",
    "autoscaling",
    "gpu_sharing",
    "abr",
    "collaboration",
)
"""The decisions that a policy can take."""

ENTRY_POINT_GROUP = "hetsim.policies"
"""Entry points of this group are imported before the first look-up."""

_registry: dict[str, dict[str, type]] = {decision: {} for decision in DECISIONS}
P = TypeVar("P", bound=type)


class PolicyError(SimulatorError):
    """A policy that cannot be registered, found or obeyed; it names the policy."""


def register(decision: str, name: str) -> Callable[[P], P]:
    """Class decorator: make a policy known as `name` for `decision`.

    Raises
    ------
    PolicyError
        Where `decision` is unknown, the class is no dataclass, or the name is taken; both classes are named.
    """
    if decision not in _registry:
        raise PolicyError(f"unknown decision {decision!r}; allowed: {', '.join(DECISIONS)}")

    def add(policy: P) -> P:
        if not is_dataclass(policy):
            raise PolicyError(
                f"policy {policy.__qualname__} is not a dataclass: its fields are its parameters"
            )
        taken = _registry[decision].get(name)
        if (
            taken is not None
            and taken.__module__ + taken.__qualname__ != policy.__module__ + policy.__qualname__
        ):
            raise PolicyError(
                f"{decision} policy {name!r} is defined twice: {taken.__module__}.{taken.__qualname__} "
                f"and {policy.__module__}.{policy.__qualname__}"
            )
        _registry[decision][name] = policy
        return policy

    return add


def policies(decision: str) -> dict[str, type]:
    """Return the known policies of `decision` by name, in alphabetical order."""
    _load()
    return dict(sorted(_registry[decision].items()))


def find(decision: str, name: str) -> type:
    """Return the policy class called `name`.

    Raises
    ------
    PolicyError
        Where there is none; the message lists what there is and the nearest match.
    """
    known = policies(decision)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; nearest: {near[0]}" if near else ""
    raise PolicyError(f"unknown {decision} policy {name!r}; allowed: {', '.join(known)}{hint}")


def name_of(decision: str, policy: object) -> str:
    """Return the registered name of a policy instance."""
    for name, cls in policies(decision).items():
        if type(policy) is cls:
            return name
    raise PolicyError(f"{type(policy).__qualname__} is no registered {decision} policy")


def called(decision: str, policy: object) -> str:
    """Return what messages call a policy: its decision and registered name, such as ``kv_loading policy 'cake'``."""
    for name, cls in policies(decision).items():
        if type(policy) is cls:
            return f"{decision} policy {name!r}"
    return f"{decision} policy of class {type(policy).__qualname__}"


def nonsense(decision: str, policy: object, what: str) -> PolicyError:
    """Return the error to raise where a policy decides what makes no sense: `what` follows its name."""
    return PolicyError(f"{called(decision, policy)} {what}")


@cache
def _load() -> None:
    """Import the built-in policies and the installed plug-ins, once."""
    from importlib.metadata import entry_points  # noqa: PLC0415 (slow import, needed only here)

    import simulator.policies.builtin  # noqa: F401, PLC0415 (registers the built-in policies)

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except (Exception, SystemExit) as error:
            raise InputError(import_fault(f"{entry.name} = {entry.value}", error)) from error


class PolicyOf:
    """Type annotation marker: a field that holds a policy of one decision.

    In a file the value is a name, or a mapping with ``name`` and the policy's parameters. Validation and schema
    are supplied by `simulator.scenario.validation`.
    """

    __slots__ = ("decision",)

    def __init__(self, decision: str) -> None:
        self.decision = decision
