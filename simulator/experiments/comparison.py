"""What a comparison has found: figures per variant, and what each differs by from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.experiments.execution import Outcome
from simulator.experiments.notes import gathered
from simulator.experiments.statistics import (
    Difference,
    Estimate,
    batch_means,
    estimates_data,
    holm,
    mean_figures,
    paired,
)
from simulator.scenario.spec import Scenario

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Variant:
    """One variant of the scenario and what its runs came to."""

    label: str
    """Its values, joined; empty where nothing is varied."""
    values: Mapping[str, str]
    """Value by path, as YAML text."""
    scenario: Scenario
    """The scenario with these values."""
    outcomes: Sequence[Outcome] = ()
    """One per replication."""
    folders: Sequence[str] = ()
    """Run folder of each replication, inside the output folder; empty where none was written."""

    @cached_property
    def statistics(self) -> dict[str, Estimate]:
        """Mean over the replications of each figure of the summary, by its dotted path."""
        return mean_figures([flatten(it.summary) for it in self.outcomes if it.summary is not None])

    @property
    def failed(self) -> bool:
        """Whether at least one replication has failed."""
        return any(outcome.failure is not None for outcome in self.outcomes)

    def failures(self) -> list[dict[str, Any]]:
        """Return what went wrong, one object per failed replication, ready for JSON."""
        return [
            {"replication": replication, "stage": it.stage, "type": it.type, "message": it.message}
            for replication, outcome in enumerate(self.outcomes)
            if (it := outcome.failure) is not None
        ]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure whose differences the tables show."""

    group: str
    """What it is a figure of, such as ``TTFT``; with its service where there are several."""
    statistic: str
    """Which statistic, such as ``p99``."""
    path: str
    """Its dotted path in the summary."""
    unit: str
    """``s``, ``J`` or empty."""


