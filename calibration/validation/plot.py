"""Plot of predicted against measured times, on log axes with the line where both agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from calibration.validation.predict import Part, Prediction, median_error
from calibration.validation.real_cake import BENCH
from simulator.viz.style import GREY, Look, legend, log_axis, looks, panels, styled

_PANELS: dict[str, tuple[str, Callable[[Prediction], str]]] = {
    BENCH: ("TTFT of a request", lambda each: str(each.row.parameters["policy"])),
    "step": ("decode step", lambda each: f"batch {each.row.number('batch'):.0f}"),
    "sr": ("SR frame", lambda each: str(each.row.parameters["network"])),
}
"""By benchmark: title of its panel, and what a point is named after."""

BAND = 0.15
"""The grey lines are this share above and below."""


@styled
def figure(parts: Sequence[Part]) -> Figure:
    """Draw predicted against measured: a row per number of threads, a panel per benchmark."""
    shown = [bench for bench in _PANELS if any(part.of(bench) for part in parts)]
    drawn, rows = panels(len(parts), len(shown), 3.2, 3.2)
    names = {bench: [_PANELS[bench][1](each) for part in parts for each in part.of(bench)] for bench in shown}
    styles = looks(name for bench in shown for name in names[bench])
    for part, row in zip(parts, rows, strict=True):
        for bench, axes in zip(shown, row, strict=True):
            _panel(axes, part, bench, styles)
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=name)
        for name, look in styles.items()
    ]
    legend(drawn, handles)
    return drawn


def _panel(axes: Axes, part: Part, bench: str, styles: dict[str, Look]) -> None:
    title, name = _PANELS[bench]
    points = part.of(bench)
    if not points:
        axes.set_visible(False)
        return
    every = [value for each in points for value in (each.row.value, each.predicted)]
    low, high = min(every) / 1.3, max(every) * 1.3
    for factor, dash in ((1.0, "-"), (1.0 + BAND, ":"), (1.0 - BAND, ":")):
        axes.plot([low, high], [low * factor, high * factor], dash, color=GREY, linewidth=0.8, zorder=1)
    for each in points:
        look = styles[name(each)]
        axes.plot(
            each.row.value, each.predicted, look.marker, color=look.colour, markeredgecolor="white", zorder=2
        )
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_aspect("equal")
    axes.set_xlabel("measured (s)")
    axes.set_ylabel("predicted (s)")
    threads = f"{part.threads} thread{'s' if part.threads > 1 else ''}"
    axes.set_title(f"{title}, {threads}: median error {100 * median_error(points):.0f} %")
