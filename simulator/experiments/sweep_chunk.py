"""What a worker of a sweep does: the runs of a chunk, one after the other, each written down when it has ended.

A worker needs nothing but the chunk, the sweep's folder and the scenario's files; this module is all that it imports.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.errors import Fault, InputError
from simulator import __version__
from simulator.experiments.execution import Job, Outcome, execute
from simulator.experiments.identity import identify
from simulator.experiments.sweep_claims import claim
from simulator.experiments.sweep_store import read_ended, writer
from simulator.scenario.load import load, resolver
from simulator.scenario.spec import Scenario


@dataclass(frozen=True, slots=True)
class Chunk:
    """Runs that a worker does one after the other; light enough to travel."""

    driver: Path
    """The driver's folder inside that of the sweep; absolute."""
    identity: str
    """Told apart from the driver's other chunks by this."""
    base: Path
    """Scenario file; absolute."""
    runs: tuple[tuple[str, int, tuple[str, ...]], ...]
    """Key, replication and overrides of each."""


def do(chunk: Chunk) -> float | None:
    """Do the runs of a chunk that have not ended, and append what they come to.

    Returns
    -------
    float or None
        How long it took, in s; None where it stopped because another worker or another driver has taken over.

    Raises
    ------
    InputError
        Where this machine does not see the sweep's folder or the scenario, or sees others than the driver does.
    """
    started_s = time.perf_counter()
    folder = chunk.driver.parent
    if not folder.is_dir():
        raise InputError(Fault(f"is not seen by a worker on {platform.node()}", file=str(folder)))
    mine = claim(chunk.driver, chunk.identity)
    if mine is None:
        return None
    ended = read_ended(folder, chunk.driver.name) if mine.was_begun else set()
    for key, replication, overrides in chunk.runs:
        if key in ended:
            continue
        if not mine.holds:
            return None
        outcome = do_run(chunk.base, overrides, replication, key)
        if not mine.holds:  # whoever has taken over does this run too: one of them may write
            return None
        failure = outcome.failure
        writer(folder).append(
            {
                "key": key,
                "driver": chunk.driver.name,
                "status": "failed" if failure else "succeeded",
                "wall_s": outcome.effort.wall_s,
                **({"failure": f"{failure.stage}: {failure.type}: {failure.message}"} if failure else {}),
                **({"notes": outcome.notes} if outcome.notes else {}),
                **({"summary": outcome.summary} if outcome.summary is not None else {}),
            }
        )
    return time.perf_counter() - started_s


def do_run(base: Path, overrides: Sequence[str], replication: int, key: str) -> Outcome:
    """Do one run.

    Parameters
    ----------
    base
        Scenario file.
    overrides
        ``PATH=VALUE`` texts.
    replication
        Number of the replication.
    key
        What `key_of` said when the run was planned.

    Raises
    ------
    InputError
        Where what the run depends on is not what it was then.
    """
    scenario, resolve = load(base, overrides), resolver(base)
    if key_of(scenario, resolve, replication) != key:
        message = (
            "what it depends on has changed since the sweep was planned, "
            f"or is another on {platform.node()}: its files, the catalogue, or hetsim, here {__version__}"
        )
        raise InputError(Fault(message, file=str(base)))
    # only the summary is kept, and it does not need them
    return execute(Job(replace(scenario, record_intervals=False), replication, resolve))


def key_of(scenario: Scenario, resolve: Callable[[str], Path], replication: int) -> str:
    """Return the hash of all that a run depends on, the version of hetsim included.

    Raises
    ------
    InputError
        Where a file that the scenario names cannot be read.
    """
    content = identify(scenario, resolve, replication).content_hash
    return hashlib.sha256(f"{__version__} {content}".encode()).hexdigest()
