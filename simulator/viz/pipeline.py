"""What every phone and helper of one streaming session did with each chunk: a lane per stage, a bar per chunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.viz.style import COLOURS, legend, panels, styled
from simulator.viz.viewers import TINY_S, Course, Span

STAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "download": COLOURS["sky"],
        "forward": COLOURS["vermillion"],
        "decode": COLOURS["yellow"],
        "super-resolve": COLOURS["blue"],
        "encode": COLOURS["purple"],
        "broadcast": COLOURS["green"],
    }
)
"""Colour by stage, in the order of the lanes."""

_ON_DARK = frozenset({"super-resolve", "forward", "broadcast"})
"""Stages whose bars are so dark that their numbers are white."""

DEFAULT_S = 30.0
"""How much is shown: more bars could not be told apart."""

MOST_ITERATIONS = 15
"""With more starts of iterations than this in the picture, they are not marked."""

WIDTH_INCHES, LANE_INCHES, GAP_LANES = 8.4, 0.12, 0.9

_HOT: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"throttled": ("#F6D9B8", ""), "stopped": ("#F0B9A0", "////")}
)
_AWAY, _HERE = "#D0D0D0", "#C6D6E4"


def bars(chunks: pd.DataFrame) -> pd.DataFrame:
    """Return what was done when: one row per phone, stage and chunk.

    A phone sends one thing after the other, so what waited for the air begins when the one before it ended. The
    broadcast is drawn for chunks that one phone has finished and others got; its end is when all had the chunk.

    Parameters
    ----------
    chunks
        `simulator.streaming.group.records.CHUNK_COLUMNS` of one session.

    Returns
    -------
    pandas.DataFrame
        ``phone``, ``stage`` (of `STAGES`), ``chunk``, ``start_s``, ``end_s``.
    """
    once = chunks.drop_duplicates(["chunk", "downloader"])
    alone = chunks[~chunks.duplicated("chunk", keep=False)]
    ready = alone["encode_end_s"].fillna(alone["download_end_s"])
    given = np.maximum(
        once["download_end_s"], once["assigned_s"]
    )  # a copy may lie there until a later assignment
    spans = [
        ("download", once["downloader"], once["download_start_s"], once["download_end_s"], once),
        ("forward", once["downloader"], given, once["forward_end_s"], once),
        ("decode", chunks["processor"], chunks["decode_start_s"], chunks["decode_end_s"], chunks),
        ("super-resolve", chunks["processor"], chunks["sr_start_s"], chunks["sr_end_s"], chunks),
        ("encode", chunks["processor"], chunks["encode_start_s"], chunks["encode_end_s"], chunks),
        ("broadcast", alone["processor"], ready, alone["complete_s"], alone),
    ]
    table = pd.concat(
        [
            pd.DataFrame(
                {
                    "phone": phone.astype(str), "stage": stage, "chunk": rows["chunk"],
                    "start_s": start_s, "end_s": end_s,
                }
            )
            for stage, phone, start_s, end_s, rows in spans
        ],
        ignore_index=True,
    )  # fmt: skip
    table = table[table["end_s"] - table["start_s"] > TINY_S].sort_values(["end_s", "chunk"], kind="stable")
    sent = table[table["stage"].isin(["forward", "broadcast"])]
    before = sent.groupby("phone")["end_s"].shift().fillna(-np.inf)
    table.loc[sent.index, "start_s"] = np.maximum(sent["start_s"], np.minimum(before, sent["end_s"]))
    return table.reset_index(drop=True)


@styled
def pipeline(chunks: pd.DataFrame, each: Sequence[Course], window_s: Span | None = None) -> Figure:
    """Draw the stages of all phones and helpers over time; above that, where it says something, who was there, how hot.

    Parameters
    ----------
    chunks
        One row per chunk and phone that finished it (`simulator.streaming.group.records.CHUNK_COLUMNS`), of one
        session.
    each
        The phones of the same (`simulator.viz.viewers.courses`). Whoever else has worked on chunks is a helper, with
        lanes below theirs.
    window_s
        From when to when; None: the first 30 s.
    """
    low_s, high_s = window_s or (0.0, min(DEFAULT_S, max(course.here[1] for course in each)))
    table = bars(chunks)
    table = table[(table["end_s"] > low_s) & (table["start_s"] < high_s)]
    phones = [course.phone for course in each]
    helpers = sorted({*chunks["processor"].astype(str), *chunks["downloader"].astype(str)} - {*phones})
    lanes = {
        name: [stage for stage in STAGES if ((table["phone"] == name) & (table["stage"] == stage)).any()]
        for name in (*phones, *helpers)
    }
    tall = sum(max(len(stages), 1) + GAP_LANES for stages in lanes.values())
    eventful = any(course.eventful for course in each)
    heights = [*([0.15 * len(each) + 0.1] if eventful else []), max(LANE_INCHES * tall, 0.8)]
    extra = 0.45 if eventful else 0.0
    figure, grid = panels(
        len(heights), 1, WIDTH_INCHES, (sum(heights) + extra) / len(heights), height_ratios=heights
    )
    keys = _overview(grid[0][0], each, (low_s, high_s)) if eventful else []
    axes = grid[-1][0]
    top, middles = GAP_LANES / 2, []
    here = {course.phone: course for course in each}
    for name, stages in lanes.items():
        size = max(len(stages), 1)
        if name in here:
            _backdrop(axes, here[name], top - GAP_LANES / 4, size + GAP_LANES / 2)
        for lane, stage in enumerate(stages):
            rows = table[(table["phone"] == name) & (table["stage"] == stage)]
            _lane(axes, rows, stage, top + lane, (low_s, high_s))
        middles.append(top + size / 2)
        top += size + GAP_LANES
        if len(middles) < len(lanes):
            axes.axhline(top - GAP_LANES / 2, color="#777777", linewidth=0.6)
    first = chunks.groupby("iteration")["assigned_s"].min()
    starts = sorted({float(start) for start in first if low_s < start < high_s})
    marked = 0 < len(starts) <= MOST_ITERATIONS
    for start in starts if marked else ():
        axes.axvline(start, color="#333333", linewidth=0.8, linestyle=":", zorder=0.9)
    axes.set_yticks(middles, [*phones, *(f"{name} (helper)" for name in helpers)])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(top - GAP_LANES / 2, 0.0)
    axes.set_xlim(low_s, high_s)
    axes.set_xlabel("Time since the session began (s)")
    used = [stage for stage in STAGES if any(stage in stages for stages in lanes.values())]
    stage_keys: list[Artist] = [Patch(color=STAGES[stage], label=stage) for stage in used]
    if marked:
        stage_keys.append(
            Line2D([], [], color="#333333", linewidth=0.8, linestyle=":", label="next iteration")
        )
    legend(figure, [*stage_keys, *keys])
    return figure


def _lane(axes: Axes, rows: pd.DataFrame, stage: str, top: float, window_s: Span) -> None:
    """Draw the bars of one stage, with the chunk's number where there is room for it."""
    inches_per_s = (WIDTH_INCHES - 1.2) / (window_s[1] - window_s[0])
    for row in rows.itertuples(index=False):
        start_s, end_s = float(row.start_s), float(row.end_s)  # type: ignore[arg-type]
        inches = (end_s - start_s) * inches_per_s
        edge, width = ("white", 0.4) if inches > 0.03 else (STAGES[stage], 0.5)
        axes.barh(
            top + 0.5, end_s - start_s, 0.84 if edge == "white" else 0.76, start_s,
            color=STAGES[stage], edgecolor=edge, linewidth=width,
        )  # fmt: skip
        text = str(row.chunk)
        begin_s, stop_s = max(start_s, window_s[0]), min(end_s, window_s[1])
        if (stop_s - begin_s) * inches_per_s > 0.05 * len(text) + 0.06:
            axes.text(
                (begin_s + stop_s) / 2, top + 0.52, text, ha="center", va="center", fontsize=5.5,
                color="white" if stage in _ON_DARK else "black",
            )  # fmt: skip


