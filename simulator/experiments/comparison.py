"""What a comparison has found: figures per variant, and what each differs by from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.experiments.execution import Outcome
from simulator.experiments.statistics import Estimate, batch_means, over_replications
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
        flat = [flatten(outcome.summary) for outcome in self.outcomes if outcome.summary is not None]
        return {
            path: over_replications([one.get(path) for one in flat]) for path in (flat[0] if flat else ())
        }

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

    def differences(self, variant: Variant) -> dict[str, Estimate]:
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
            path: over_replications(
                [
                    None if base.get(path) is None or other.get(path) is None else other[path] - base[path]  # type: ignore[operator]
                    for base, other in flat
                ]
            )
            for path in flat[0][0]
        }

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
                row["statistics"] = {path: it.as_data() for path, it in variant.statistics.items()}
            if number:
                row["difference"] = {path: it.as_data() for path, it in self.differences(variant).items()}
            if variant.failed:
                row["failures"] = variant.failures()
            rows.append(row)
        return rows

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


def _paired_differences(base: Outcome, other: Outcome) -> dict[str, Estimate]:
    differences: dict[str, Estimate] = {}
    for service in base.observations.keys() & other.observations.keys():
        first, second = base.observations[service], other.observations[service]
        _, here, there = np.intersect1d(first.key, second.key, assume_unique=True, return_indices=True)
        order = np.argsort(first.order[here], kind="stable")
        here, there = here[order], there[order]
        for path in first.figures.keys() & second.figures.keys():
            values = second.figures[path][there] - first.figures[path][here]
            differences[f"services.{service}.{path}"] = batch_means(values[~np.isnan(values)])
    return dict(sorted(differences.items()))
