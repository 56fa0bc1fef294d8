"""Run folders: everything that a run was made of and has left behind, whole or not at all.

``<out>/<name>-<hash8>/`` holds

``manifest.json``
    Command, versions, seed, replication, content hash of all inputs, status, wall time, peak memory, events.
``scenario.resolved.yaml``
    The scenario with every default written out.
``summary.json``
    The summary as `hetsim run --json` prints it.
``totals.parquet``
    One row per device: busy time, energy and bytes over the whole run.
``requests.parquet``
    With LLM services: one row per request of all of them (column ``service``); a tier's columns are null where the
    service lacks that tier.
``devices.parquet``
    With LLM services: one row per run of engine steps: service, device, replica, from when to when, energy and more;
    none where the scenario says ``record_intervals: false``.
``pointers.parquet``
    With LLM services: one row per phase in which KV of a prompt was computed from the front or loaded from the back:
    which tokens, from when to when, and from which tier; none where the scenario says ``record_intervals: false``.
``generations.parquet``
    With questions whose answers are dependency graphs: one row per generation that an answer was decoded in.
``faults.parquet``
    With faults: one row per occurrence: of what, from when to when, and the tokens of KV that were lost.
``asks.parquet``
    With assistants: one row per question: who asked, where it was placed, when its tokens came, what the phone spent.
``viewers.parquet``
    With streaming services: one row per session and phone: QoE, stalls, bitrate, energy by component.
``chunks.parquet``, ``viewing.parquet``, ``phones.parquet``
    With streaming services: one row per chunk and phone that finished it (times of every stage); per viewer and chunk
    (when it played, how long it stalled); per phone and second (power, temperature, battery, buffer).

A failed run has a manifest, whose ``failure`` tells stage, type, message and traceback, and its scenario.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devices.document import dump_yaml, read_document
from devices.errors import Fault, InputError, UnreadableFileError
from devices.files import read_json, reading
from devices.quantity import shown
from simulator import __version__
from simulator.assistant.runtime import ASKS as ASK_COLUMNS
from simulator.experiments.folders import whole_folder
from simulator.experiments.identity import Identity
from simulator.experiments.run_tables import (
    ASKS,
    CHUNKS,
    DEVICES,
    FAULT_ROWS,
    GENERATIONS,
    PHONES,
    POINTERS,
    REQUESTS,
    TOTALS,
    VIEWERS,
    VIEWING,
    device_totals,
    service_rows,
    table_rows,
    write_tables,
)
from simulator.faults.records import FAULTS
from simulator.metrics.summary import summarize
from simulator.scenario.load import to_data
from simulator.scenario.spec import Scenario
from simulator.serving import answer, pointers
from simulator.serving.build import INTERVALS
from simulator.serving.service import request_schema
from simulator.streaming.viewing import VIEWER_COLUMNS
from simulator.world import RunResult

if TYPE_CHECKING:
    import pandas

FORMAT = 1
"""Version of the folder's format."""

MANIFEST = "manifest.json"
SCENARIO = "scenario.resolved.yaml"
SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run has no result."""

    stage: str
    """``simulate``, ``summarize``, ``store``, or ``execute`` where the worker itself was lost."""
    type: str
    """Name of the exception's class."""
    message: str
    """What it says."""
    traceback: str
    """Where it came from."""
    faults: tuple[Fault, ...] = ()
    """Where the input is to blame: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a run took."""

    wall_s: float
    """Wall time of the simulation."""
    peak_memory_bytes: int | None
    """Most memory that the process has held until the run's end; None where the system does not tell."""
    events: int | None = None
    """Events of the simulation's clock; None where it has not come to its end."""

    def __str__(self) -> str:
        memory = "" if self.peak_memory_bytes is None else f", {self.peak_memory_bytes / 2**20:,.0f} MiB"
        events = f", {self.events / self.wall_s:,.0f} events/s" if self.events and self.wall_s else ""
        return f"{self.wall_s:.1f} s{memory}{events}"


