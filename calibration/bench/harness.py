"""What every benchmark shares: its points, how often each is measured, and what happens when one fails.

A benchmark is a module with `REQUIRES`, `grid` and `session` (see `Bench`). The grid is known before anything
runs, so that progress can be shown. A session holds what points share (weights, a file, a server); a point's own
buffers live only while it is being measured.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from calibration.table import Measurement
from devices.errors import Fault, InputError
from devices.sourced import unknown_name
from simulator.serving.models import ModelSpec

BENCHES = ("gemm", "attention", "step", "copy", "storage", "network", "sr")
"""All benchmarks, in the order in which `all` runs them; each is a module of this package."""

EXTRA = "pip install 'hetsim[calibrate]'"
"""What brings torch and its like."""

TORCH_TYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Names of torch's types by precision."""

Parameters = Mapping[str, float | str]
"""One point of a grid: every setting that its value depends on, units in the names."""

Trial = Callable[[], float]
"""Measure once; returns a value in the point's unit."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose, the same for all benchmarks."""

    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    quick: bool = False
    """A few small points: to see that all runs."""
    precisions: tuple[str, ...] = ("fp32",)
    """Number formats, of `TORCH_TYPES`."""
    shapes: tuple[ModelSpec, ...] = ()
    """Transformers whose matrices, attention and steps are measured."""
    launch: str = "eager"
    """``graph``: CUDA graphs, so that launching costs nothing; ``eager``: one launch per kernel."""
    memory_bytes: float = 4e9
    """Memory that one point may fill."""
    directory: Path = Path()
    """Where `storage` makes its file."""
    file_bytes: int = 2**30
    """Size of that file."""
    direct: bool = True
    """`storage` goes past the page cache."""


@dataclass(frozen=True, slots=True)
class Point:
    """One prepared point."""

    metric: str
    """``latency``, ``bandwidth`` and so on."""
    unit: str
    """SI unit of what `trial` returns."""
    trial: Trial
    """Measures once."""
    power: bool = False
    """Power is worth reading while this point runs."""


Watts = Callable[[Trial, float], float]
"""Mean power (W) while a trial is run again and again for so many seconds."""

Prepare = Callable[[str, Parameters], Point]
"""Makes a point of the grid, given by name and parameters, ready to be measured."""


class Bench(Protocol):
    """A benchmark: what a module of this package provides."""

    @property
    def REQUIRES(self) -> tuple[str, ...]:  # noqa: N802 (a module's constant)
        """Packages of the extra that it cannot do without."""

    def grid(self, options: Options, /) -> list[tuple[str, Parameters]]:
        """Return name (first column of the table) and parameters of each point; needs no torch."""

    def session(self, options: Options, /) -> AbstractContextManager[Prepare]:
        """Open what the points share; the value prepares one of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often a point is measured."""

    warmups: int = 2
    """Trials that do not count."""
    repeats: int = 15
    """Trials at most."""
    least: int = 3
    """Trials at least, however long they take."""
    point_s: float = 4.0
    """Time after which a point gets no more than `least` trials, its warm-ups included."""
    limit_s: float = float("inf")
    """Time after which no further point is started."""
    power_s: float = 2.0
    """How long a point runs while its power is read; 0: power is not read."""


@dataclass(slots=True)
class Outcome:
    """What a run of benchmarks has given."""

    rows: list[Measurement] = field(default_factory=list)
    """Measured points."""
    failed: list[str] = field(default_factory=list)
    """Points that could not be measured, with the reason."""
    left_out: int = 0
    """Points that the time limit left out."""


def need(package: str) -> Any:
    """Import a package of the extra ``calibrate``; `InputError` where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        message = f"{package} is not installed; it comes with the extra `calibrate`: {EXTRA}"
        raise InputError(Fault(message)) from error


def torch_type(precision: str) -> Any:
    """Return torch's type for a precision, one of `TORCH_TYPES`."""
    return getattr(need("torch"), TORCH_TYPES[precision])


def load_benches(names: Sequence[str]) -> list[Bench]:
    """Return the benchmarks called `names`, once each; ``all`` stands for all.

    Raises
    ------
    InputError
        For an unknown name, or where a package is missing that one of them requires.
    """
    unknown = [name for name in names if name not in {*BENCHES, "all"}]
    if unknown:
        known = ("all", *BENCHES)
        command = "hetsim calibrate --help"
        raise InputError([Fault(unknown_name("benchmark", name, known, command)) for name in unknown])
    wanted = [name for name in BENCHES if name in names or "all" in names]
    benches = [cast(Bench, importlib.import_module(f"calibration.bench.{name}")) for name in wanted]
    for package in sorted({package for bench in benches for package in bench.REQUIRES}):
        need(package)
    return benches


def repeat(trial: Trial, plan: Plan, now: Callable[[], float] = time.perf_counter) -> list[float]:
    """Return the values of the counted trials, in order.

    Warm-ups use the point's time too: a trial that takes all of it is warmed up once.
    """
    start = now()
    for _ in range(plan.warmups):
        trial()
        if now() - start >= plan.point_s:
            break
    values: list[float] = []
    while len(values) < plan.repeats and (len(values) < plan.least or now() - start < plan.point_s):
        values.append(trial())
    return values


def run(
    benches: Sequence[Bench],
    options: Options,
    plan: Plan,
    *,
    device: str,
    source: str,
    watts: Watts | None = None,
    progress: Callable[[int, int, str], None] = lambda number, total, text: None,
    now: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Measure every point of every benchmark.

    Parameters
    ----------
    device, source
        What the rows say of themselves.
    watts
        Reads power where the machine lets it.
    progress
        Called before each point with its number, how many there are and what it is.
    """
    outcome = Outcome()
    grids = [bench.grid(options) for bench in benches]
    total = sum(len(grid) for grid in grids)
    number = 0
    start = now()
    for bench, grid in zip(benches, grids, strict=True):
        with bench.session(options) as prepare:
            for name, parameters in grid:
                if now() - start >= plan.limit_s:
                    outcome.left_out += 1
                    continue
                progress(number, total, describe(name, parameters))
                number += 1
                try:
                    measured = _measure(prepare, name, parameters, plan, watts, now)
                except (RuntimeError, MemoryError) as error:
                    # out of memory, mostly: one point must not cost those already measured; the caller reports it
                    reason = (str(error) or type(error).__name__).splitlines()[0]
                    outcome.failed.append(f"{describe(name, parameters)}: {reason}")
                    continue
                outcome.rows += [
                    Measurement.of_repeats(name, device, parameters, metric, unit, values, source)
                    for metric, unit, values in measured
                ]
    progress(number, total, "")
    return outcome


def _measure(
    prepare: Prepare,
    name: str,
    parameters: Parameters,
    plan: Plan,
    watts: Watts | None,
    now: Callable[[], float],
) -> list[tuple[str, str, list[float]]]:
    """Return metric, unit and raw values; the point's buffers go with this function's frame."""
    point = prepare(name, parameters)
    measured = [(point.metric, point.unit, repeat(point.trial, plan, now))]
    if watts and point.power and plan.power_s:
        measured.append(("power", "W", [watts(point.trial, plan.power_s)]))
    return measured


def describe(name: str, parameters: Parameters) -> str:
    """Return a point in one line, for progress and messages."""
    settings = (
        f"{key}={value if isinstance(value, str) or value != int(value) else int(value)}"
        for key, value in parameters.items()
    )
    return " ".join((name, *settings))
