"""How one answer was decoded: a bar per generation, what each waited for, and which of them made it take so long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from simulator.metrics.summary import COMPLETED
from simulator.viz.style import COLOURS, legend, panels, styled

TINY_S = 1e-9
"""Times closer than this are the same."""

WIDTH_INCHES, ROW_INCHES = 7.6, 0.27

_THICK, _THIN = 0.56, 0.14
_WAITING, _CRITICAL = "#B5B5B5", COLOURS["vermillion"]
_EDGE = {True: "#5A5A5A", False: "#B9B9B9"}
"""Colour of an arrow, by whether it was the last thing that was waited for."""
_COLOUR, _LIGHT = (
    {True: COLOURS["green"], False: COLOURS["blue"]},
    {True: "#A6DCCB", False: "#A9CFE6"},
)  # by whether the generation plans


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that a generation waited for."""

    earlier: int
    """The generation that had to decode something."""
    tokens: int
    """How many tokens it had to decode."""
    met_s: float
    """When it had."""
    whole: bool
    """Whether these were all of its tokens."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One generation, in s since the request arrived."""

    number: int
    """Its number; generations it waited for have smaller ones."""
    label: str
    """What it is called."""
    plans: bool
    """Whether it writes a plan."""
    tokens: int
    """Tokens decoded."""
    ready_s: float
    """When nothing was left to wait for but the engine."""
    admitted_s: float
    """When the engine took it; not before `ready_s`."""
    first_token_s: float
    """When its first token was out."""
    finish_s: float
    """When its last one was."""
    after: tuple[Condition, ...]
    """What it waited for."""
    done: bool
    """Whether it ended before the run did."""

    @property
    def last(self) -> Condition | None:
        """The condition that was met last; None where it waited for nothing."""
        return max(self.after, key=lambda it: (it.met_s, it.earlier), default=None)


def bars(
    generations: pd.DataFrame,
    arrival_s: float = 0.0,
    call_overhead_s: float = 0.0,
    until_s: float | None = None,
) -> list[Bar]:
    """Return the generations of one request in the order of the plan.

    When a generation had decoded some of its tokens is not recorded. Where nothing else kept back who waited for them,
    it follows from that one's own start; else it is interpolated between the first and the last token.

    Parameters
    ----------
    generations
        `simulator.serving.answer.GENERATIONS` of one request.
    arrival_s
        When the request arrived: times count from there.
    call_overhead_s
        Time between the moment when a generation could start and its arrival at the engine.
    until_s
        When the run ended, for what had not ended then; None: the last time known.
    """
    times = ["ready_s", "admitted_s", "first_token_s", "finish_s"]
    rows = generations.sort_values("generation")
    latest = float(rows[times].to_numpy(dtype=float).max()) if until_s is None else until_s
    found: dict[int, Bar] = {}
    for row in rows.to_dict("records"):
        spans = [float(row["ready_s"])]
        for name in times[1:]:  # -1: it did not get so far
            spans.append(max(spans[-1], float(row[name]) if row[name] >= 0.0 else latest))
        ready, admitted, first, finish = (it - arrival_s for it in spans)
        number = int(row["generation"])
        plans, node = bool(row["plans"]), int(row["node"])
        label = "plan" if plans else f"node {node}" if node >= 0 else "trunk"
        if row["decoded_by"] != row["service"]:
            label += f" ({row['decoded_by']})"
        waits = [part.split(":") for part in str(row["after"]).split()]
        done = row["status"] == COMPLETED
        bar = Bar(
            number, label, plans, int(row["output_tokens"]), ready, admitted, first, finish, (), done
        )  # fmt: skip
        after = _conditions(
            [(int(earlier), int(tokens)) for earlier, tokens in waits], found, ready - call_overhead_s
        )
        found[number] = replace(bar, after=after)
    return list(found.values())


def _conditions(
    waits: Sequence[tuple[int, int]], found: dict[int, Bar], start_s: float
) -> tuple[Condition, ...]:
    """Return what a generation that could start at `start_s` waited for, and when each was there."""
    met: list[Condition] = []
    for earlier, tokens in waits:
        other = found.get(earlier)
        if other is None:  # only part of the table was given
            continue
        whole = other.done and tokens >= other.tokens
        at_s = other.finish_s
        if not whole:
            part = (tokens - 1) / max(1, other.tokens - 1)
            at_s = other.first_token_s + min(1.0, part) * (other.finish_s - other.first_token_s)
        met.append(Condition(earlier, tokens, min(at_s, start_s) if not whole else at_s, whole))
    held_s = max((it.met_s for it in met if it.whole), default=-np.inf)
    partial = [it for it in met if not it.whole]
    if len(partial) == 1 and held_s < start_s - TINY_S:
        met[met.index(partial[0])] = replace(partial[0], met_s=start_s)
    return tuple(met)


def critical_path(drawn: Sequence[Bar]) -> list[int]:
    """Return the generations that the latency consists of, in order of time: each one let the next one start."""
    by_number = {bar.number: bar for bar in drawn}
    bar = max(drawn, key=lambda it: (it.finish_s, it.number))
    path = [bar.number]
    while (last := bar.last) is not None:
        bar = by_number[last.earlier]
        path.append(bar.number)
    return path[::-1]


