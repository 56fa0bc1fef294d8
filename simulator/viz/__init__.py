"""Plots of what runs have left behind; nothing here knows of a running simulation.

Importing this package is cheap: matplotlib and pandas come in when something is drawn.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from devices.errors import Fault, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FORMATS",
    "OF_ANY_FIGURE",
    "OF_A_FACTORIAL",
    "OF_A_REQUEST",
    "OF_A_SESSION",
    "OF_A_SWEEP",
    "OF_TWO_FIGURES",
    "PLOT_KINDS",
    "plot",
]

PLOT_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "metric_bars": "mean of any figure of the summary with its interval, per variant",
        "ttft_cdf": "cumulative distribution of the TTFT, with p50 and p99, per variant",
        "tpot_cdf": "the same of the time per output token",
        "e2e_cdf": "the same of the end-to-end latency",
        "latency_bars": "mean, p50, p90 and p99 of TTFT, TPOT and E2E per variant",
        "ttft_against_bandwidth": "mean TTFT against storage bandwidth per policy and GPU, with oracle bound",
        "speedup_heatmap": "speed-up of Cake over I/O-only and compute-only per GPU and bandwidth",
        "queue_and_kv": "requests in queue, KV blocks, step size and GPU occupancy over time, of one run",
        "tier_traffic": "bytes read and written and hit rate per storage tier and variant",
        "energy_bars": "energy per variant, by device",
        "playback": "bitrate, stalls, buffers and power over time, of one streaming session",
        "pipeline": "what every phone did with each chunk, stage by stage, of one streaming session",
        "qoe_and_energy_by_phones": "QoE and energy per phone against the number of phones, per policy",
        "stalls_by_skew": "stalls against the ratio of the fastest to the slowest phone, per policy",
        "streaming_bars": "QoE, stalls and energy per phone by component, per variant",
        "placement_bars": "where an assistant's questions were answered, E2E, QoE and energy per question, per variant",
        "answer_gantt": "generations of one answer over time, with what each waited for, of one run",
        "speedup_by_category": "speed-up of mean E2E over autoregressive decoding per category and policy",
        "speedup_against_load": "the same against the load, per policy, with the load at which it stops paying",
        "quality_against_speed": "surrogate of answer quality against the same speed-up, a point per policy",
        "sweep_lines": "mean of a figure against one axis of a sweep, a line per combination of the others",
        "sweep_effects": "a figure against every axis of a sweep: all runs, median and quartiles",
        "effects": "what each axis of a sweep, off or on, does to figures: alone, to the others' effects, together",
        "pareto": "a figure against another, per variant or point of a sweep, with the front that no other one beats",
        "goodput": "requests within the SLO, per second and as a share, against the load, of a capacity search",
    }
)
"""Kind of plot -> what it shows."""

OF_A_SESSION: Final = ("playback", "pipeline")
"""Kinds that show one session of one run, and part of it where asked to."""

OF_A_REQUEST: Final = ("answer_gantt",)
"""Kinds that show one request of one run."""

OF_A_SWEEP: Final = ("sweep_lines", "sweep_effects")
"""Kinds that show a sweep."""

OF_A_FACTORIAL: Final = ("effects",)
"""Kinds that show all axes of a sweep whose axes have two values each, and as many figures as asked for."""

OF_TWO_FIGURES: Final = ("pareto",)
"""Kinds that show any two figures of the summary against one another, of a comparison or a sweep."""

OF_ANY_FIGURE: Final = (*OF_A_SWEEP, "metric_bars", *OF_TWO_FIGURES, *OF_A_FACTORIAL)
"""Kinds that show any figure of the summary."""

FORMATS: Final = ("png", "svg", "pdf")
"""Endings of files that can be written."""


def plot(
    folder: Path,
    kind: str,
    output: Path | None,
    service: str | None = None,
    *,
    session: int | None = None,
    window_s: tuple[float, float] | None = None,
    request: int | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Figure:
    """Draw one kind of plot from the folder of a run, a comparison, a sweep or a capacity search.

    Parameters
    ----------
    folder
        A run folder; a comparison's folder; or any folder that holds some of these. Kinds of `OF_A_SWEEP` and
        `OF_A_FACTORIAL`: a sweep's; ``goodput``: that of a capacity search.
    kind
        One of `PLOT_KINDS`.
    output
        File to write; its ending says the format. The same folder always gives the same bytes. None: none is written.
    service
        Name of the service that is shown; it must be given where there are several that the plot could show.
    session
        Kinds of `OF_A_SESSION`: which session, counted from 0; None: the first one.
    window_s
        The same kinds: from when to when, in s; None: all of it (``playback``), the first 30 s (``pipeline``).
    request
        Kinds of `OF_A_REQUEST`: which request, counted from 0; None: the first one that they can show.
    x, y
        Kinds of `OF_A_SWEEP`: the axis to draw against; kinds of `OF_ANY_FIGURE`: which figure, by its path in the
        summary or below the only service that has it; kinds of `OF_TWO_FIGURES`: two of them; kinds of
        `OF_A_FACTORIAL`: y is one or several, with commas between them. None: the first axis of numbers; a mean latency
        or QoE; of two figures along x cost, energy per user or energy.

    Raises
    ------
    InputError
        For an unknown kind or ending, a folder that holds no run, runs that lack what the plot needs, or a file that
        cannot be written.
        Nothing is written then.
    """
    faults = []
    if kind not in PLOT_KINDS:
        near = difflib.get_close_matches(kind, PLOT_KINDS, n=1, cutoff=0.4)
        hint = f"; nearest: {near[0]}" if near else ""
        faults.append(Fault(f"unknown kind of plot {kind!r}; allowed: {', '.join(PLOT_KINDS)}{hint}"))
    elif kind not in OF_A_SESSION and not (session is None and window_s is None):
        allowed = ", ".join(OF_A_SESSION)
        faults.append(
            Fault(f"{kind} shows no single session; those that take a session or a window: {allowed}")
        )
    if kind in PLOT_KINDS and kind not in OF_A_REQUEST and request is not None:
        allowed = ", ".join(OF_A_REQUEST)
        faults.append(Fault(f"{kind} shows no single request; those that take a request: {allowed}"))
    for name, value, takers in (("x", x, (*OF_A_SWEEP, *OF_TWO_FIGURES)), ("y", y, OF_ANY_FIGURE)):
        if kind in PLOT_KINDS and value is not None and kind not in takers:
            faults.append(Fault(f"{kind} takes no {name}; those that do: {', '.join(takers)}"))
    if window_s is not None and not 0.0 <= window_s[0] < window_s[1] < math.inf:
        faults.append(
            Fault(
                f"a window must go from 0 s or later to a later time, not {window_s[0]:g} to {window_s[1]:g} s"
            )
        )
    if output is not None and output.suffix[1:].lower() not in FORMATS:
        endings = ", ".join(f".{ending}" for ending in FORMATS)
        faults.append(Fault(f"unknown ending {output.suffix!r}; allowed: {endings}", file=str(output)))
    if not folder.is_dir():
        faults.append(Fault("is no folder; allowed: one that a command has written", file=str(folder)))
    if faults:
        raise InputError(faults)

    from simulator.viz.folder import draw  # noqa: PLC0415 (slow import, needed only here)
    from simulator.viz.style import save  # noqa: PLC0415

    figure = draw(folder, kind, service, session, window_s, request, x, y)
    if output is not None:
        save(figure, output)
    return figure
