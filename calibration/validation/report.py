"""Predicted beside measured: as text, and as a plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from calibration.validation.predict import (
    CLOSE,
    Part,
    Prediction,
    median_error,
    rankings,
    worst_error,
)
from calibration.validation.real_cake import BENCH, POLICIES

TARGETS = (0.15, 0.35)
"""Median and worst |error| of the TTFT that are asked for."""


def report(parts: Sequence[Part]) -> str:
    """Return the tables of all parts."""
    return "\n".join(line for part in parts for line in (*_part(part), ""))


def _part(part: Part) -> Iterator[str]:
    yield f"{part.threads} computing thread{'s' if part.threads > 1 else ''}"
    yield "  fitted on calibration rows    points  median error  worst  cross-validated"
    fits = dict(part.processor.regressions) | ({"sr": part.frames} if part.frames else {})
    for name, fit in fits.items():
        figures = (fit.median_error, fit.worst_error, fit.cross_validated_error)
        median, worst, unseen = (f"{100 * figure:.0f} %" for figure in figures)
        yield f"  {name:28s}{len(fit.errors):8d}{median:>14s}{worst:>7s}{unseen:>17s}"
    yield ""
    yield from _requests(part)
    if steps := part.of("step"):
        yield ""
        yield "  decode step, ms       measured  predicted   error"
        for each in steps:
            number = each.row.number
            name = f"batch {number('batch'):.0f}, context {number('context_tokens'):.0f}"
            yield f"  {name:20s}{_pair(each, 1e3)}"
        yield f"  {_errors(steps)}"
    if frames := part.of("sr"):
        yield ""
        yield "  SR frame, ms                  measured  predicted   error"
        for each in frames:
            number = each.row.number
            size = f"{number('input_width_px'):.0f}x{number('input_height_px'):.0f}"
            yield f"  {each.row.parameters['network']!s:20s}{size:>8s}{_pair(each, 1e3)}"
        yield f"  {_errors(frames)}"


def _requests(part: Part) -> Iterator[str]:
    requests = part.of(BENCH)
    if not requests:
        return
    yield "  TTFT, s: measured, predicted, error"
    yield f"  {'tokens':>6s} {'MB/s':>6s}" + "".join(f"{policy:>29s}" for policy in POLICIES)
    alone = {each.row.number("prompt_tokens"): each for each in requests if _policy(each) == POLICIES[0]}
    cells: dict[tuple[float, float], dict[str, Prediction]] = {}
    for each in requests:
        if _policy(each) != POLICIES[0]:
            key = (each.row.number("prompt_tokens"), each.row.number("bandwidth_bytes_per_s"))
            cells.setdefault(key, {POLICIES[0]: alone[key[0]]})[_policy(each)] = each
    for (prompt, bandwidth), cell in cells.items():
        figures = "".join(_pair(cell[policy], 1.0) for policy in POLICIES)
        yield f"  {prompt:6.0f} {bandwidth / 1e6:6.4g}{figures}"
    median, worst = TARGETS
    yield f"  {_errors(requests)}; targets {100 * median:.0f} % and {100 * worst:.0f} %"
    ranked = list(rankings(part))
    wrong = [pair for pair in ranked if not pair.right]
    yield (
        f"  ranking right in {len(ranked) - len(wrong)} of {len(ranked)} pairs of policies "
        f"that differ by more than {100 * CLOSE:.0f} %"
    )
    for pair in wrong:
        yield f"  wrong: {pair.cell}: {pair.faster} is faster than {pair.slower}"


def _policy(each: Prediction) -> str:
    return str(each.row.parameters["policy"])


def _pair(each: Prediction, scale: float) -> str:
    digits = 3 if scale == 1.0 else 1
    return f"{scale * each.row.value:10.{digits}f}{scale * each.predicted:11.{digits}f}{100 * each.error:+6.0f} %"


def _errors(predictions: Sequence[Prediction]) -> str:
    median, worst = 100 * median_error(predictions), 100 * worst_error(predictions)
    return f"median |error| {median:.1f} %, worst {worst:.0f} % ({len(predictions)} points)"


def draw(parts: Sequence[Part], output: Path) -> None:
    """Write a plot of predicted against measured; the ending of `output` says the format.

    One row per number of threads; panels for requests, decode steps and SR frames.
    """
    # matplotlib is slow to import, and most callers print only
    from calibration.validation.plot import figure  # noqa: PLC0415
    from simulator.viz.style import save  # noqa: PLC0415

    save(figure(parts), output)