@styled
def answer_gantt(drawn: Sequence[Bar], title: str) -> Figure:
    """Draw the generations of one answer over time.

    Parameters
    ----------
    drawn
        What `bars` returns.
    title
        Policy, category and latency.
    """
    figure, [[axes]] = panels(1, 1, WIDTH_INCHES, max(1.2, ROW_INCHES * len(drawn) + 0.35))
    places = {bar.number: place for place, bar in enumerate(drawn)}
    path = critical_path(drawn)
    for bar in drawn:
        parts_s = [
            it.met_s for other in drawn for it in other.after if it.earlier == bar.number and not it.whole
        ]
        _bar(axes, bar, places[bar.number], parts_s, max(it.finish_s for it in drawn))
        for condition in bar.after:
            last = condition == bar.last
            critical = last and bar.number in path
            _edge(
                axes, condition, bar.ready_s, places[condition.earlier], places[bar.number],
                _CRITICAL if critical else _EDGE[last],
            )  # fmt: skip
    _mark(axes, drawn, places, path)
    axes.set_yticks(range(len(drawn)), [bar.label for bar in drawn])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(drawn) - 0.4, -0.65)
    axes.set_xlim(0.0, 1.015 * max(bar.finish_s for bar in drawn))
    axes.set_xlabel("Time since the request arrived (s)")
    axes.set_title(title, pad=6.0)
    legend(figure, _keys(drawn))
    return figure


def _bar(axes: Axes, bar: Bar, place: int, parts_s: Sequence[float], end_s: float) -> None:
    """Draw one generation: waiting, prefill, decode with its tokens, and ticks where others waited for a part of it."""
    axes.barh(place, bar.admitted_s - bar.ready_s, _THIN, bar.ready_s, color=_WAITING)
    axes.barh(place, bar.first_token_s - bar.admitted_s, _THICK, bar.admitted_s, color=_LIGHT[bar.plans])
    colour = _COLOUR[bar.plans]
    look: dict[str, Any] = (
        {"color": colour} if bar.done else {"facecolor": colour, "hatch": "////", "edgecolor": "white"}
    )
    axes.barh(place, bar.finish_s - bar.first_token_s, _THICK, bar.first_token_s, linewidth=0.0, **look)
    top = place - 0.5 * _THICK
    for part_s in parts_s:
        axes.plot([part_s, part_s], [top, top + _THICK], color="white", linewidth=1.2, zorder=3)
        axes.plot([part_s, part_s], [top - 0.1, top], color="black", linewidth=1.2, zorder=3)
    text, inches_per_s = str(bar.tokens), (WIDTH_INCHES - 1.0) / end_s
    # the widest piece between two ticks; where there are none, the beginning, which lines from above cross least
    cuts = [bar.first_token_s, *sorted(set(parts_s)), bar.finish_s]
    begin_s, stop_s = max(pairwise(cuts), key=lambda it: it[1] - it[0])
    if (stop_s - begin_s) * inches_per_s < 0.055 * len(text) + 0.14:
        return
    middle = len(cuts) > 2
    axes.text(
        0.5 * (begin_s + stop_s) if middle else begin_s + 0.05 / inches_per_s, place, text,
        ha="center" if middle else "left", va="center_baseline", fontsize=6.5, color="white", zorder=3.5,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def _edge(axes: Axes, condition: Condition, ready_s: float, above: int, below: int, colour: str) -> None:
    """Draw from where a condition was met to the start of who waited."""
    half = 0.5 * _THICK
    axes.annotate(
        "", (ready_s, below - half), (condition.met_s, above + half),
        arrowprops={
            "arrowstyle": "-|>,head_length=0.28,head_width=0.13", "color": colour, "linewidth": 0.8, "shrinkA": 0.0,
            "shrinkB": 0.0, "linestyle": "-" if condition.whole else (0, (2.0, 1.5)),
        },
        zorder=2.4 if colour == _EDGE[False] else 2.6,
    )  # fmt: skip


def _mark(axes: Axes, drawn: Sequence[Bar], places: dict[int, int], path: Sequence[int]) -> None:
    """Draw the critical path along the bars' lower edges."""
    by_number = {bar.number: bar for bar in drawn}
    x: list[float] = []
    y: list[float] = []
    for number, following in zip(path, [*path[1:], None], strict=True):
        bar = by_number[number]
        last = None if following is None else by_number[following].last
        edge = places[number] + 0.5 * _THICK + 0.06
        x += [bar.ready_s, bar.finish_s if last is None else last.met_s]
        y += [edge, edge]
    axes.plot(x, y, color=_CRITICAL, linewidth=2.0, solid_joinstyle="miter", zorder=4, gid="critical path")


def _keys(drawn: Sequence[Bar]) -> list[Artist]:
    keys: list[Artist] = []
    if any(bar.admitted_s - bar.ready_s > TINY_S for bar in drawn):
        keys.append(Line2D([], [], color=_WAITING, linewidth=2.5, label="waiting"))
    for plans, what in ((True, "plan"), (False, "answer")):
        if any(bar.plans is plans for bar in drawn):
            keys.append(Patch(color=_LIGHT[plans], label=f"{what}: prefill"))
            keys.append(Patch(color=_COLOUR[plans], label=f"{what}: decode (tokens)"))
    if not all(bar.done for bar in drawn):
        keys.append(Patch(facecolor=_COLOUR[False], hatch="////", edgecolor="white", label="cut off"))
    edges = [condition for bar in drawn for condition in bar.after]
    if any(it.whole for it in edges):
        keys.append(Line2D([], [], color=_EDGE[True], linewidth=0.8, label="waited for all of it"))
    planners = {bar.number for bar in drawn if bar.plans}
    if parts := {it.earlier in planners for it in edges if not it.whole}:
        what = "its plan entry" if parts == {True} else "a part of it"
        keys.append(
            Line2D([], [], color=_EDGE[True], linewidth=0.8, linestyle=(0, (2.0, 1.5)), label=f"waited for {what}")
        )  # fmt: skip
    return [*keys, Line2D([], [], color=_CRITICAL, linewidth=2.0, label="critical path")]