def to_json(data: Any) -> str:
    """Return plain data as JSON text, keys in their order, with a line's end; NaN is refused."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_run(
    folder: Path,
    scenario: Scenario,
    replication: int,
    identity: Identity,
    effort: Effort,
    command: Sequence[str],
    outcome: RunResult | Failure,
) -> None:
    """Write one run folder; one that is already there is replaced.

    Parameters
    ----------
    folder
        Where it shall stand.
    identity
        What the run depends on.
    command
        What the user typed.
    outcome
        What the run has left behind, or why it has not.

    Raises
    ------
    InputError
        Where the folder cannot be made.
    """
    failed = isinstance(outcome, Failure)
    manifest = {
        "format": FORMAT,
        "kind": "run",
        "name": scenario.name,
        "status": "failed" if failed else "succeeded",
        "command": list(command),
        "versions": versions(),
        "seed": scenario.seed,
        "replication": replication,
        "content_hash": identity.content_hash,
        "files": identity.files,
        "wall_s": effort.wall_s,
        "peak_memory_bytes": effort.peak_memory_bytes,
        "events": effort.events,
    }
    if isinstance(outcome, Failure):
        manifest["failure"] = {key: value for key, value in asdict(outcome).items() if key != "faults"}
    else:
        manifest |= {"simulated_s": outcome.simulated_s, "notes": list(outcome.notes)}
    with whole_folder(folder) as unfinished:
        (unfinished / SCENARIO).write_text(dump_yaml(to_data(scenario)), encoding="utf-8")
        if isinstance(outcome, RunResult):
            (unfinished / SUMMARY).write_text(to_json(outcome.summary()), encoding="utf-8")
            write_tables(unfinished, outcome)
        (unfinished / MANIFEST).write_text(to_json(manifest), encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    return {
        "hetsim": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "simpy": version("simpy"),
    }


def peak_memory_bytes() -> int | None:
    """Return the most memory that this process has held so far; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage tells on Linux counts the parent's memory at the fork, too
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource  # noqa: PLC0415 (absent on Windows)
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@dataclass(frozen=True)
class StoredRun:
    """A run read back from its folder; tables are read when they are asked for."""

    folder: Path
    """Where it lies."""
    manifest: Mapping[str, Any]
    """What ``manifest.json`` says."""

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario with every default written out."""
        return stored_scenario(self.folder)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The summary as it was stored."""
        file = self._file(SUMMARY)
        data = read_json(file, as_=UnreadableFileError)
        if not isinstance(data, dict):
            raise UnreadableFileError(Fault(f"{shown(data)} is no summary", file=str(file)))
        return data

    @cached_property
    def requests(self) -> pandas.DataFrame:
        """One row per request of all services (see `simulator.serving.service.request_schema`)."""
        return self._frame(REQUESTS)

    @cached_property
    def devices(self) -> pandas.DataFrame:
        """One row per run of engine steps (see `simulator.serving.build.INTERVALS`)."""
        return self._frame(DEVICES)

    @cached_property
    def pointers(self) -> pandas.DataFrame:
        """One row per phase in which KV of a prompt was made (see `simulator.serving.pointers.POINTERS`)."""
        return self._frame(POINTERS)

    @cached_property
    def generations(self) -> pandas.DataFrame:
        """One row per generation of an answer that has several (see `simulator.serving.answer.GENERATIONS`)."""
        return self._frame(GENERATIONS)

    @cached_property
    def faults(self) -> pandas.DataFrame:
        """One row per occurrence of a fault (see `simulator.faults.records.FAULTS`)."""
        return self._frame(FAULT_ROWS)

    @cached_property
    def asks(self) -> pandas.DataFrame:
        """One row per question of all assistants (see `simulator.assistant.runtime.ASKS`)."""
        return self._frame(ASKS)

    @cached_property
    def viewers(self) -> pandas.DataFrame:
        """One row per session and phone (see `simulator.streaming.viewing.VIEWER_COLUMNS`)."""
        return self._frame(VIEWERS)

    @cached_property
    def chunks(self) -> pandas.DataFrame:
        """One row per chunk and phone that finished it (see `simulator.streaming.group.records.CHUNK_COLUMNS`)."""
        return self._frame(CHUNKS)

    @cached_property
    def viewing(self) -> pandas.DataFrame:
        """One row per viewer and chunk (see `simulator.streaming.group.records.VIEWING_COLUMNS`)."""
        return self._frame(VIEWING)

    @cached_property
    def phones(self) -> pandas.DataFrame:
        """One row per phone and interval (see `simulator.streaming.group.records.PHONE_COLUMNS`)."""
        return self._frame(PHONES)

    @cached_property
    def totals(self) -> pandas.DataFrame:
        """One row per device: busy_s, energy_j, read_bytes, written_bytes."""
        return self._frame(TOTALS)

    def result(self) -> RunResult:
        """Return the run as it was before it was stored: what was computed from it can be computed again."""
        services = self.scenario.llm_services
        recorded = services if self.scenario.record_intervals else {}
        return RunResult(
            scenario=self.scenario,
            seed=self.manifest["seed"],
            replication=self.manifest["replication"],
            simulated_s=self.manifest["simulated_s"],
            requests={
                name: service_rows(
                    self.requests,
                    name,
                    request_schema(
                        list(service.kv_tiers),
                        name in self.scenario.graph_services,
                        bool(self.scenario.faults),
                    ),
                )
                for name, service in services.items()
            },
            generations={
                name: service_rows(self.generations, name, answer.GENERATIONS)
                for name in services
                if name in self.scenario.graph_services
            },
            intervals={name: service_rows(self.devices, name, INTERVALS) for name in recorded},
            pointers={name: service_rows(self.pointers, name, pointers.POINTERS) for name in recorded},
            devices=device_totals(self.totals),
            notes=tuple(self.manifest["notes"]),
            viewers={
                name: service_rows(self.viewers, name, VIEWER_COLUMNS)
                for name in self.scenario.streaming_services
            },
            asks={name: service_rows(self.asks, name, ASK_COLUMNS) for name in self.scenario.assistants},
            faults=table_rows(self.faults, FAULTS) if self.scenario.faults else None,
            events=self.manifest.get("events") or 0,
        )

    def recomputed_summary(self) -> dict[str, Any]:
        """Return the summary computed anew from the tables; equal to `summary`."""
        return summarize(self.result())

    def _frame(self, name: str) -> pandas.DataFrame:
        file = self._file(name)
        frame = read_frame(file)
        key = "device" if name == TOTALS else "service"
        if key not in frame:
            raise UnreadableFileError(Fault(f"is no such table: it has no column {key!r}", file=str(file)))
        return frame

    def _file(self, name: str) -> Path:
        if "failure" in self.manifest:
            message = f"the run failed, so it has no {name}: {self.manifest['failure']['message']}"
            raise InputError(Fault(message, file=str(self.folder)))
        return self.folder / name


