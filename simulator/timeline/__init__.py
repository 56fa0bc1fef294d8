"""Timelines of finished runs, as traces that Perfetto opens (docs/timeline.md)."""

from __future__ import annotations

from pathlib import Path

from devices.errors import Fault, InputError
from simulator.experiments.folders import whole_file
from simulator.experiments.run_store import MANIFEST, StoredRun, load_run
from simulator.timeline.trace_events import Trace

__all__ = ["write_timeline"]


def write_timeline(folder: Path, output: Path) -> None:
    """Write what ran where and when as JSON in the Trace Event Format.

    Parameters
    ----------
    folder
        A run folder, or a folder that holds one.
    output
        File to write. The same folder always gives the same bytes.

    Raises
    ------
    InputError
        Where `folder` is no run or holds several, the run has failed or has not recorded its engine steps, or
        `output` cannot be written. Nothing is written then.
    """
    run = _only_run(folder)
    scenario = run.scenario
    if scenario.llm_services and not scenario.record_intervals:
        message = "is false, so that the run has not kept what a timeline shows; needed: true, and a new run"
        raise InputError(Fault(message, "record_intervals", str(run.folder)))
    with whole_file(output) as unfinished, unfinished.open("w", encoding="utf-8", newline="\n") as file:
        trace = Trace(file, _other_data(run))
        _fill(trace, run)
        trace.close()


def _fill(trace: Trace, run: StoredRun) -> None:
    if run.scenario.llm_services:
        from simulator.timeline.replicas import add_replicas  # noqa: PLC0415 (pandas: slow import)
        from simulator.timeline.storage import add_storage  # noqa: PLC0415

        add_replicas(trace, run)
        add_storage(trace, run)
    if run.scenario.streaming_services:
        from simulator.timeline.phones import add_phones  # noqa: PLC0415 (matplotlib too)

        add_phones(trace, run)


def _only_run(folder: Path) -> StoredRun:
    runs = sorted(manifest.parent for manifest in folder.glob(f"*/{MANIFEST}"))
    if len(runs) > 1:
        names = ", ".join(it.name for it in runs)
        message = f"holds several runs; allowed: one of its run folders ({names})"
        raise InputError(Fault(message, file=str(folder)))
    return load_run(runs[0] if runs else folder)


def _other_data(run: StoredRun) -> dict[str, object]:
    manifest = run.manifest
    return {
        "scenario": run.scenario.name,
        "seed": manifest["seed"],
        "replication": manifest["replication"],
        "simulated_s": manifest["simulated_s"],
        "hetsim": manifest["versions"]["hetsim"],
        "content_hash": manifest["content_hash"],
        "notes": manifest["notes"],
    }
