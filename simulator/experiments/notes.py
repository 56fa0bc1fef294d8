"""What a reader must know of several runs, said once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

MOST_LABELS = 4
"""So many variants are named; of more it is only said how many runs a note is of."""

_NUMBER = re.compile(r"(?<=[\s(])[\d.]+(?:e[+-]?\d+)?")
"""A number of a note, and no part of a name."""


def gathered(runs: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Return the notes of runs, each once.

    Notes that differ by numbers alone are one, with the first one's numbers. Where one does not hold for all runs, it
    says for which variants, and for how many runs.

    Parameters
    ----------
    runs
        Label of the variant, and notes, of each run.
    """
    runs_of = Counter(label for label, _ in runs)
    alike: dict[str, list[tuple[str, str]]] = {}
    for label, notes in runs:
        for note in dict.fromkeys(notes):
            alike.setdefault(_NUMBER.sub("#", note), []).append((label, note))
    return [_where(it, runs_of) for it in alike.values()]


def _where(alike: Sequence[tuple[str, str]], runs_of: Counter[str]) -> str:
    labels = list(dict.fromkeys(label for label, _ in alike))
    named = len(labels) < len(runs_of) and len(labels) <= MOST_LABELS
    where = [" | ".join(labels)] if named else []
    if len(alike) < (sum(runs_of[label] for label in labels) if named else runs_of.total()):
        where.append(f"{len(alike)} of {runs_of.total()} runs")
    if len({note for _, note in alike}) > 1:
        where.append("numbers of the first")
    return alike[0][1] + (f" [{'; '.join(where)}]" if where else "")
