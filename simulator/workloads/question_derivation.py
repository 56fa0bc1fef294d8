"""Take the figures of generated questions from published sets of questions and answers.

``python -m simulator.workloads.question_derivation FOLDER`` prints the ``figures`` part of ``questions.yaml``, so that
anyone who has the tables can check that file; a test does. FOLDER holds the categories of Vicuna-80, the skills of
WizardLM-218, the human labels of Skeleton-of-Thought's router for both, and the structure of the AlpacaEval answers.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from simulator.workloads.question_figures import CategoryFigures, QuestionFigures

FEWEST, MOST = 3, 10
"""Points that a skeleton is asked to have (Skeleton-of-Thought's published prompt); other answers are left out."""

PROBABILITIES = (
    0.0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
    0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0,
)  # fmt: skip
"""Where the quantile tables stand; dense at the upper end, where the tokens are."""

WORD_PROBABILITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The same for the words of a category's few questions."""


def derive(folder: Path) -> QuestionFigures:
    """Return the figures of the tables in `folder`.

    The structure of answers is taken from those with `FEWEST` to `MOST` points.
    """
    with (folder / "alpaca_eval_answer_structure.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    points = [[int(words) for words in row["point_words"].split()] for row in rows]
    listed = [one for one in points if FEWEST <= len(one) <= MOST]
    vicuna = _table(folder, "vicuna80_categories.csv")
    # each model answered the 80 questions in the order of the other table, though they count them differently
    by_question = _by_question(rows, [len(one) for one in points], [row["words"] for row in vicuna])
    return QuestionFigures(
        answers=len(points),
        listed=len(listed),
        fewest=FEWEST,
        point_counts=_shares([len(one) for one in listed]),
        probabilities=PROBABILITIES,
        point_lengths=_quantiles(
            [len(one) * words / sum(one) for one in listed for words in one], PROBABILITIES
        ),
        word_probabilities=WORD_PROBABILITIES,
        datasets={
            "vicuna-80": _categories(
                vicuna, "category", _table(folder, "vicuna_router_labels.csv"), by_question
            ),
            "wizardlm-218": _categories(
                _table(folder, "wizardlm218_skills.csv"),
                "skill",
                _table(folder, "wizardlm_router_labels.csv"),
                None,
            ),
        },
    )


def _table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _by_question(
    rows: Sequence[dict[str, str]], points: Sequence[int], words: Sequence[str]
) -> list[list[int]]:
    """Return the points of all models' answers to each Vicuna question, whose numbers of words are `words`."""
    models: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row["dataset"] == "vicuna":
            models.setdefault(row["model"], []).append(place)
    for model, places in models.items():
        if [rows[place]["prompt_words"] for place in places] != list(words):
            raise ValueError(f"the answers of {model} are not to the questions of the other table")
    return [[points[places[i]] for places in models.values()] for i in range(len(words))]


def _categories(
    questions: Sequence[dict[str, str]],
    column: str,
    labels: Sequence[dict[str, str]],
    points: Sequence[Sequence[int]] | None,
) -> dict[str, CategoryFigures]:
    """Return the figures of each category of a set, in the order in which the set has them."""
    found: dict[str, CategoryFigures] = {}
    for name in dict.fromkeys(question[column] for question in questions):
        rows = [i for i, question in enumerate(questions) if question[column] == name]
        counts = [n for i in rows for n in (points[i] if points is not None else ()) if FEWEST <= n <= MOST]
        found[name] = CategoryFigures(
            questions=len(rows),
            suitable=_figure(float(np.mean([int(labels[i]["sot_suitable_human_label"]) for i in rows]))),
            words=_quantiles([int(questions[i]["words"]) for i in rows], WORD_PROBABILITIES),
            listed=len(counts),
            point_counts=_shares(counts) if counts else (),
        )
    return found


def _shares(counts: Iterable[int]) -> tuple[float, ...]:
    """Return the share of answers with `FEWEST`, ... `MOST` points."""
    numbers = np.array(list(counts))
    return tuple(_figure(float(np.mean(numbers == n))) for n in range(FEWEST, MOST + 1))


def _quantiles(values: Sequence[float], probabilities: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(_figure(float(value)) for value in np.quantile(values, probabilities))


def _figure(value: float) -> float:
    """Round to four significant digits: a statistic, not a row."""
    return float(f"{value:.4g}")


def main() -> None:
    """Print the figures of the folder named on the command line as YAML."""
    figures = asdict(derive(Path(sys.argv[1])))
    datasets = figures.pop("datasets")
    print("figures:")
    for name, value in figures.items():
        print(f"  {name}: {_flow(value)}")
    print("  datasets:")
    for dataset, categories in datasets.items():
        print(f"    {dataset}:")
        for name, category in categories.items():
            print(f"      {name}:")
            for key, value in category.items():
                print(f"        {key}: {_flow(value)}")


def _flow(value: object) -> object:
    """Return `value` as YAML writes it on one line."""
    return [_flow(one) for one in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    main()