def stored_scenario(folder: Path) -> Scenario:
    """Return the scenario that a folder of any kind keeps, with every default written out.

    Raises
    ------
    InputError
        Where it cannot be read.
    """
    from simulator.scenario.validation import validate  # noqa: PLC0415 (brings pydantic)

    # The files that it names may be gone by now, so that only its types are checked.
    scenario, faults = validate(Scenario, read_document(folder / SCENARIO))
    if faults:
        raise InputError(faults)
    assert isinstance(scenario, Scenario)
    return scenario


def load_run(folder: Path) -> StoredRun:
    """Read a run folder back.

    Raises
    ------
    InputError
        Where `folder` is none, or was written by a newer version.
    """
    return StoredRun(folder, read_manifest(folder, "run"))


def read_frame(file: Path) -> pandas.DataFrame:
    """Read a table of results.

    Raises
    ------
    UnreadableFileError
        Where there is none, or it is damaged.
    """
    import pandas  # noqa: PLC0415 (slow import)
    from pyarrow import ArrowException  # noqa: PLC0415

    with reading(file, also=(ArrowException, ValueError), as_=UnreadableFileError):
        return pandas.read_parquet(file)


KINDS = ("run", "comparison", "sweep", "capacity")
"""What a folder can hold."""


def _called(kind: object) -> str:
    if kind in KINDS:
        return f"a {kind}"
    return shown(kind) if kind else "a file of another program"


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Return the manifest of a folder of some `kind` (``run`` or ``comparison``).

    Raises
    ------
    InputError
        Where `folder` is none of that kind, or was written by a newer version.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except InputError as error:
        message = f"is no {kind} folder: it has no readable {MANIFEST}"
        raise InputError([Fault(message, file=str(folder)), *error.faults]) from None
    found = manifest.get("kind") if isinstance(manifest, dict) else None
    if found != kind:
        raise InputError(
            Fault(
                f"holds {_called(found)}, not a {kind}",
                file=str(folder),
            )
        )
    if (found_format := manifest.get("format")) != FORMAT:
        message = f"has format {shown(found_format)}; this version of hetsim reads format {FORMAT}"
        raise InputError(Fault(message, file=str(folder)))
    return dict(manifest)
