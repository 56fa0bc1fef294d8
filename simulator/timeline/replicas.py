"""Replicas of LLM services on a timeline: engine steps, both pointers of every prompt, requests, load and power."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from devices.catalogue import load_profile
from devices.profiles import GpuProfile
from simulator.experiments.run_store import StoredRun
from simulator.serving.build import replica_places
from simulator.serving.memory import kv_capacity_blocks
from simulator.timeline.curves import Points, counted
from simulator.timeline.stays import Asked, Key, Stay, name_of, read_stays
from simulator.timeline.trace_events import Slice, Trace

FRONT, BACK = "KV compute (front)", "KV load (back)"
"""Names of the tracks of the two pointers."""


def add_replicas(trace: Trace, run: StoredRun) -> None:
    """Write a process for each replica of each LLM service of a run."""
    stays, answers = read_stays(run)
    slices = {stay.key: _stay(stay) for stay in stays}
    _draw_waits(trace, run, stays, slices)
    for service, spec in run.scenario.llm_services.items():
        steps = run.devices[run.devices["service"] == service].sort_values("start_s", kind="stable")
        pointers = run.pointers[run.pointers["service"] == service]
        for replica, (phase, name) in enumerate(replica_places(spec, run.scenario.devices)):
            gpus = f"{phase.replica_gpus} GPU{'s' if phase.replica_gpus > 1 else ''}"
            device = run.scenario.devices[name]
            profile = load_profile(device.profile)
            assert isinstance(profile, GpuProfile)
            capacity = kv_capacity_blocks(phase, device)
            place = (service, replica)
            here = [stay for stay in stays if stay.place == place]
            rows = steps[steps["replica"] == replica]
            pid = trace.process(f"{name}: {service}, replica {replica} ({gpus})")
            trace.lanes(pid, "engine steps", _batches(rows))
            _add_pointers(trace, pid, pointers[pointers["replica"] == replica])
            parts = any(stay.key[2] >= 0 for stay in here)
            asked = [it for it in answers if it.place == place]
            if asked:
                trace.lanes(pid, "answers", (_answer(it) for it in asked))
            trace.lanes(pid, "generations" if parts else "requests", (slices[stay.key] for stay in here))
            idle_w = profile.idle_w * phase.replica_gpus
            _add_counters(trace, pid, rows, here, capacity, idle_w, float(run.manifest["simulated_s"]))


def _batches(rows: pd.DataFrame) -> Iterator[Slice]:
    """Yield the runs of equal engine steps."""
    names = ("steps", "decodes", "prefill_tokens", "waiting", "admitted", "kv_used_blocks", "energy_j")
    for start_s, end_s, *values in _values(rows, ("start_s", "end_s", *names)):
        args = dict(zip(names, values, strict=True))
        kinds = [
            kind
            for kind, tokens in (("prefill", args["prefill_tokens"]), ("decode", args["decodes"]))
            if tokens
        ]
        yield Slice(" + ".join(kinds), start_s, end_s, args)


def _values(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield rows of plain values."""
    return zip(*(frame[name].tolist() for name in names), strict=True)


def _add_pointers(trace: Trace, pid: int, rows: pd.DataFrame) -> None:
    """Write what was computed and what was loaded, with where they met and arrows to what goes on from a load."""
    computed: dict[Key, list[Slice]] = {}
    loaded: dict[Key, list[Slice]] = {}
    order = ["start_s", "end_s", "workload", "request", "generation", "from_token"]
    names = ("workload", "request", "generation", "tier", "from_token", "to_token", "start_s", "end_s")
    for workload, request, generation, tier, begin, end, start_s, end_s in _values(
        rows.sort_values(order, kind="stable"), names
    ):
        key = (workload, request, generation)
        args = {"from_token": begin, "to_token": end, "tokens": end - begin}
        known, more = (loaded, {"tier": tier}) if tier else (computed, {})
        known.setdefault(key, []).append(Slice(name_of(key), start_s, end_s, args | more))
    for key, loads in loaded.items():
        _link(trace, computed.get(key, []), loads)
    trace.lanes(pid, FRONT, _in_order(computed))
    trace.lanes(pid, BACK, _in_order(loaded))


