"""What the folder of a sweep says of itself: its manifest, and its table read back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.document import dump_yaml
from devices.errors import Fault, InputError, UnreadableFileError
from devices.files import read_text
from simulator.experiments.folders import whole_file
from simulator.experiments.notes import gathered
from simulator.experiments.run_store import (
    FORMAT,
    MANIFEST,
    SCENARIO,
    read_frame,
    read_manifest,
    to_json,
    versions,
)
from simulator.experiments.sweep_file import Sweep
from simulator.experiments.sweep_store import PLAN, RESULTS, Planned, read_results
from simulator.scenario.load import to_data
from simulator.scenario.spec import Scenario

if TYPE_CHECKING:
    import pandas


def write_manifest(
    folder: Path, sweep: Sweep, runs: Sequence[Planned], first: Scenario, command: Sequence[str]
) -> None:
    """Write ``manifest.json`` of kind ``sweep``, and ``scenario.resolved.yaml`` of the first run.

    Parameters
    ----------
    folder
        The sweep's folder, which exists.
    sweep, runs
        The sweep and its whole plan.
    first
        Scenario of the first run.
    command
        What the user typed.
    """
    manifest = {
        "format": FORMAT,
        "kind": "sweep",
        "name": sweep.name,
        "command": list(command),
        "versions": versions(),
        "base": sweep.base.name,
        "overrides": list(sweep.overrides),
        "axes": list(sweep.axes),
        "points": len(sweep.points),
        "replications": sweep.replications,
        "runs": len(runs),
    }
    for name, text in ((MANIFEST, to_json(manifest)), (SCENARIO, dump_yaml(to_data(first)))):
        with whole_file(folder / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class StoredSweep:
    """A sweep read back from its folder."""

    folder: Path
    """Where it lies."""
    manifest: Mapping[str, Any]
    """What ``manifest.json`` says."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Paths that vary."""
        return tuple(self.manifest["axes"])

    @cached_property
    def frame(self) -> pandas.DataFrame:
        """One row per run in the order of the plan: axes, replication, status, failure, figures.

        Raises
        ------
        InputError
            Where the sweep has not ended.
        """
        file = self.folder / RESULTS
        if not file.is_file():
            raise InputError(
                Fault("has no results yet: the sweep has runs left to do", file=str(self.folder))
            )
        frame = read_frame(file)
        missing = [name for name in (*self.axes, "replication", "status", "failure") if name not in frame]
        if missing:
            message = f"is no table of this sweep: it has no column {', '.join(missing)}"
            raise UnreadableFileError(Fault(message, file=str(file)))
        return frame

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know of the runs that have ended, each note once (see `simulator.experiments.notes`).

        Raises
        ------
        InputError
            Where the plan or a results file cannot be read.
        """
        try:
            return gathered(
                [(", ".join(point.values()), result.get("notes", ())) for point, result in self.ended]
            )
        except (TypeError, AttributeError) as error:
            raise self._unreadable(error) from error

    @cached_property
    def ended(self) -> list[tuple[Mapping[str, str], Mapping[str, Any]]]:
        """Point and result of each run of the plan that has ended, in its order.

        Raises
        ------
        InputError
            Where the plan or a results file cannot be read.
        """
        try:
            lines = read_text(self.folder / PLAN, maximum_bytes=None, as_=UnreadableFileError).splitlines()
            done = read_results(self.folder)
            return [(run["point"], done[run["key"]]) for run in map(json.loads, lines) if run["key"] in done]
        except (ValueError, LookupError, TypeError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> InputError:
        return UnreadableFileError(Fault(f"cannot be read: {error}", file=str(self.folder / PLAN)))


def load_sweep_folder(folder: Path) -> StoredSweep:
    """Read the folder of a sweep back.

    Raises
    ------
    InputError
        Where `folder` is none, or was written by a newer version.
    """
    return StoredSweep(folder, read_manifest(folder, "sweep"))
