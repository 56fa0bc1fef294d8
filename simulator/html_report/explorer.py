"""Data of the chart that a reader explores: points with their axes, figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devices.quantity import number_and_unit
from simulator.experiments.statistics import Estimate
from simulator.experiments.tables import Figures, scale_of
from simulator.html_report.figures import figures
from simulator.html_report.tables import NONE, all_paths

DIGITS = 6
"""Significant digits of what is drawn."""


def explorer(
    points: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, Estimate]]
) -> dict[str, Any] | None:
    """Return the data of the chart, ready for JSON; None where there is nothing to compare.

    Parameters
    ----------
    points
        Text by path of each point.
    rows
        Estimates by dotted path of a figure, of each point.
    """
    shown = []
    for figure in figures(all_paths(rows)):
        estimates = [row.get(figure.path, NONE) for row in rows]
        means = [it.mean for it in estimates]
        if all(mean is None for mean in means):
            continue
        scale, symbol = scale_of([Figures(figure.title, means, unit=figure.unit)])
        halves = [None if it.mean is None else it.half_width for it in estimates]
        shown.append(
            {
                "path": figure.path,
                "title": f"{figure.title} (surrogate)" if figure.surrogate else figure.title,
                "group": figure.group,
                "unit": symbol,
                "mean": [_rounded(mean, scale) for mean in means],
                "half": [_rounded(half, scale) for half in halves]
                if any(it is not None for it in halves)
                else None,
            }
        )
    if len(points) < 2 or not shown:
        return None
    return {
        "labels": [", ".join(point.values()) for point in points],
        "axes": [
            _axis(path, title, [point.get(path, "") for point in points])
            for path, title in titles(all_paths(points)).items()
        ],
        "figures": shown,
    }


def titles(paths: Sequence[str]) -> dict[str, str]:
    """Return what each path is called: its last part, or all of it where another one ends alike."""
    ends = [path.rpartition(".")[2] for path in paths]
    return {path: end if ends.count(end) == 1 else path for path, end in zip(paths, ends, strict=True)}


def _axis(path: str, title: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return an axis; one whose values are all numbers of one unit has positions."""
    parts = [number_and_unit(text.strip()) for text in texts]
    known = [part for part in parts if part is not None]
    numeric = len(known) == len(parts) and len({unit for _, unit in known}) == 1
    return {
        "path": path,
        "title": title,
        "unit": known[0][1].strip() if numeric else "",
        "texts": list(texts),
        "numbers": [value for value, _ in known] if numeric else None,
    }


def _rounded(value: float | None, scale: float) -> float | None:
    return None if value is None else float(f"{value / scale:.{DIGITS}g}")
