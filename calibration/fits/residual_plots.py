"""One figure per kernel fit: residuals over what varies most, by size of the rest.

``python -m calibration.fits.residual_plots FOLDER OUTPUT`` writes all of them (png, or as ``--format`` says).
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from calibration.command_line import data_parser, kernel_tables, run
from calibration.fits import allreduce, attention, gemm
from calibration.fits.regression import Array, Regression
from calibration.fits.tables import columns, gpu_profile, number_format, read
from simulator.viz.style import GREY, footnote, legend, log_axis, panels, rounded, save, sequence, styled

BANDS = 4
"""Classes of size, equally many points in each."""
MARKERS = ("o", "s", "^", "D", "v", "P")
TICKS = (0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4, 10)
FORMATS = ("png", "svg", "pdf")


@styled
def residual_plot(
    fit: Regression, over: Array, over_label: str, size: Array, size_label: str, title: str
) -> Figure:
    """Draw ours over measured against `over`, in classes of `size`.

    Parameters
    ----------
    fit
        The fit; points whose group was held out are drawn.
    over, over_label
        Horizontal axis (logarithmic), shape ``(points,)``, and its name with unit.
    size, size_label
        What the classes are of, shape ``(points,)``, and its name with unit.
    title
        What was fitted.
    """
    figure, [[axes]] = panels(1, 1, 6.4, 3.4)
    few = np.unique(size)
    starts = few if len(few) <= BANDS else np.unique(np.quantile(size, np.linspace(0, 1, BANDS + 1)[:-1]))
    classes = np.searchsorted(starts, size, side="right") - 1
    shades = sequence(int(classes.max()) + 1)
    handles = []
    for number, shade in enumerate(shades):
        inside = classes == number
        low, high = (rounded(float(end)) for end in (size[inside].min(), size[inside].max()))
        look: dict[str, Any] = {"color": shade, "marker": MARKERS[number], "linestyle": "none", "alpha": 0.6}
        axes.plot(over[inside], np.exp(fit.held_out[inside]), markersize=2.5, **look)
        handles.append(Line2D([], [], label=low if low == high else f"{low} to {high}", **look))
    axes.axhline(1.0, color=GREY, linewidth=1.0)
    for error in (-fit.cross_validated_error, fit.cross_validated_error):
        axes.axhline(1.0 + error, color=GREY, linewidth=0.8, linestyle=(0, (4.0, 2.0)))
    log_axis(axes, "x")
    axes.set_yscale("log", base=2)
    axes.set(title=title, xlabel=over_label, ylabel="Ours / measured")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend(figure, [Line2D([], [], linestyle="none", label=f"{size_label}:"), *handles])
    footnote(figure, f"Groups held out. Dashed: median error, {100 * fit.cross_validated_error:.1f} %")
    return figure


def figures(folder: Path) -> Iterator[tuple[str, Figure]]:
    """Yield a name and the figure of every kernel fit of the tables in `folder`."""
    for gpu, (kind, pattern) in gemm.TABLES.items():
        measured = read(folder, kind, pattern)
        for format_ in sorted({number_format(row) for row in measured} & {"bf16", "fp8"}):
            profile = gpu_profile(gpu)
            table = columns(gemm.gemm_sample(measured, profile, format_), "m", "n", "k")
            yield (
                f"gemm-{format_}-{gpu}",
                residual_plot(
                    gemm.fit_gemm(measured, profile, format_, bootstraps=0),
                    table["m"],
                    "Rows (tokens)",
                    table["n"] * table["k"] / 1e6,
                    "Weights (millions)",
                    f"Matrix products in {format_} on {gpu}",
                ),
            )
    for gpu, place in attention.PREFILL_TABLES.items():
        measured = read(folder, *place)
        table = attention.prefill_columns(
            attention.prefill_sample(measured), gpu_profile(gpu).multiprocessors
        )
        fit = attention.fit_prefill(measured, gpu_profile(gpu), bootstraps=0)
        yield (
            f"prefill-{gpu}",
            residual_plot(
                fit, table["new_tokens"], "New tokens", table["heads"], "Heads", f"Prefill attention on {gpu}"
            ),
        )
    for gpu, place in attention.DECODE_TABLES.items():
        measured = read(folder, *place)
        table = attention.decode_columns(attention.decode_sample(measured, gpu_profile(gpu)))
        fit = attention.fit_decode(measured, gpu_profile(gpu), bootstraps=0)
        megabytes = table["kv_bytes"] / 1e6
        title = f"Decode attention on {gpu}"
        yield (
            f"decode-{gpu}",
            residual_plot(fit, table["context_tokens"], "Context (tokens)", megabytes, "KV read (MB)", title),
        )
    for gpu, place in allreduce.TABLES.items():
        measured = read(folder, *place)
        table = columns(allreduce.allreduce_rows(measured), "message_bytes", "gpus")
        fit = allreduce.fit_allreduce(measured, bootstraps=0)
        yield (
            f"allreduce-{gpu}",
            residual_plot(
                fit, table["message_bytes"], "Message (bytes)", table["gpus"], "GPUs", f"All-reduce on {gpu}"
            ),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Write the figures; return the exit status."""
    parser = data_parser("Residual plots of the kernel fits.")
    parser.add_argument("output", type=Path, help="folder for the figures; made where absent")
    parser.add_argument("--format", choices=FORMATS, default="png")
    return run(_run, parser, argv)


def _run(arguments: Namespace) -> None:
    folder = kernel_tables(arguments.data)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, figure in figures(folder):
        path = arguments.output / f"{name}.{arguments.format}"
        save(figure, path)
        print(path)


if __name__ == "__main__":
    sys.exit(main())
