"""The few functions that a notebook needs; `simulator` offers them under its own name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.core import Table
from simulator.experiments.compare import as_yaml
from simulator.experiments.compare import compare as run_comparison
from simulator.experiments.comparison import Comparison
from simulator.experiments.execution import worker_pool
from simulator.metrics.summary import COMPLETED, FAILED
from simulator.scenario.load import load as load_scenario
from simulator.scenario.load import resolver
from simulator.scenario.spec import Scenario
from simulator.world import RunResult, simulate

if TYPE_CHECKING:
    import pandas

STATUS = {COMPLETED: "completed", FAILED: "failed", 0: "unfinished"}
"""What the column ``status`` of a run's records means."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run and what can be asked of it."""

    result: RunResult
    """Everything that the run has left behind."""

    def summary(self) -> dict[str, Any]:
        """Return the summary that `hetsim run --json` prints."""
        return self.result.summary()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, such as that a workload is a synthetic stand-in."""
        return self.result.notes

    def frame(self, service: str | None = None) -> pandas.DataFrame:
        """Return one row per request, in order of arrival.

        Parameters
        ----------
        service
            Only this service's; None: all, with a column ``service``.

        Returns
        -------
        pandas.DataFrame
            Columns of `simulator.serving.service.request_schema`; times that did not happen are NaN and
            ``status`` is a word. Besides: ``ttft_s``, ``tpot_s`` (NaN for answers of one token), ``e2e_s``.
        """
        frame = _frame(self.result.requests, service)
        times = ["admitted_s", "first_token_s", "finish_s"]
        frame[times] = frame[times].where(frame[times] >= 0.0)
        frame["status"] = frame["status"].map(STATUS)
        frame["ttft_s"] = frame["first_token_s"] - frame["arrival_s"]
        frame["e2e_s"] = frame["finish_s"] - frame["arrival_s"]
        later = (frame["output_tokens"] - 1).where(frame["output_tokens"] > 1)
        frame["tpot_s"] = (frame["e2e_s"] - frame["ttft_s"]) / later
        return frame.sort_values("arrival_s", kind="stable", ignore_index=True)

    def generations(self, service: str | None = None) -> pandas.DataFrame:
        """Return one row per generation of answers that were decoded in parts.

        Parameters
        ----------
        service
            Only this service's answers; None: all, with a column ``service``.

        Returns
        -------
        pandas.DataFrame
            Columns of `simulator.serving.answer.GENERATIONS`; times that did not happen are NaN.
        """
        frame = _frame(self.result.generations, service)
        times = ["admitted_s", "first_token_s", "finish_s"]
        frame[times] = frame[times].where(frame[times] >= 0.0)
        return frame

    def viewers(self, service: str | None = None) -> pandas.DataFrame:
        """Return one row per session and phone of streaming services: QoE, stalls, bitrate, energy by component.

        Parameters
        ----------
        service
            Only this service's; None: all, with a column ``service``.

        Returns
        -------
        pandas.DataFrame
            Columns of `simulator.streaming.viewing.VIEWER_COLUMNS`.
        """
        return _frame(self.result.viewers, service)

    def chunks(self, service: str, session: int = 0) -> pandas.DataFrame:
        """Return one row per chunk and phone that finished it, of one session of a streaming service.

        Returns
        -------
        pandas.DataFrame
            Columns of `simulator.streaming.group.records.CHUNK_COLUMNS`: times of every stage, NaN without it.
        """
        chunks = {name: sessions[session].chunks for name, sessions in self.result.sessions.items()}
        return _frame(chunks, service)


def _frame(tables: Mapping[str, Table], service: str | None) -> pandas.DataFrame:
    """Return the rows of one service, or of all, with a leading column ``service``."""
    import pandas as pd  # noqa: PLC0415 (slow import)

    frames = [
        pd.DataFrame({"service": name, **{column: table.column(column) for column in table.schema}})
        for name, table in tables.items()
        if service in (None, name)
    ]
    if not frames:
        raise KeyError(f"no service {service!r} of this kind; there are: {', '.join(tables) or 'none'}")
    return pd.concat(frames, ignore_index=True)


def load(path: str | Path, **overrides: object) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    path
        The file.
    overrides
        Values by dotted path, such as ``**{"services.chat.replicas": 2}``; a text is read as YAML.

    Raises
    ------
    InputError
        With every fault at once.
    """
    return load_scenario(path, _texts(overrides))


def run(scenario: str | Path | Scenario, *, replication: int = 0, **overrides: object) -> Run:
    """Run one scenario.

    Parameters
    ----------
    scenario
        The file, or what `load` has returned; paths inside the latter count from the working directory.
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
        return Run(simulate(scenario, replication))
    return Run(simulate(load(scenario, **overrides), replication, resolver(scenario)))


def compare(
    scenario: str | Path,
    vary: Mapping[str, Sequence[object]],
    *,
    replications: int = 1,
    jobs: int = 1,
    out: str | Path | None = None,
    **overrides: object,
) -> Comparison:
    """Run every combination of the values of `vary` under the same arrivals; see `Comparison.frame`.

    Parameters
    ----------
    scenario
        The file.
    vary
        Values by dotted path.
    replications
        Independent repetitions of each variant.
    jobs
        Processes.
    out
        Folder for the results; None: nothing is written.
    overrides
        Values by dotted path that hold for every variant.

    Raises
    ------
    InputError
        With every fault of every variant.
    """
    with worker_pool(jobs) as executor:
        return run_comparison(
            Path(scenario),
            vary,
            _texts(overrides),
            replications=replications,
            executor=executor,
            out=None if out is None else Path(out),
        )


def _texts(overrides: Mapping[str, object]) -> list[str]:
    return [f"{path}={as_yaml(value)}" for path, value in overrides.items()]
