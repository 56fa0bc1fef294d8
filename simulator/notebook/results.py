"""What studies of several runs come to, as frames and tables."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from devices.errors import Fault, InputError
from devices.quantity import number_and_unit
from devices.sourced import unknown_name
from simulator.experiments import capacity, comparison
from simulator.experiments.capacity_search import Capacity, Probe
from simulator.experiments.compare import as_yaml
from simulator.experiments.evidence import assumed_note, fallbacks
from simulator.experiments.notes import gathered
from simulator.experiments.statistics import SIGNIFICANCE
from simulator.experiments.stored_sweep import StoredSweep
from simulator.experiments.tables import MARK
from simulator.notebook import tables
from simulator.notebook.tables import headlines, html_table, in_columns, tests_in_columns, with_units

if TYPE_CHECKING:
    import pandas


class Runs(ABC):
    """Runs at several points, each perhaps in several replications."""

    @cached_property
    @abstractmethod
    def _with_axes(self) -> tuple[pandas.DataFrame, tuple[str, ...]]:
        """The frame, and its columns that tell the points apart."""

    @abstractmethod
    def _title(self) -> str:
        """Return what this is."""

    @property
    def _notes(self) -> Iterable[str]:
        """What a reader must know."""
        return ()

    def frame(self) -> pandas.DataFrame:
        """Return one row per run: axes, ``replication``, ``status``, every figure of the summary by its dotted path.

        Units stand in the names of columns. An axis whose values are all numbers of one unit is a column of numbers,
        such as ``devices.disk.bandwidth (Gbit/s)``; else its values stand there as they were written.
        """
        return self._with_axes[0].copy()

    def means(self, *figures: str) -> pandas.DataFrame:
        """Return one row per point: means over the replications that succeeded, with 95 % intervals (Student t).

        Parameters
        ----------
        figures
            Figures to show, by their columns; none: all.

        Returns
        -------
        pandas.DataFrame
            Axes, ``replications``, and per figure its mean and, in a column that ends in ``.half_width``, half the
            width of its interval: NaN where there are fewer than two replications.

        Raises
        ------
        KeyError
            Where a figure is none.
        """
        return tables.means(*self._with_axes, figures)

    def __repr__(self) -> str:
        return self._title()

    def _repr_html_(self) -> str:
        frame, _ = self._with_axes
        figures = [name for name in headlines(frame.columns) if frame[name].notna().any()]
        shown = self.means(*figures) if figures else tables.means(*self._with_axes).iloc[:, :0]
        notes = list(self._notes)
        if frame["replication"].nunique() > 1:
            notes.insert(0, "± is half the 95 % interval (Student t) over replications")
        if failed := int((frame["status"] != "succeeded").sum()):
            notes.append(f"{failed} of {len(frame)} runs failed; they are in frame() but in no mean")
        return html_table(shown, figures, self._title(), notes)


class Comparison(comparison.Comparison, Runs):
    """Variants of one scenario under the same arrivals; the first one is the baseline."""

    @classmethod
    def of(cls, found: comparison.Comparison) -> Comparison:
        """Return what a comparison has found, for notebooks."""
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    @cached_property
    def _with_axes(self) -> tuple[pandas.DataFrame, tuple[str, ...]]:
        return with_units(super().frame(), self.vary)

    def frame(self) -> pandas.DataFrame:
        """Return one row per run (see `Runs.frame`)."""
        return Runs.frame(self)

    def paired(self) -> pandas.DataFrame:
        """Return what each other variant differs by from the first one, paired (see `differences`).

        Returns
        -------
        pandas.DataFrame
            Axes as they were written, and per figure the difference and in further columns half its 95 % interval
            (``.half_width``), the p-value (``.p``), the same adjusted for many comparisons (``.p_adjusted``, Holm–
            Bonferroni; NaN but for the `headlines`, the family that tables show), and how many times as wide the
            interval would be without common random numbers (``.narrower_by``). NaN where it is not known.
        """
        import pandas as pd  # noqa: PLC0415 (slow import)

        rows = []
        for variant in self.variants[1:]:
            row: dict[str, Any] = dict(variant.values)
            for name, it in self.differences(variant).items():
                row |= in_columns(name, it)
                row |= tests_in_columns(name, it, self.adjusted_p.get((variant.label, name)))
            rows.append(row)
        return pd.DataFrame(rows)

    def _title(self) -> str:
        count = len(self.variants)
        return f"Comparison of {self.name}: variants {count}, replications {self.replications}"

    @property
    def _notes(self) -> Iterable[str]:
        stand_ins = [(it.label, fallbacks(it.scenario)) for it in self.variants for _ in it.outcomes]
        return [*self.notes(), *assumed_note([it.scenario for it in self.variants]), *gathered(stand_ins)]

    def __repr__(self) -> str:
        return Runs.__repr__(self)

    def _repr_html_(self) -> str:
        table = Runs._repr_html_(self)
        differences = self.paired()
        figures = [it.path for it in self.headlines if it.path in differences]
        if not figures:
            return table
        note = "replications" if self.replications > 1 else "batches of requests, or the viewers"
        columns = [f"{figure}{ending}" for figure in figures for ending in ("", *tables.ENDINGS)]
        return table + html_table(
            differences[[*self.vary, *columns]],
            figures,
            f"Difference from {self.variants[0].label}, paired",
            [f"± is half the 95 % interval over {note}", marked(len(self.adjusted_p))],
        )


def marked(tested: int) -> str:
    """Say what the mark behind differences means."""
    return (
        f"{MARK} differs from 0 at {SIGNIFICANCE * 100:g} % after the Holm–Bonferroni correction for all {tested} "
        "differences shown"
    )


class SweepResult(Runs):
    """A sweep whose runs have all ended."""

    def __init__(self, stored: StoredSweep) -> None:
        self.stored = stored
        self.folder = stored.folder

    @cached_property
    def _with_axes(self) -> tuple[pandas.DataFrame, tuple[str, ...]]:
        frame, axes = with_units(self.stored.frame, self.stored.axes)
        return (frame if frame["failure"].notna().any() else frame.drop(columns="failure")), axes

    def paired(self, axis: str, *figures: str, baseline: object = None) -> pandas.DataFrame:
        """Return what each value of an axis differs by from a baseline, for every combination of the other axes.

        All points of a sweep share their random numbers, so that replications are paired.

        Parameters
        ----------
        axis
            Path that varies.
        figures
            Figures to show, by their columns; none: those that tables show.
        baseline
            Value of the axis, as it was written or as it stands in `frame`; None: its first one.

        Returns
        -------
        pandas.DataFrame
            Axes as in `frame`, and per figure the columns that `Comparison.paired` has. The family of the correction
            for many comparisons is the whole table: ask for the figures that you mean to read.

        Raises
        ------
        KeyError
            Where there is no such axis or figure.
        InputError
            Where no combination of the other axes has the baseline and another value, as in a design that is no grid.
        """
        frame, axes = self._with_axes
        if axis not in self.stored.axes:
            raise KeyError(unknown_name("axis", axis, self.stored.axes))
        column = axes[self.stored.axes.index(axis)]
        known = tables.figures_of(frame, axes, figures)
        value = frame[column].iloc[0]
        if baseline is not None:
            text = as_yaml(baseline)
            written = [text, number_and_unit(text) or text]
            value = next(
                (
                    now
                    for now, raw in zip(frame[column], self.stored.frame[axis].map(str), strict=True)
                    if now == baseline or raw in written or number_and_unit(raw) in written
                ),
                None,
            )
        found = tables.differences(frame, axes, column, value, figures or headlines(known))
        if found.empty:
            raise InputError(
                Fault(
                    f"no combination of the other axes has both {baseline if value is None else value} and another",
                    axis,
                )
            )
        return found

    @property
    def _notes(self) -> Iterable[str]:
        return self.stored.notes

    def _title(self) -> str:
        it = self.stored.manifest
        return (
            f"Sweep {it['name']} over {it['base']}: points {it['points']:,}, replications {it['replications']:,}, "
            f"in {self.folder}"
        )


@dataclass(frozen=True)
class CapacityResult(capacity.CapacityStudy):
    """The highest load within an SLO, for each variant of a scenario."""

    @classmethod
    def of(cls, found: capacity.CapacityStudy) -> CapacityResult:
        """Return what a search has found, for notebooks."""
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    def frame(self) -> pandas.DataFrame:
        """Return one row per load that was tried: varied values, load, whether it kept the SLO, figures, goodput.

        Returns
        -------
        pandas.DataFrame
            ``load_per_s`` (or ``load``, a factor), ``kept``, ``overloaded`` (then it is not kept), the figures of
            the SLO in means over the replications, ``attainment`` and ``goodput_per_s`` with half the widths of their
            95 % intervals.
        """
        return self._table((values, it, probe) for values, it in self.found for probe in it.probes)

    def highest(self) -> pandas.DataFrame:
        """Return one row per variant: that of `frame` at the highest load that kept the SLO; NaN where none did.

        ``bounded`` says whether a higher load was found that does not keep it; ``replications_load`` is the mean of the
        replications' own highest loads, with half the width of its 95 % interval.
        """
        table = self._table((values, it, it.at_load) for values, it in self.found)
        intervals = [in_columns("replications_load", it.load_interval) for _, it in self.found]
        own = {name: [it[name] for it in intervals] for name in intervals[0]}
        return table.assign(bounded=[it.bounded for _, it in self.found], **own)

    def _table(self, probes: Iterable[tuple[Mapping[str, str], Capacity, Probe | None]]) -> pandas.DataFrame:
        import pandas as pd  # noqa: PLC0415 (slow import)

        rows = []
        for values, it, probe in probes:
            column = "load_per_s" if it.unit else "load"
            row: dict[str, Any] = {**values, column: math.nan if probe is None else probe.load}
            if probe is not None:
                row |= {"kept": probe.kept, "overloaded": probe.overloaded, **probe.figures}
                row |= in_columns("attainment", probe.attainment)
                row |= in_columns("goodput_per_s", probe.goodput_per_s)
            rows.append(row)
        return pd.DataFrame(rows)

    def _title(self) -> str:
        return f"Highest load of {self.name} that keeps {self.slo}"

    def __repr__(self) -> str:
        loads = [f"{', '.join(values.values()) or 'scenario'}: {it}" for values, it in self.found]
        return "\n  ".join([self._title(), *loads])

    def _repr_html_(self) -> str:
        shown = self.highest()
        own = "replications_load"
        if shown[f"{own}{tables.HALF_WIDTH}"].isna().all():
            shown = shown.drop(columns=[own, f"{own}{tables.HALF_WIDTH}"])
        figures = [name for name in (own, "attainment", "goodput_per_s") if name in shown]
        tried = [probe for _, it in self.found for probe in it.probes]
        overloaded = sum(probe.overloaded for probe in tried)
        notes = [f"n = {len(tried)} loads tried, {overloaded} of them overloaded", *self.notes()]
        return html_table(shown, figures, self._title(), notes)