@dataclass(frozen=True)
class Comparison:
    """Variants of one scenario under the same arrivals; the first one is the baseline."""

    name: str
    """Name of the scenario."""
    vary: Mapping[str, Sequence[str]]
    """Values by path."""
    replications: int
    """Independent repetitions of each variant."""
    variants: Sequence[Variant]
    """In the order of the values, the last path varying fastest."""
    folder: Path | None = field(default=None, compare=False)
    """Where it was written; None where it was not."""

    def notes(self) -> list[str]:
        """Return what a reader must know of the runs (see `simulator.experiments.notes`)."""
        return gathered(
            [(variant.label, outcome.notes) for variant in self.variants for outcome in variant.outcomes]
        )

    def differences(self, variant: Variant) -> dict[str, Difference]:
        """Return what `variant` differs by from the first one, paired, by the figure's dotted path.

        With several replications: the mean over replications, for every figure. With one: the mean over the
        requests that both completed, for TTFT and E2E, with an interval by batch means in order of arrival; over
        the viewers of both, for QoE, stalls and energy.
        """
        pairs = list(zip(self.variants[0].outcomes, variant.outcomes, strict=True))
        if self.replications == 1:
            return _paired_differences(*pairs[0])
        flat = [
            (flatten(base.summary), flatten(other.summary))
            for base, other in pairs
            if base.summary is not None and other.summary is not None
        ]
        if not flat:
            return {}
        return {
            path: paired([base.get(path) for base, _ in flat], [other.get(path) for _, other in flat])
            for path in flat[0][0]
        }

    @cached_property
    def headlines(self) -> tuple[Headline, ...]:
        """The figures whose differences the tables show."""
        services = self.variants[0].scenario.services
        several = self.replications > 1
        shown = []
        for service, spec in services.items():
            figures = _FIGURES[spec.kind]
            prefix = f"{service} " if len(services) > 1 else ""
            shown += [
                Headline(prefix + group, statistic, f"services.{service}.{metric}.{statistic}", unit)
                for group, statistic, metric, unit in figures
                if several or statistic == "mean"  # one run has pairs of requests, whose mean alone is known
            ]
        return (*shown, Headline("energy", "total", "energy_j.total", "J")) if several else tuple(shown)

    @cached_property
    def adjusted_p(self) -> dict[tuple[str, str], float]:
        """P-value by label of a variant and path of a figure, adjusted for how many a reader sees at once.

        The family of the Holm–Bonferroni correction is every difference that the text table shows with an interval:
        all headlines of all variants but the first one.
        """
        found = {}
        for variant in self.variants[1:]:
            differences = self.differences(variant)
            for headline in self.headlines:
                difference = differences.get(headline.path)
                if difference is not None and difference.p is not None:
                    found[variant.label, headline.path] = difference.p
        return dict(zip(found, holm(list(found.values())), strict=True))

    def as_data(self) -> list[dict[str, Any]]:
        """Return one object per variant, ready for JSON."""
        rows = []
        for number, variant in enumerate(self.variants):
            row: dict[str, Any] = {"variant": dict(variant.values)}
            row["status"] = "failed" if variant.failed else "succeeded"
            row["seed"] = variant.scenario.seed
            row["replications"] = self.replications
            if self.replications == 1:
                row["summary"] = variant.outcomes[0].summary
            else:
                row["statistics"] = estimates_data(variant.statistics)
            if number:
                row["difference"] = self._differences_data(variant)
            if variant.failed:
                row["failures"] = variant.failures()
            rows.append(row)
        return rows

    def _differences_data(self, variant: Variant) -> dict[str, dict[str, Any]]:
        differences = self.differences(variant)
        data = estimates_data(differences)
        for path, difference in differences.items():
            data[path] |= {
                "p": difference.p,
                "p_adjusted": self.adjusted_p.get((variant.label, path)),
                "narrower_by": difference.narrower_by,
            }
        return data

    def frame(self) -> pandas.DataFrame:
        """Return one row per run: varied values, replication, status, every figure of the summary."""
        import pandas  # noqa: PLC0415 (slow import)

        return pandas.DataFrame(
            [
                {
                    **variant.values,
                    "replication": replication,
                    "status": "succeeded" if outcome.failure is None else "failed",
                    **flatten(outcome.summary or {}),
                }
                for variant in self.variants
                for replication, outcome in enumerate(variant.outcomes)
            ]
        )


_LLM_FIGURES = (
    ("TTFT", "mean", "ttft_s", "s"),
    ("TTFT", "p99", "ttft_s", "s"),
    ("E2E", "mean", "e2e_s", "s"),
    ("E2E", "p99", "e2e_s", "s"),
)
_FIGURES = {
    "llm": _LLM_FIGURES,
    "streaming": (
        ("QoE per chunk", "mean", "qoe", ""),
        ("stalls", "mean", "rebuffer_s", "s"),
        ("energy per phone", "mean", "energy_per_phone_j", "J"),
    ),
    "assistant": (
        *_LLM_FIGURES,
        ("QoE", "mean", "qoe", ""),
        ("energy per ask", "mean", "energy_per_ask_j", "J"),
    ),
}


def flatten(data: Mapping[str, Any] | None, prefix: str = "") -> dict[str, float | None]:
    """Return the figures of a summary by dotted path; texts are left out, seeds too."""
    flat: dict[str, float | None] = {}
    for key, value in (data or {}).items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{path}.")
        elif value is None or (isinstance(value, int | float) and path != "seed"):
            flat[path] = value
    return flat


def _paired_differences(base: Outcome, other: Outcome) -> dict[str, Difference]:
    differences: dict[str, Difference] = {}
    for service in base.observations.keys() & other.observations.keys():
        first, second = base.observations[service], other.observations[service]
        _, here, there = np.intersect1d(first.key, second.key, assume_unique=True, return_indices=True)
        order = np.argsort(first.order[here], kind="stable")
        here, there = here[order], there[order]
        for path in first.figures.keys() & second.figures.keys():
            values = second.figures[path][there] - first.figures[path][here]
            differences[f"services.{service}.{path}"] = batch_means(values[~np.isnan(values)])
    return dict(sorted(differences.items()))
