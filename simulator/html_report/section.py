"""A section of the page: what is said of one study, ready to be laid out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.errors import Fault, InputError
from simulator.html_report.across import PLOTS as ACROSS_PLOTS
from simulator.html_report.plots import Plot, Plots
from simulator.html_report.tables import Table

KINDS: Mapping[str, str] = {
    "run": "Run", "comparison": "Comparison", "sweep": "Sweep",
    "capacity": "Capacity search", "group": "Group of studies",
}  # fmt: skip
"""Kind of a study, and of what holds several, as it is headed."""

MOST_LABELS = 8
"""So many points are named in the text that stands for a plot."""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run without a result."""

    run: str
    """Which one."""
    stage: str
    """Where in its course."""
    type: str
    """Name of the exception's class."""
    message: str
    """What it says."""
    traceback: str
    """Where it came from; empty where that was not kept."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is said of one study."""

    kind: str
    """A key of `KINDS`."""
    name: str
    """Name of its scenario or sweep."""
    folder: str
    """Its folder, below the one that is reported on."""
    status: str
    """``succeeded``, ``failed`` or ``unfinished``."""
    facts: Sequence[tuple[str, str]] = ()
    """What it was run with."""
    commands: Sequence[tuple[str, str]] = ()
    """How to run it again: what a command line is for, and the line."""
    notes: Sequence[str] = ()
    """What a reader must know."""
    failures: Sequence[FailedRun] = ()
    """Runs without a result."""
    tables: Sequence[Table] = ()
    """What came out."""
    across: Table | None = None
    """What services of unlike kinds are weighed by; None where there is nothing to weigh."""
    explorer: Mapping[str, Any] | None = None
    """Data of the chart that a reader explores."""
    plots: Plots = field(default_factory=lambda: Plots([], []))
    """What was drawn."""
    evidence: Sequence[Table] = ()
    """What it stands on."""
    evidence_counts: Mapping[str, int] = field(default_factory=dict)
    """How many values are of each kind."""
    scenario: str = ""
    """The resolved scenario."""
    scenario_of: str = ""
    """Whose scenario that is, where there are several."""

    @property
    def across_plots(self) -> list[Plot]:
        """Plots that stand with `across`."""
        return [it for it in self.plots.drawn if self.across is not None and it.kind in ACROSS_PLOTS]

    @property
    def other_plots(self) -> list[Plot]:
        """All others."""
        return [it for it in self.plots.drawn if it not in self.across_plots]

    def alternative(self, plot: Plot) -> str:
        """Return what stands in place of a plot for those who do not see it."""
        labels: Sequence[str] = self.explorer["labels"] if self.explorer else ()
        several = "; ".join(labels) if len(labels) <= MOST_LABELS else f"{len(labels)} points"
        return f"{self.name}: {plot.what}" + (f" ({several})" if several else "")

    @property
    def definitions(self) -> list[tuple[str, str]]:
        """What the columns of the tables are: heading, then path and definition; each once."""
        tables = (*([self.across] if self.across else []), *self.tables, *self.evidence)
        columns = [column for table in tables for column in table.columns if column.hint]
        return [(column.title, hint) for hint, column in {it.hint: it for it in columns}.items()]

    @property
    def heading(self) -> str:
        """What kind of study it is, in words."""
        return KINDS[self.kind]


@contextmanager
def understanding(file: Path) -> Iterator[None]:
    """Turn what a broken file brings about into an error that names it.

    Raises
    ------
    InputError
        Where it lacks what every such file has, or has something else in its place.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(Fault(f"cannot be read: {type(error).__name__}: {error}", file=str(file))) from error


def command_line(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the command that a manifest remembers, quoted for a shell; none where it was a notebook's."""
    words = [str(word) for word in manifest.get("command") or ()]
    return [("the whole study again", shlex.join(words))] if words else []


def facts_of(manifest: Mapping[str, Any], **more: object) -> list[tuple[str, str]]:
    """Return what a study was run with, `more` first; what is None is left out."""
    facts = [(name.replace("_", " "), str(value)) for name, value in more.items() if value is not None]
    versions = manifest.get("versions")
    if isinstance(versions, Mapping):
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return facts


def number(value: object) -> str:
    """Return a whole number with separators; anything else as it is."""
    return f"{value:,}" if isinstance(value, int) else str(value)
