"""One look for every figure: a policy keeps colour, marker and dash; the same figure gives the same bytes.

Figures are built through matplotlib's objects on the Agg, SVG or PDF canvas: no window system, no global
state that outlives a call.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from simulator.experiments.folders import whole_file

P = ParamSpec("P")
R = TypeVar("R")

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "blue": "#0072B2",
        "vermillion": "#D55E00",
        "green": "#009E73",
        "orange": "#E69F00",
        "purple": "#CC79A7",
        "sky": "#56B4E9",
        "black": "#000000",
        "yellow": "#F0E442",
    }
)
"""The palette of Okabe and Ito, safe under the common colour blindnesses; yellow last: faint on white."""

GREY: Final = "#8C8C8C"
"""What is no data: reference lines, missing cells."""

COMPONENT_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cellular_j": "#332288",
        "wlan_j": "#88CCEE",
        "decode_j": "#117733",
        "sr_j": "#DDCC77",
        "encode_j": "#882255",
        "display_j": "#999933",
        "rest_j": "#CC6677",
    }
)
"""Colour of each component of a phone's energy: the muted palette of Tol, also safe, and none that a policy has."""

Dash = Literal["-"] | tuple[float, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Look:
    """How the marks of one policy or variant are drawn."""

    colour: str
    """Colour as ``#RRGGBB``."""
    marker: str
    """Marker of matplotlib."""
    dash: Dash
    """Line style of matplotlib."""
    hatch: str = ""
    """Pattern of bars and swatches."""

    def swatch(self, label: str) -> Patch:
        """Return the entry of a legend that stands for bars."""
        return Patch(facecolor=self.colour, hatch=self.hatch, edgecolor="white", linewidth=0.0, label=label)


KNOWN: Final[Mapping[str, Look]] = MappingProxyType(
    {
        "cake": Look(COLOURS["blue"], "o", "-"),
        "cake_with_fallback": Look(COLOURS["vermillion"], "P", (0, (6.0, 1.5))),
        "static_split": Look(COLOURS["green"], "D", (0, (5.0, 1.5, 1.0, 1.5))),
        "compute_only": Look(COLOURS["orange"], "s", (0, (4.0, 2.0))),
        "layerwise": Look(COLOURS["purple"], "v", (0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
        "io_only": Look(COLOURS["sky"], "^", (0, (2.0, 1.2))),
        "oracle": Look(COLOURS["black"], "x", (0, (1.0, 1.2))),
        "oasis": Look(COLOURS["blue"], "D", "-"),
        "mpbond": Look(COLOURS["vermillion"], "s", (0, (4.0, 2.0))),
        "microcast": Look(COLOURS["green"], "^", (0, (5.0, 1.5, 1.0, 1.5))),
        "local_only": Look(COLOURS["orange"], "v", (0, (2.0, 1.2))),
        "no_sr": Look(COLOURS["sky"], "P", (0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
        "no_collaboration": Look(COLOURS["purple"], "X", (0, (6.0, 1.5))),
        "plato": Look(COLOURS["blue"], "o", (0, (8.0, 1.0))),
        "plato_no_pipeline": Look(COLOURS["sky"], "D", (0, (5.0, 1.5, 1.0, 1.5))),
        "plato_no_kv_reuse": Look(COLOURS["purple"], "P", (0, (3.0, 1.0, 1.0, 1.0, 1.0, 1.0))),
        "sot": Look(COLOURS["vermillion"], "^", (0, (4.0, 2.0))),
        "apar_fork": Look(COLOURS["green"], "s", (0, (6.0, 1.5))),
        "autoregressive": Look(COLOURS["orange"], "v", "-"),
        "graph_oracle": Look(COLOURS["black"], "X", (0, (1.0, 1.2))),
    }
)
"""The policies that have a look of their own; services of different kinds are never in one figure, so that their
policies may share a colour."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_DASHES: tuple[Dash, ...] = ("-", (0, (4.0, 2.0)), (0, (1.5, 1.2)), (0, (5.0, 1.5, 1.0, 1.5)))
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")

MOST_LEGEND_COLUMNS = 5
"""Columns of a legend; fewer where the labels are long."""

_RC: Final[Any] = MappingProxyType(
    {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.0,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9.0,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 8.0,
        "legend.frameon": False,
        "axes.formatter.useoffset": False,
        "axes.formatter.limits": (-4, 6),
        "hatch.linewidth": 0.7,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "grid.color": "#D9D9D9",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.5,
        "lines.markersize": 5.0,
        "lines.markeredgewidth": 0.6,
        "figure.facecolor": "white",
        "savefig.dpi": 160,
        "svg.fonttype": "none",  # text stays text: it can be searched and edited
        "svg.hashsalt": "hetsim",  # else ids are random
        "pdf.fonttype": 42,
    }
)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator: run a drawing function under the project's style and no other."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()  # a matplotlibrc of the user must not change a figure
            mpl.rcParams.update(_RC)
            return draw(*args, **kwargs)

    return inner


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each name, in the given order.

    A policy of `KNOWN` always has the same one; a variant that is a policy and more (``cake, 32 Gbit/s``) has
    its colour, and dash, marker and hatch of its own. Other names get the colours that no policy of this
    figure has, in the order of the palette and of the names, then further markers and dashes: figures of the
    same variants agree.
    """
    order = list(dict.fromkeys(names))
    policy = {name: next((part for part in name.split(", ") if part in KNOWN), "") for name in order}
    taken = {KNOWN[known].colour for known in policy.values() if known}
    free = [colour for colour in COLOURS.values() if colour not in taken] or list(COLOURS.values())
    used = {name: 0 for name in order if name in KNOWN}  # a variant beside its policy is not drawn like it
    given: dict[str, Look] = {}
    for name in order:
        known = policy[name]
        if name in KNOWN:
            given[name] = KNOWN[name]
            continue
        number = used[known] = used.get(known, -1) + 1
        turn, place = (number, 0) if known else divmod(number, len(free))
        given[name] = Look(
            KNOWN[known].colour if known else free[place],
            _MARKERS[(turn + place) % len(_MARKERS)],
            _DASHES[(turn + turn // len(_MARKERS)) % len(_DASHES)],  # so that no pair comes twice in 32 turns
            _HATCHES[turn % len(_HATCHES)],
        )
    return given


def sequence(count: int) -> list[str]:
    """Return `count` shades from dark to light for things that are no policies, such as devices."""
    ramp = mpl.colormaps["cividis"]
    shades = [ramp(0.08 + 0.84 * i / max(1, count - 1)) for i in range(count)]
    return [mpl.colors.to_hex(shade) for shade in shades]


class ShownFigure(Figure):
    """A figure that a notebook shows although no window system stands behind it."""

    @styled
    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue(), {"width": round(SHOWN_DPI * self.get_figwidth())}


SHOWN_DPI: Final = 96
"""Pixels per inch that a notebook gives a figure; the picture has more, for fine screens."""


def panels(
    rows: int, columns: int, width: float, height: float, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of `rows` x `columns` panels; `width` and `height` (inches) are those of one panel."""
    figure = ShownFigure(figsize=(width * columns + 0.6, height * rows + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    return figure, [list(row) for row in axes]


def legend(figure: Figure, handles: Iterable[Artist]) -> None:
    """Put one legend above all panels, where it hides no data; the figure grows by its further rows."""
    entries = list(handles)
    if not entries:
        return
    longest = max(len(str(handle.get_label())) for handle in entries)
    columns = int(figure.get_figwidth() / (0.55 + 0.06 * longest))  # inches of a handle and of a letter
    columns = max(1, min(columns, MOST_LEGEND_COLUMNS, len(entries)))
    figure.legend(handles=entries, loc="outside upper center", ncols=columns, handlelength=2.8)
    figure.set_figheight(figure.get_figheight() + 0.17 * (math.ceil(len(entries) / columns) - 1))


@styled
def footnote(figure: Figure, text: str) -> None:
    """Put a line below all panels, and below what was put there before: what a reader must know."""
    lines = [part for part in (figure.get_supxlabel(), text) if part]
    figure.supxlabel("\n".join(lines), fontsize=8.0, color="#555555", x=0.01, ha="left")


def wide_spread(values: Iterable[float], ratio: float = 20.0) -> bool:
    """Return whether `values` are positive and span more than `ratio`: a log axis shows them better."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0.0 and max(known) / min(known) > ratio


def plain(value: float) -> str:
    """Return a number as a person would write it on an axis."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "n/a"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:,.6g}"
    return f"{value:.3g}"


def log_axis(axes: Axes, which: str) -> None:
    """Turn the x or y axis of a panel to log scale with ticks at 1, 2, 5 written as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    low, high = sorted(axis.get_view_interval())
    subs = (1.0, 2.0, 5.0) if high / low < 200.0 else (1.0,)
    axis.set_major_locator(mpl.ticker.LogLocator(base=10.0, subs=subs, numticks=15))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
    axis.set_minor_formatter(NullFormatter())


def rounded(value: float) -> str:
    """Return a number with three significant digits, as `plain` writes it."""
    return plain(float(f"{value:.3g}"))


def ticks_at(axes: Axes, values: Iterable[float]) -> None:
    """Put the ticks of the x axis at the values that were studied, and nowhere else."""
    positions = sorted(set(values))
    axes.xaxis.set_major_locator(mpl.ticker.FixedLocator(positions))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rounded(value)))
    axes.xaxis.set_minor_locator(NullLocator())


def wrapped(label: str, width: int = 28) -> str:
    """Return a long label in several lines."""
    return "\n".join(textwrap.wrap(label, width)) or label


def scaled(largest: float, unit: str) -> tuple[float, str]:
    """Return divisor and name of the SI multiple of `unit` that suits values up to `largest`."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= factor:
            return factor, prefix + unit
    return 1.0, unit


@styled
def save(figure: Figure, output: Path) -> None:
    """Write a figure, whole or not at all; the ending of `output` says which format. Equal figures give equal bytes.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    kind = output.suffix[1:].lower()
    nameless: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with whole_file(output) as unfinished:
        figure.savefig(unfinished, format=kind, metadata=nameless.get(kind, {"Software": None}))
