"""The variants of a comparison that are shown, and columns of their figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from simulator.experiments.comparison import Comparison, Variant
from simulator.experiments.statistics import Estimate
from simulator.experiments.tables import Figures, Group, figure_tables

Row = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Shown:
    """The variants that have figures, a row each in every table."""

    comparison: Comparison
    """What they are of."""
    variants: Sequence[Variant]
    """The variants."""

    @property
    def rows(self) -> list[Row]:
        """Their figures."""
        return [variant.statistics for variant in self.variants]

    def paths(self) -> dict[str, None]:
        """Return the paths of all figures, each once, in order."""
        return dict.fromkeys(path for row in self.rows for path in row)

    def known(self, path: str, above: float = -math.inf) -> bool:
        """Whether a figure is known, and above a value, in any variant."""
        return any(
            (it := row.get(path)) is not None and it.mean is not None and it.mean > above for row in self.rows
        )

    def column(self, title: str, path: str, unit: str = "") -> Figures:
        """Return a column of a figure, with intervals where there are replications."""
        return figures(self.rows, title, path, unit, intervals=self.comparison.replications > 1)

    def table(self, groups: Sequence[Group]) -> str:
        """Return a table of columns."""
        labels = [variant.label or self.comparison.name for variant in self.variants]
        return figure_tables(labels, groups, corner(self.comparison))

    def agreed(self, attributes: Sequence[Callable[[Variant], str]]) -> str:
        """Return what all variants have in common."""
        parts: list[str] = []
        for attribute in attributes:
            values = {attribute(variant) for variant in self.variants}
            parts += values if len(values) == 1 else []
        return ", ".join(parts)


def corner(comparison: Comparison) -> str:
    """Return the heading of the variants' names: what differs."""
    return ", ".join(path.rpartition(".")[2] for path in comparison.vary) or "scenario"


def figures(
    rows: Sequence[Row], title: str, path: str, unit: str, *, intervals: bool, signed: bool = False
) -> Figures:
    """Return a column of a figure."""
    none = Estimate(None, None, 0)
    estimates = [row.get(path, none) for row in rows]
    return Figures(
        title,
        [estimate.mean for estimate in estimates],
        [estimate.half_width for estimate in estimates] if intervals else (),
        unit,
        signed,
    )


def phones(variant: Variant, names: Sequence[str]) -> str:
    """Say which phones devices of these names are."""
    devices = [variant.scenario.devices[name] for name in names]
    return " + ".join(
        f"{device.count}x {device.profile}" if (device.count or 1) > 1 else device.profile
        for device in devices
    )
