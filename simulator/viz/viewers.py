"""What each viewer of one streaming session went through, from its tables: waits, stalls, absences, heat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simulator.viz.style import Dash, Look

Span = tuple[float, float]

TINY_S = 1e-6
"""What is shorter is rounding."""

_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#8A5A00")
_DASHES: Final[tuple[Dash, ...]] = ("-", (0, (4.0, 1.6)), (0, (1.5, 1.2)), (0, (5.0, 1.5, 1.0, 1.5)))


@dataclass(frozen=True, slots=True)
class Course:
    """One phone's course through a session; times in s."""

    phone: str
    """Which phone."""
    chunks: pd.DataFrame
    """What its viewer played, in order: ``chunk``, ``play_s``, ``stall_s`` and what else the table has."""
    startup: Span | None
    """When it waited for its first picture; None: it never saw one."""
    stalls: tuple[Span, ...]
    """When playback stood still."""
    played_until_s: float
    """When its last chunk had been played, or it went."""
    here: Span
    """From when to when it was switched on and took part or tried to."""
    away: tuple[Span, ...]
    """When it was not a member of the group, within `here`."""
    throttled: tuple[Span, ...]
    """When heat slowed it down."""
    stopped: tuple[Span, ...]
    """When heat kept it from super-resolution."""
    gone: str
    """``died`` or ``left``; empty where it stayed."""

    @property
    def eventful(self) -> bool:
        """Whether it came late, went, was away, or grew hot."""
        return bool(self.here[0] > TINY_S or self.away or self.throttled or self.stopped or self.gone)


def courses(viewing: pd.DataFrame, viewers: pd.DataFrame, phones: pd.DataFrame) -> list[Course]:
    """Return the course of each phone, in the order of `viewers`.

    Parameters
    ----------
    viewing
        `simulator.streaming.group.records.VIEWING_COLUMNS` of one session.
    viewers
        `simulator.streaming.viewing.VIEWER_COLUMNS` of the same.
    phones
        `simulator.streaming.group.records.PHONE_COLUMNS` of the same. What it tells is known to the interval.
    """
    return [
        _course(
            viewer,
            viewing[viewing["phone"] == viewer["phone"]].sort_values("chunk"),
            phones[phones["phone"] == viewer["phone"]].sort_values("time_s"),
        )
        for _, viewer in viewers.iterrows()
    ]


def _course(viewer: pd.Series, chunks: pd.DataFrame, rows: pd.DataFrame) -> Course:
    end_s = float(viewer["session_end_s"])
    alive = bool(viewer["alive"])
    startup: Span | None = None
    stalls: list[Span] = []
    if len(chunks):
        first_s = float(chunks["play_s"].iloc[0])
        startup = (first_s - float(viewer["startup_s"]), first_s)
        late = chunks[chunks["stall_s"] > TINY_S]
        stalls = [(float(it["play_s"] - it["stall_s"]), float(it["play_s"])) for _, it in late.iterrows()]
    until_s = float(viewer["end_s"])
    if alive and not viewer["complete"] and len(chunks) and end_s - until_s > TINY_S:
        stalls.append((until_s, end_s))  # what it waited for never came
    gone = ""
    if not alive:
        gone = "died" if len(rows) and rows["battery_j"].iloc[-1] <= 0.0 else "left"
    times = rows["time_s"].to_numpy(dtype=float)
    here = (float(times[0] - rows["interval_s"].iloc[0]), float(times[-1])) if len(rows) else (end_s, end_s)
    edges = np.concatenate(
        [[here[0]], times[1:], [here[1]]]
    )  # a row's state is that at its end, and holds on
    heat = rows["heat"].to_numpy(dtype=int)
    return Course(
        phone=str(viewer["phone"]),
        chunks=chunks,
        startup=startup,
        stalls=tuple(stalls),
        played_until_s=until_s,
        here=here,
        away=_spans(edges, rows["present"].to_numpy(dtype=int) == 0),
        throttled=_spans(edges, heat == 1),
        stopped=_spans(edges, heat == 2),
        gone=gone,
    )


def _spans(edges: NDArray[np.float64], holds: NDArray[np.bool_]) -> tuple[Span, ...]:
    """Return the spans of neighbouring intervals in which something holds, from `edges` one longer than `holds`."""
    spans: list[Span] = []
    for begin, end, is_so in zip(edges[:-1].tolist(), edges[1:].tolist(), holds.tolist(), strict=True):
        if not is_so or end - begin < TINY_S:
            continue
        if spans and begin == spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return tuple(spans)


def phone_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return colour and dash of each phone; vermillion is kept for stalls and heat, the dash tells hidden lines."""
    return {
        name: Look(_COLOURS[i % len(_COLOURS)], "", _DASHES[(i + i // len(_COLOURS)) % len(_DASHES)])
        for i, name in enumerate(names)
    }
