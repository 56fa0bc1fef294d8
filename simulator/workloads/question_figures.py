"""What generated questions stand on: figures derived from published sets, and assumptions where none exist.

Both are in ``questions.yaml``. The figures are printed by `simulator.workloads.question_derivation`; no row of the data
is here. The assumptions are the project's own, each with its reason in that file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """One category of a set of questions."""

    questions: int
    """Questions of the set that belong to it."""
    suitable: float
    """Share of them that people labelled as fit for Skeleton-of-Thought."""
    words: tuple[float, ...]
    """Quantiles of a question's words."""
    listed: int
    """Answers with as many points as are counted, of all models together, that `point_counts` stands on."""
    point_counts: tuple[float, ...]
    """Share of those with `QuestionFigures.fewest` points, one more, and so on; empty: no answers to this set are
    known, and those of all sets stand in."""


@dataclass(frozen=True, slots=True)
class QuestionFigures:
    """Sets of questions, and how answers to questions are laid out."""

    answers: int
    """Answers looked at."""
    listed: int
    """Those with 3 to 10 points, which the following stand on."""
    fewest: int
    """Fewest points counted."""
    point_counts: tuple[float, ...]
    """Share of answers with `fewest` points, one more, and so on."""
    probabilities: tuple[float, ...]
    """Probabilities of the quantile tables below."""
    point_lengths: tuple[float, ...]
    """Words of a point over the mean of its answer's points."""
    word_probabilities: tuple[float, ...]
    """Probabilities of the categories' `words`."""
    datasets: Mapping[str, Mapping[str, CategoryFigures]]
    """Categories of each set by name."""


@dataclass(frozen=True, slots=True)
class CategoryAssumption:
    """What is assumed about the answers to one category."""

    answer_tokens: float
    """Mean tokens of an answer."""
    dependent: float
    """Share of nodes other than the first that need an earlier one."""
    parents: float
    """Mean number of nodes that those need, from 1. A little fewer come out: equal draws count once, and few nodes
    stand before an early one."""


@dataclass(frozen=True, slots=True)
class QuestionAssumptions:
    """What no data tell."""

    tokens_per_word: float
    """Prompt tokens per word of a question."""
    answer_cv: float
    """Coefficient of variation of answer tokens within a category."""
    entry_tokens: int
    """Tokens of a plan entry's label."""
    entry_tokens_per_parent: int
    """Tokens by which naming a dependency makes the entry longer."""
    latest: float
    """Probability that the node just before is among those that a dependent node needs."""
    datasets: Mapping[str, Mapping[str, CategoryAssumption]]
    """Categories of each set by name."""


@cache
def question_figures() -> QuestionFigures:
    """Return the derived figures."""
    figures = dict(_document()["figures"])
    datasets = {
        dataset: {name: CategoryFigures(**_tuples(category)) for name, category in categories.items()}
        for dataset, categories in figures.pop("datasets").items()
    }
    return QuestionFigures(**_tuples(figures), datasets=datasets)


@cache
def question_assumptions() -> QuestionAssumptions:
    """Return the assumptions."""
    assumed = dict(_document()["assumed"])
    datasets = {
        dataset: {name: CategoryAssumption(*row) for name, row in rows.items()}
        for dataset, rows in assumed.pop("datasets").items()
    }
    return QuestionAssumptions(**assumed, datasets=datasets)


@cache
def _document() -> dict[str, Any]:
    import yaml  # noqa: PLC0415 (only this workload needs it)

    text = files("simulator.workloads").joinpath("questions.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def _tuples(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _tuple(value) for name, value in columns.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(one) for one in value) if isinstance(value, list) else value
