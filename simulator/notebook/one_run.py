"""A run and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.core import Table
from simulator.experiments.comparison import flatten
from simulator.experiments.evidence import assumed_note, fallbacks
from simulator.experiments.folders import slug
from simulator.experiments.identity import identify
from simulator.experiments.run_store import Effort, write_run
from simulator.metrics.registry import KINDS as METRIC_ROWS
from simulator.metrics.summary import COMPLETED, FAILED
from simulator.notebook.folders import result_folder
from simulator.notebook.tables import headlines, html_table, with_interval
from simulator.scenario.load import Resolver
from simulator.world import RunResult

if TYPE_CHECKING:
    import pandas

STATUS = {COMPLETED: "completed", FAILED: "failed", 0: "unfinished"}
"""What the column ``status`` of a run's records means."""


@dataclass(frozen=True, repr=False)
class Run:
    """A run and what can be asked of it."""

    result: RunResult
    """Everything that the run has left behind."""
    resolve: Resolver
    """Turns paths of the scenario into files."""
    effort: Effort
    """What the run took."""

    def summary(self) -> dict[str, Any]:
        """Return the summary that `hetsim run --json` prints."""
        return self.result.summary()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, such as that a workload is a synthetic stand-in."""
        return self.result.notes

    @cached_property
    def folder(self) -> Path:
        """A run folder, written when it is first asked for, that goes with this object."""
        scenario, replication = self.result.scenario, self.result.replication
        identity = identify(scenario, self.resolve, replication)
        with result_folder() as kept:
            folder = kept.path / slug(scenario.name)
            write_run(folder, scenario, replication, identity, self.effort, (), self.result)
            kept.given_to(self)
        return folder

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
        frame = _happened(_frame(self.result.requests, service))
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
        return _happened(_frame(self.result.generations, service))

    def asks(self, service: str | None = None) -> pandas.DataFrame:
        """Return one row per question of assistants: who asked, where it was placed, when its tokens came, energy.

        Parameters
        ----------
        service
            Only this service's; None: all, with a column ``service``.

        Returns
        -------
        pandas.DataFrame
            Columns of `simulator.assistant.runtime.ASKS`; -1 for times that did not happen.
        """
        return _frame(self.result.asks, service)

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

    def __repr__(self) -> str:
        return "\n  ".join([f"Run of {self._title()}", *self._said()])

    def _repr_html_(self) -> str:
        import pandas as pd  # noqa: PLC0415 (slow import)

        services = self.result.scenario.services
        rows = [
            {"service": name, "kind": services[name].kind, "n": self._count(name), **figures}
            for name, figures in self._figures().items()
        ]
        scenario = self.result.scenario
        notes = [*self.notes, *assumed_note([scenario]), *fallbacks(scenario)]
        return html_table(pd.DataFrame(rows).fillna(""), (), self._title(), notes)

    def _title(self) -> str:
        result = self.result
        return (
            f"{result.scenario.name}, seed {result.seed}, replication {result.replication}: "
            f"{result.simulated_s:.4g} s simulated in {self.effort.wall_s:.2g} s"
        )

    def _said(self) -> list[str]:
        """Return a line per service."""
        return [
            f"{name}: n = {self._count(name)}; "
            + ", ".join(f"{path} {text}" for path, text in figures.items())
            for name, figures in self._figures().items()
        ]

    def _figures(self) -> dict[str, dict[str, str]]:
        """Return what is shown of each service, as texts by the figure's path."""
        flat = flatten(self.summary())
        shown: dict[str, dict[str, str]] = {name: {} for name in self.result.scenario.services}
        for path in headlines(flat):
            value = flat[path]
            if path.startswith("services.") and value is not None:
                _, service, figure = path.split(".", 2)
                shown[service][figure] = with_interval(value, float("nan"))
        return shown

    def _count(self, service: str) -> str:
        """Return how many requests, questions or viewers there were."""
        result = self.result
        tables = {**result.requests, **result.asks, **result.viewers}
        what = METRIC_ROWS[result.scenario.services[service].kind]
        return f"{len(tables[service]):,} {what}"


def _happened(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Return requests or generations with NaN for times that did not happen."""
    times = ["admitted_s", "first_token_s", "finish_s"]
    frame[times] = frame[times].where(frame[times] >= 0.0)
    return frame


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