def _backdrop(axes: Axes, course: Course, top: float, size: float) -> None:
    """Shade the lanes of a phone where it was not there, or hot."""

    def shade(spans: Sequence[Span], colour: str, hatch: str = "") -> None:
        parts = [(begin, end - begin) for begin, end in spans]
        axes.broken_barh(
            parts, (top, size), facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.0, zorder=0.5
        )

    absent = [*course.away, (-1e6, course.here[0])]
    if course.gone:
        absent.append((course.here[1], 1e6))
    shade(absent, _AWAY)
    shade(course.throttled, *_HOT["throttled"])
    shade(course.stopped, *_HOT["stopped"])


def _overview(axes: Axes, each: Sequence[Course], window_s: Span) -> list[Artist]:
    """Draw who took part when over the whole session; return the keys of what there is."""
    used = {"in the group": Patch(facecolor=_HERE, label="in the group")}
    for place, course in enumerate(each):
        kinds: list[tuple[str, Sequence[Span], str, str]] = [
            ("in the group", [course.here], _HERE, ""),
            *((name, getattr(course, name), *_HOT[name]) for name in _HOT),
            ("out of the group", course.away, _AWAY, ""),
        ]
        for name, spans, colour, hatch in kinds:
            parts = [(begin, end - begin) for begin, end in spans if end > begin]
            if parts:
                axes.broken_barh(
                    parts,
                    (place - 0.36, 0.72),
                    facecolor=colour,
                    hatch=hatch,
                    edgecolor="white",
                    linewidth=0.0,
                )
                label = {"throttled": "hot: slower", "stopped": "hot: no SR"}.get(name, name)
                used[name] = Patch(
                    facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.0, label=label
                )
        if course.gone:
            axes.annotate(
                course.gone,
                (course.here[1], place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.0,
            )
    axes.axvspan(*window_s, facecolor="none", edgecolor="black", linewidth=1.0, zorder=3)
    axes.set_xlim(0.0, max(course.here[1] for course in each))
    axes.set_yticks(range(len(each)), [course.phone for course in each], fontsize=7.0)
    axes.set_ylim(len(each) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.set_title("Whole session (s); the frame is shown below", fontsize=8.0, loc="left", pad=3.0)
    return list(used.values())
