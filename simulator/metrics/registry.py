"""Figures of the user's own: functions of a service's records that join its summary.

``@metric`` makes a function known to this process. An outside package uses the entry-point group
`ENTRY_POINT_GROUP` and needs nothing else; that is also how worker processes get to know it. Where no metric is
registered, summaries are as they are without this module. A metric sees all records, those of a warm-up included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Real
from types import MappingProxyType
from typing import TypeVar

from devices.errors import SimulatorError
from simulator.core import Table

KINDS: Mapping[str, str] = MappingProxyType({"llm": "requests", "streaming": "viewers", "assistant": "asks"})
"""What rows a metric sees, by the kind of service."""

ENTRY_POINT_GROUP = "hetsim.metrics"
"""Entry points of this group are imported before metrics are first asked for."""

Figure = Callable[[Table], float | None]
F = TypeVar("F", bound=Figure)


class MetricError(SimulatorError):
    """A metric that cannot be registered or computed; it names the metric."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A registered metric."""

    name: str
    """Its key below ``services.NAME.custom``; it ends with its unit."""
    kind: str
    """The kind of service that has it, a key of `KINDS`."""
    figure: Figure
    """Computes it from the records; None where it is not defined."""

    @property
    def definition(self) -> str:
        """First line of the function's docstring."""
        return (self.figure.__doc__ or "").strip().partition("\n")[0]

    def __call__(self, table: Table) -> float | None:
        """Return the figure.

        Raises
        ------
        MetricError
            Where the function fails, or gives no finite number and not None.
        """
        try:
            value = self.figure(table)
        except Exception as error:
            raise MetricError(f"metric {self.name!r}: {type(error).__name__}: {error}") from error
        if value is None:
            return None
        if not isinstance(value, Real) or not math.isfinite(value):
            raise MetricError(f"metric {self.name!r} gives {value!r}; allowed: a finite number, or None")
        return float(value)


_registry: dict[tuple[str, str], Metric] = {}


def metric(name: str, kind: str = "llm") -> Callable[[F], F]:
    """Function decorator: make a figure known as `name` for services of a kind.

    Parameters
    ----------
    name
        An identifier that ends with the unit, such as ``late_share`` or ``longest_wait_s``.
    kind
        ``llm``: the function gets the requests (`simulator.serving.service.request_schema`); ``streaming``: the
        viewers (`simulator.streaming.viewing.VIEWER_COLUMNS`); ``assistant``: the asks
        (`simulator.assistant.runtime.ASKS`).

    Raises
    ------
    MetricError
        Where the name is no identifier or is taken (both functions are named), or there is no such kind.
    """
    if not name.isidentifier():
        raise MetricError(f"metric {name!r}: the name must be an identifier, such as late_share")
    if kind not in KINDS:
        raise MetricError(f"metric {name!r}: unknown kind {kind!r}; allowed: {', '.join(KINDS)}")

    def add(figure: F) -> F:
        taken = _registry.get((kind, name))
        if taken is not None and _place(taken.figure) != _place(figure):  # a cell run again replaces its own
            raise MetricError(
                f"metric {name!r} is defined twice: {_place(taken.figure)} and {_place(figure)}"
            )
        _registry[kind, name] = Metric(name, kind, figure)
        return figure

    return add


def metrics(kind: str | None = None) -> list[Metric]:
    """Return the registered metrics of a kind, None: of all, in alphabetical order."""
    _load()
    return [it for (its_kind, _), it in sorted(_registry.items()) if kind in (None, its_kind)]


def custom_figures(kind: str, table: Table) -> dict[str, dict[str, float | None]]:
    """Return ``{"custom": {name: figure}}`` for the records of a service; empty where no metric is registered.

    Raises
    ------
    MetricError
        Where a metric fails.
    """
    figures = {it.name: it(table) for it in metrics(kind)}
    return {"custom": figures} if figures else {}


def _place(figure: Figure) -> str:
    return f"{figure.__module__}.{getattr(figure, '__qualname__', type(figure).__qualname__)}"


@cache
def _load() -> None:
    """Import the installed plug-ins, once."""
    from importlib.metadata import entry_points  # noqa: PLC0415 (slow import, needed only here)

    for entry in entry_points(group=ENTRY_POINT_GROUP):
        entry.load()
