"""One streaming session as its viewers saw it: quality, start-up and stalls, buffers and power over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from simulator.viz.style import COLOURS, GREY, Look, legend, panels, plain, styled
from simulator.viz.viewers import TINY_S, Course, courses, phone_looks

Floats = NDArray[np.float64]

STALL, PLAYS, STARTS = COLOURS["vermillion"], "#C6D6E4", "#FFFFFF"

POWER_BINS = 60
"""Most intervals whose mean power is drawn: the single second says little."""

_CURVES = (("effective_bps", COLOURS["black"], 2.2), ("nominal_bps", "#9A9A9A", 1.2))
"""Column, colour and width: the narrow line stays visible on the wide one."""


@styled
def playback(
    viewing: pd.DataFrame,
    viewers: pd.DataFrame,
    phones: pd.DataFrame,
    buffer_cap_s: float | None = None,
    window_s: tuple[float, float] | None = None,
) -> Figure:
    """Draw one session: bitrate of each chunk, what each viewer did, buffers, and power of each phone.

    Viewers that saw the same chunks share a panel of bitrates: those of the first one, with its stalls.

    Parameters
    ----------
    viewing
        One row per viewer and chunk (`simulator.streaming.group.records.VIEWING_COLUMNS`) with ``nominal_bps``
        and ``effective_bps``.
    viewers
        One row per phone (`simulator.streaming.viewing.VIEWER_COLUMNS`).
    phones
        One row per phone and interval (`simulator.streaming.group.records.PHONE_COLUMNS`).
    buffer_cap_s
        Most video in a buffer; drawn as a line.
    window_s
        From when to when; None: the whole session.
    """
    each = courses(viewing, viewers, phones)
    streams = _streams(each)
    end_s = float(viewers["session_end_s"].max())
    low_s, high_s = window_s or (0.0, end_s)
    bin_s = max(end_s / POWER_BINS, float(phones["interval_s"].median()))
    looks = phone_looks(course.phone for course in each)
    strips = [1.5 if len(streams) == 1 else 0.8] * len(streams)
    heights = [*strips, 0.17 * len(each) + 0.12, 1.5, 1.3]
    figure, grid = panels(
        len(heights), 1, 7.2, sum(heights) / len(heights) + 0.1, sharex=True, height_ratios=heights
    )
    rows = [row[0] for row in grid]
    highest = max(float(viewing[["nominal_bps", "effective_bps"]].to_numpy().max(initial=0.0)), 1e6) / 1e6
    for axes, stream in zip(rows, streams, strict=False):
        _quality(axes, stream, 1.12 * highest, "" if len(streams) == 1 else _names(stream))
    rows[len(streams) // 2].set_ylabel("Bitrate (Mbit/s)")
    states = _states(rows[-3], each)
    for place, course in enumerate(each):
        width = (
            1.1 if len(each) == 1 else 1.0 + 2.0 * (1.0 - place / max(len(each) - 1, 1))
        )  # lines that coincide show below one another
        _buffer(rows[-2], phones[phones["phone"] == course.phone], looks[course.phone], width)
        _power(rows[-1], phones[phones["phone"] == course.phone], looks[course.phone], bin_s)
    if buffer_cap_s is not None:
        rows[-2].axhline(buffer_cap_s, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    rows[-2].set_ylim(bottom=0.0)
    rows[-2].set_ylabel("Buffer (s)")
    rows[-1].set_ylim(bottom=0.0)
    rows[-1].set_ylabel("Power (W)")
    rows[-1].set_xlim(low_s, high_s)
    rows[-1].set_xlabel(f"Time since the session began (s); power: means over {bin_s:.2g} s")
    figure.align_ylabels(rows)
    legend(figure, [*_bitrate_keys(), *states, *_phone_keys(looks, buffer_cap_s)])
    return figure


def _streams(each: Sequence[Course]) -> list[list[Course]]:
    """Return the viewers by what they saw: together where no chunk differs; who saw most comes first."""
    streams: list[tuple[Mapping[int, tuple[float, float]], list[Course]]] = []
    for course in sorted(each, key=lambda it: -len(it.chunks)):
        table = course.chunks
        if not len(table):
            continue
        seen = dict(
            zip(table["chunk"], zip(table["nominal_bps"], table["effective_bps"], strict=True), strict=True)
        )
        for known, together in streams:
            if all(known.get(chunk) == value for chunk, value in seen.items()):
                together.append(course)
                break
        else:
            streams.append((seen, [course]))
    order = {course.phone: i for i, course in enumerate(each)}
    return [
        sorted(together, key=lambda it: (-len(it.chunks), order[it.phone])) for _, together in streams
    ] or [[]]


def _names(stream: Sequence[Course]) -> str:
    names = [course.phone for course in stream]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"


def _quality(axes: Axes, stream: Sequence[Course], top: float, name: str) -> None:
    """Draw the bitrates that viewers saw together, when the first of them saw them, and when that one stalled."""
    if stream:
        course = stream[0]
        for begin_s, stop_s in course.stalls:
            axes.axvspan(begin_s, stop_s, color=STALL, alpha=0.45, linewidth=0.0)
        for column, colour, width in _CURVES:
            values = course.chunks[column].to_numpy(dtype=float) / 1e6
            x, y = _steps(course.chunks, values, course.played_until_s)
            axes.plot(x, y, color=colour, linewidth=width)
        if course.startup is not None:
            axes.axvline(course.startup[1], color="#555555", linewidth=0.8, linestyle=":")
    axes.set_ylim(0.0, top)
    axes.yaxis.set_major_locator(MaxNLocator(4 if not name else 3))
    axes.yaxis.set_major_formatter(lambda value, _: plain(value))
    if name:
        axes.set_title(name, fontsize=8.0, loc="left", pad=2.0)


def _steps(table: pd.DataFrame, values: Floats, until_s: float) -> tuple[Floats, Floats]:
    """Return the line of values that hold while their chunk plays, with gaps where playback stood still."""
    begin = table["play_s"].to_numpy(dtype=float)
    stall = table["stall_s"].to_numpy(dtype=float)
    end = np.append(begin[1:] - stall[1:], until_s)
    x = np.column_stack([begin, end, end])
    gap = np.append(stall[1:] > TINY_S, False)
    y = np.column_stack([values, values, np.where(gap, np.nan, values)])
    return x.ravel(), y.ravel()


def _states(axes: Axes, each: Sequence[Course]) -> list[Artist]:
    """Draw a lane per viewer: waiting, playing, standing still; return the keys of what there is."""
    used: dict[str, Artist] = {}

    def bars(
        place: int, spans: Sequence[tuple[float, float]], label: str, height: float, **style: Any
    ) -> None:
        parts = [(begin, end - begin) for begin, end in spans if end > begin]
        if parts:
            axes.broken_barh(parts, (place - height / 2, height), **style)
            used[label] = Patch(**style, label=label)

    for place, course in enumerate(each):
        if course.startup is not None:
            playing = [(course.startup[1], course.played_until_s)]
            bars(place, playing, "plays", 0.72, facecolor=PLAYS, linewidth=0.0)
            waits = [course.startup]
            bars(
                place,
                waits,
                "start-up",
                0.72,
                facecolor=STARTS,
                edgecolor="#555555",
                hatch="//////",
                linewidth=0.6,
            )
        bars(place, course.stalls, "stall", 0.72, facecolor=STALL, edgecolor=STALL, linewidth=0.6)
        bars(place, course.away, "out of the group", 0.2, facecolor="#333333", linewidth=0.0)
        if course.gone:
            end = (course.here[1], place)
            axes.annotate(
                course.gone,
                end,
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.0,
                annotation_clip=True,
            )
    axes.set_yticks(range(len(each)), [course.phone for course in each], fontsize=7.0)
    axes.set_ylim(len(each) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    order = ("start-up", "plays", "stall", "out of the group")
    return [used[label] for label in order if label in used]


def _buffer(axes: Axes, rows: pd.DataFrame, look: Look, width: float) -> None:
    axes.plot(rows["time_s"], rows["buffer_s"], color=look.colour, linestyle=look.dash, linewidth=width)


def _power(axes: Axes, rows: pd.DataFrame, look: Look, bin_s: float) -> None:
    """Draw the mean power of each bin that the phone was on in."""
    rows = rows.sort_values("time_s")
    if not len(rows):
        return
    ends = rows["time_s"].to_numpy(dtype=float)
    spent = np.cumsum((rows["power_w"] * rows["interval_s"]).to_numpy(dtype=float))
    begin = float(ends[0] - rows["interval_s"].iloc[0])
    bins = np.arange(0.0, ends[-1], bin_s)
    edges = np.unique(np.concatenate([[begin], bins[(bins > begin) & (bins < ends[-1])], [ends[-1]]]))
    energy = np.interp(edges, np.append(begin, ends), np.append(0.0, spent))
    axes.stairs(
        np.diff(energy) / np.diff(edges),
        edges,
        baseline=None,
        color=look.colour,
        linestyle=look.dash,
        linewidth=1.0,
    )


def _bitrate_keys() -> list[Artist]:
    labels = ("bitrate as seen", "nominal bitrate")
    return [
        Line2D([], [], color=colour, linewidth=width, label=label)
        for label, (_, colour, width) in zip(labels, _CURVES, strict=True)
    ]


def _phone_keys(looks: Mapping[str, Look], buffer_cap_s: float | None) -> list[Artist]:
    keys: list[Artist] = [
        Line2D([], [], color=look.colour, linestyle=look.dash, linewidth=1.1, label=phone)
        for phone, look in looks.items()
    ]
    if buffer_cap_s is not None:
        keys.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=":", label="full buffer"))
    return keys
