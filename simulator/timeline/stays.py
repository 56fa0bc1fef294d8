"""What was at which replica and when: requests, and generations of answers that were decoded in several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from simulator.experiments.run_store import StoredRun
from simulator.metrics.summary import COMPLETED, FAILED

Place = tuple[str, int]
"""A service and the number of one of its replicas."""

Key = tuple[str, int, int]
"""Workload, request, generation; the last is -1 where the request was decoded in one go, -2 where another replica had
prefilled it."""


def name_of(key: Key) -> str:
    """Return what a request or generation is called, as in the event log."""
    workload, request, generation = key
    return f"{workload}/{request}" if generation < 0 else f"{workload}/{request}/{generation}"


@dataclass(frozen=True, slots=True)
class Stay:
    """One request or generation at a replica; times in s, the end of the run where something did not happen."""

    key: Key
    """Which one."""
    place: Place
    """Where."""
    ready_s: float
    """When it came."""
    admitted_s: float
    """When it was admitted first."""
    first_token_s: float
    """When its first token was out."""
    finish_s: float
    """When its last one was."""
    queued: bool
    """Whether it was ever in the queue; False where it could never be served."""
    admitted: bool
    """Whether it was ever admitted."""
    args: dict[str, Any]
    """What else is known."""
    after: tuple[tuple[int, int], ...] = ()
    """What a generation waited for: (generation, tokens)."""
    phases: tuple[str, str, str] = ("queued", "prefill", "decode")
    """What it did between these times."""

    @property
    def name(self) -> str:
        """What it is called, as in the event log."""
        return name_of(self.key)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose answer was decoded in generations."""

    name: str
    """What it is called."""
    place: Place
    """Where its first generation was decoded."""
    arrival_s: float
    """When it arrived."""
    end_s: float
    """When it was answered, or the run ended."""
    args: dict[str, Any]
    """What else is known."""


def read_stays(run: StoredRun) -> tuple[list[Stay], list[Asked]]:
    """Return everything that was at a replica, and the requests that were answered in generations."""
    end_s = float(run.manifest["simulated_s"])
    stays: list[Stay] = []
    homes: dict[tuple[str, str, int], Place] = {}  # of the first generation, by service, workload and request
    if run.scenario.graph_services:
        for row in _rows(run.generations):
            stay = _of_generation(row, end_s)
            stays.append(stay)
            asked = (row["service"], row["workload"], row["request"])
            if asked not in homes or stay.key[2] == 0:
                homes[asked] = stay.place
    answers: list[Asked] = []
    for row in _rows(run.requests):
        home = homes.get((row["service"], row["workload"], row["request"]))
        if home is None:
            stays += (
                _handed_over(row, end_s)
                if row.get("transfer_end_s", -1.0) >= 0.0
                else [_of_request(row, end_s)]
            )
        else:
            until_s = row["finish_s"] if row["status"] == COMPLETED else end_s
            name = f"{row['workload']}/{row['request']}"
            answers.append(Asked(name, home, row["arrival_s"], until_s, _args(row)))
    stays.sort(key=lambda it: (it.ready_s, it.key))
    answers.sort(key=lambda it: (it.arrival_s, it.name))
    return stays, answers


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows with plain values; a column that the row's service lacks is left out."""
    columns = {str(name): frame[name].tolist() for name in frame}
    for values in zip(*columns.values(), strict=True):
        yield {name: value for name, value in zip(columns, values, strict=True) if value == value}  # noqa: PLR0124


_TIMES = ("service", "workload", "request", "replica", "arrival_s", "admitted_s", "first_token_s", "finish_s")


def _args(row: Mapping[str, Any]) -> dict[str, Any]:
    args = {name: value for name, value in row.items() if name not in _TIMES}
    if row["first_token_s"] >= 0.0:
        args["ttft_s"] = row["first_token_s"] - row["arrival_s"]
    return args


def _of_request(row: Mapping[str, Any], end_s: float) -> Stay:
    arrival_s, failed = row["arrival_s"], row["status"] == FAILED
    return Stay(
        (row["workload"], row["request"], -1),
        (row["service"], row["replica"]),
        arrival_s,
        *_times(row, arrival_s if failed else end_s),
        not failed,
        row["admitted_s"] >= 0.0,
        _args(row),
    )


def _handed_over(row: Mapping[str, Any], end_s: float) -> list[Stay]:
    """Return the stays of a request that was prefilled at one replica and decoded at another.

    A request that was lost between may have begun to be decoded before its last transfer: that is not told.
    """
    first_s, moved_s, there_s = (
        row[name] for name in ("first_token_s", "transfer_start_s", "transfer_end_s")
    )
    finish_s = row["finish_s"] if row["finish_s"] >= 0.0 else end_s
    workload, request, args = row["workload"], row["request"], _args(row)
    here = (row["service"], row["prefill_replica"]), row["arrival_s"], row["admitted_s"], first_s, there_s
    there = (row["service"], row["replica"]), first_s, moved_s, there_s, finish_s
    return [
        Stay((workload, request, -1), *here, True, True, args, phases=("queued", "prefill", "handed over")),
        Stay(
            (workload, request, -2), *there, True, True, args, phases=("waits for room", "transfer", "decode")
        ),
    ]


def _of_generation(row: Mapping[str, Any], end_s: float) -> Stay:
    names = (
        "node",
        "prompt_tokens",
        "resident_tokens",
        "computed_tokens",
        "output_tokens",
        "preemptions",
        "plans",
    )
    waits = (part.split(":") for part in row["after"].split())
    failed = row["status"] == FAILED
    return Stay(
        (row["workload"], row["request"], row["generation"]),
        (row["decoded_by"], row["replica"]),
        row["ready_s"],
        *_times(row, row["ready_s"] if failed else end_s),
        not failed,
        row["admitted_s"] >= 0.0,
        {name: row[name] for name in (*names, "after")},
        tuple((int(earlier), int(tokens)) for earlier, tokens in waits),
    )


def _times(row: Mapping[str, Any], end_s: float) -> tuple[float, float, float]:
    """Return when it was admitted, had its first token, and its last one."""
    admitted_s, first_s, finish_s = (
        row[name] if row[name] >= 0.0 else end_s for name in ("admitted_s", "first_token_s", "finish_s")
    )
    return admitted_s, first_s, finish_s
