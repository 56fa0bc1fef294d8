"""Take the figures of generated questions from published sets of questions and answers.

``python -m simulator.workloads.question_derivation FOLDER`` prints the ``figures`` part of ``questions.yaml``, so that
anyone who has the tables can check that file; a test does. FOLDER holds the categories of Vicuna-80, the skills of
WizardLM-218, the human labels of Skeleton-of-Thought's router for both, and the structure of the AlpacaEval answers.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from simulator.workloads.question_figures import CategoryFigures, QuestionFigures

LONGEST = 16
"""Most points counted. Lists within lists make answers of up to 208 points; an answer with more counts as one of 16."""

PROBABILITIES = (
    0.0, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
    0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 1.0,
)  # fmt: skip
"""Where the quantile tables stand; dense at the upper end, where the tokens are."""

CLASSES = (4, 8, LONGEST)
"""Most points of the classes of answers for the text around the points: many points leave it a smaller share."""

WORD_PROBABILITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The same for the words of a category's few questions."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """How one answer is laid out."""

    preamble_words: int
    postamble_words: int
    point_words: tuple[int, ...]

    @property
    def around_words(self) -> int:
        """Words that belong to no point."""
        return self.preamble_words + self.postamble_words

    @property
    def mean_words(self) -> float:
        """Words of a point in the mean."""
        return sum(self.point_words) / len(self.point_words)


def derive(folder: Path) -> QuestionFigures:
    """Return the figures of the tables in `folder`.

    The structure of answers is taken from those with at least two points.
    """
    with (folder / "alpaca_eval_answer_structure.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = [_answer(row) for row in rows]
    listed = [answer for answer in answers if len(answer.point_words) >= 2]
    short = [answer for answer in listed if len(answer.point_words) <= LONGEST]
    vicuna = _table(folder, "vicuna80_categories.csv")
    # each model answered the 80 questions in the order of the other table, though they count them differently
    by_question = _by_question(rows, answers, [row["words"] for row in vicuna])
    return QuestionFigures(
        answers=len(answers),
        listed=len(listed),
        longest=LONGEST,
        point_counts=_shares([len(answer.point_words) for answer in listed]),
        probabilities=PROBABILITIES,
        point_lengths=_quantiles(
            [words / answer.mean_words for answer in short for words in answer.point_words], PROBABILITIES
        ),
        around_up_to=CLASSES,
        around=_around(short),
        before=_quantiles(
            [answer.preamble_words / answer.around_words for answer in short if answer.around_words],
            PROBABILITIES,
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


def _answer(row: dict[str, str]) -> _Answer:
    return _Answer(
        int(row["preamble_words"]),
        int(row["postamble_words"]),
        tuple(int(words) for words in row["point_words"].split()),
    )


def _table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _by_question(
    rows: Sequence[dict[str, str]], answers: Sequence[_Answer], words: Sequence[str]
) -> list[list[_Answer]]:
    """Return all models' answers to each Vicuna question, whose numbers of words are `words`."""
    models: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row["dataset"] == "vicuna":
            models.setdefault(row["model"], []).append(place)
    for model, places in models.items():
        if [rows[place]["prompt_words"] for place in places] != list(words):
            raise ValueError(f"the answers of {model} are not to the questions of the other table")
    return [[answers[places[i]] for places in models.values()] for i in range(len(words))]


def _categories(
    questions: Sequence[dict[str, str]],
    column: str,
    labels: Sequence[dict[str, str]],
    answers: Sequence[Sequence[_Answer]] | None,
) -> dict[str, CategoryFigures]:
    """Return the figures of each category of a set, in the order in which the set has them."""
    found: dict[str, CategoryFigures] = {}
    for name in dict.fromkeys(question[column] for question in questions):
        rows = [i for i, question in enumerate(questions) if question[column] == name]
        counts = [
            len(answer.point_words)
            for i in rows
            for answer in (answers[i] if answers is not None else ())
            if len(answer.point_words) >= 2
        ]
        found[name] = CategoryFigures(
            questions=len(rows),
            suitable=_figure(float(np.mean([int(labels[i]["sot_suitable_human_label"]) for i in rows]))),
            words=_quantiles([int(questions[i]["words"]) for i in rows], WORD_PROBABILITIES),
            listed=len(counts),
            point_counts=_shares(counts) if counts else (),
        )
    return found


def _around(answers: Sequence[_Answer]) -> tuple[tuple[float, ...], ...]:
    """Return quantiles of the words around the points, over the mean point, per class of `CLASSES`."""
    counts = np.array([len(answer.point_words) for answer in answers])
    around = np.array([answer.around_words / answer.mean_words for answer in answers])
    classes = np.searchsorted(CLASSES, counts)
    return tuple(_quantiles(around[classes == one].tolist(), PROBABILITIES) for one in range(len(CLASSES)))


def _shares(counts: Iterable[int]) -> tuple[float, ...]:
    """Return the share of answers with 2, 3, ... `LONGEST` points."""
    cut = np.minimum(np.array(list(counts)), LONGEST)
    return tuple(_figure(float(np.mean(cut == n))) for n in range(2, LONGEST + 1))


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
