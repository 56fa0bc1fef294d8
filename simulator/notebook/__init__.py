"""The few functions that a notebook needs; `simulator` offers them under its own name.

Scenarios and sweeps are named by their file, or as on the command line: ``cake/single`` is
``scenarios/cake/single.yaml``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator import viz
from simulator.commands.scenarios import find_scenario
from simulator.experiments.run_store import Effort, peak_memory_bytes
from simulator.notebook.one_run import Run
from simulator.notebook.results import CapacityResult, Comparison, SweepResult
from simulator.notebook.studies import capacity, compare, sweep, texts_of
from simulator.scenario.load import Resolver, resolver
from simulator.scenario.load import load as load_scenario
from simulator.scenario.spec import Scenario
from simulator.world import simulate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CapacityResult",
    "Comparison",
    "Run",
    "SweepResult",
    "capacity",
    "compare",
    "load",
    "plot",
    "run",
    "sweep",
]


def load(scenario: str | Path, **overrides: object) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    scenario
        The file, or its name.
    overrides
        Values by dotted path, such as ``**{"services.chat.replicas": 2}``; a text is read as YAML.

    Raises
    ------
    InputError
        With every fault at once.
    """
    return load_scenario(find_scenario(str(scenario)), texts_of(overrides))


def run(scenario: str | Path | Scenario, *, replication: int = 0, **overrides: object) -> Run:
    """Run one scenario.

    Parameters
    ----------
    scenario
        The file, its name, or what `load` has returned; paths inside the latter count from the working directory.
    replication
        Number of the replication: another one has other random numbers.
    overrides
        Values by dotted path, for a file only.

    Raises
    ------
    InputError
        With every fault of the scenario or its files.
    SimulatorError
        Where the simulation fails.
    """
    if isinstance(scenario, Scenario):
        if overrides:
            raise TypeError("overrides apply to a scenario file; give them to load()")
        return _timed(scenario, replication, Resolver(Path()))
    path = find_scenario(str(scenario))
    return _timed(load_scenario(path, texts_of(overrides)), replication, resolver(path))


def _timed(scenario: Scenario, replication: int, resolve: Resolver) -> Run:
    started = time.perf_counter()
    result = simulate(scenario, replication, resolve)
    return Run(result, resolve, Effort(time.perf_counter() - started, peak_memory_bytes(), result.events))


def plot(
    what: Run | Comparison | SweepResult | CapacityResult | str | Path,
    kind: str,
    output: str | Path | None = None,
    **options: Any,
) -> Figure:
    """Draw one kind of plot (`hetsim list plots`).

    Parameters
    ----------
    what
        What one of the functions here has returned, or the folder of such.
    kind
        Kind of plot.
    output
        File to write as well; its ending says the format.
    options
        Those of `simulator.viz.plot`, such as ``service``, ``session``, ``window_s``, ``request``, ``x``, ``y``.

    Returns
    -------
    matplotlib.figure.Figure
        Jupyter shows it.

    Raises
    ------
    InputError
        Where it cannot be drawn; the message says why.
    """
    folder = Path(what) if isinstance(what, str | Path) else what.folder
    assert folder is not None, "what a notebook's functions return has one"
    return viz.plot(folder, kind, None if output is None else Path(output), **options)