def _link(trace: Trace, computed: Sequence[Slice], loaded: Sequence[Slice]) -> None:
    """Tell the loads of one prompt where the front pointer was that they met, and what is computed after them."""
    first = loaded[0]  # of the load from one tier after the other that is looked at
    for load, following in zip(loaded, [*loaded[1:], None], strict=True):
        for it in computed:
            if it.start_s >= load.end_s and it.args["from_token"] == load.args["to_token"]:
                trace.arrow("loaded", load, load.end_s, it)
                break
        if following is not None and following.start_s == load.end_s:
            continue
        # Pointers that race are looked at when a step ends: at the end of the load, or a little later.
        front = [
            it.args["to_token"] for it in computed if it.end_s > first.start_s and it.start_s < load.end_s
        ]
        if front and load.args["from_token"] <= front[-1] <= first.args["to_token"]:
            load.args["met_front_at_token"] = front[-1]
        if following is not None:
            first = following


def _in_order(slices: Mapping[Key, list[Slice]]) -> list[Slice]:
    """Return all slices in the order of their starts."""
    return sorted(
        (it for several in slices.values() for it in several), key=lambda it: (it.start_s, it.end_s, it.name)
    )


def _stay(stay: Stay) -> Slice:
    if not stay.queued:
        return Slice(f"{stay.name}: failed", stay.ready_s, stay.ready_s, stay.args)
    times = (stay.ready_s, stay.admitted_s, stay.first_token_s, stay.finish_s)
    parts = tuple(
        Slice(name, start_s, end_s, {})
        for name, start_s, end_s in zip(stay.phases, times, times[1:], strict=False)
        if end_s > start_s
    )
    return Slice(stay.name, stay.ready_s, stay.finish_s, stay.args, parts)


def _answer(asked: Asked) -> Slice:
    return Slice(asked.name, asked.arrival_s, asked.end_s, asked.args)


def _draw_waits(trace: Trace, run: StoredRun, stays: Iterable[Stay], slices: Mapping[Key, Slice]) -> None:
    """Draw an arrow from each generation to those that have waited for it.

    When a part of one's tokens was decoded is not recorded: such an arrow begins when the other one could start.
    """
    for stay in stays:
        workload, request, _ = stay.key
        for earlier, _tokens in stay.after:
            parent = slices.get((workload, request, earlier))
            if parent is not None:
                trace.arrow("goes on from", parent, min(parent.end_s, stay.ready_s), slices[stay.key])


def _add_counters(
    trace: Trace,
    pid: int,
    rows: pd.DataFrame,
    stays: Sequence[Stay],
    capacity: int,
    idle_w: float,
    end_s: float,
) -> None:
    """Write what is in the queue, admitted and in memory, and the power."""
    queued = [stay for stay in stays if stay.queued]
    waiting = counted([it.ready_s for it in queued], [it.admitted_s for it in queued], end_s)
    inside = [stay for stay in queued if stay.admitted]
    admitted = counted([it.admitted_s for it in inside], [it.finish_s for it in inside], end_s)
    trace.counter(pid, "waiting", "requests", waiting)
    trace.counter(pid, "admitted", "requests", admitted)
    blocks = [*_blocks(rows, admitted, end_s)]
    trace.counter(pid, "KV used", "blocks", blocks)
    trace.counter(pid, "KV used share", "%", [(time_s, 100.0 * used / capacity) for time_s, used in blocks])
    trace.counter(pid, "power", "W", _power(rows, idle_w, end_s))


def _blocks(rows: pd.DataFrame, admitted: Points, end_s: float) -> Iterator[tuple[float, float]]:
    """Yield KV blocks in use: a run's count holds for all of it, and on while somebody who is admitted has to wait."""
    times = np.array([time_s for time_s, _ in admitted])
    yield 0.0, 0
    for begin_s, until_s, blocks in _values(rows, ("start_s", "end_s", "kv_used_blocks")):
        yield begin_s, blocks
        place = int(np.searchsorted(times, until_s, side="right")) - 1
        yield until_s, blocks if place >= 0 and admitted[place][1] > 0 else 0
    yield end_s, 0


def _power(rows: pd.DataFrame, idle_w: float, end_s: float) -> Iterator[tuple[float, float]]:
    """Yield the mean power of each run of steps, and the idle power between them; 0 once the simulation has ended."""
    yield 0.0, idle_w
    for begin_s, until_s, energy_j in _values(rows, ("start_s", "end_s", "energy_j")):
        yield begin_s, energy_j / (until_s - begin_s)
        yield until_s, idle_w
    yield end_s, 0.0
