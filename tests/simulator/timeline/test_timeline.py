"""Timelines of runs: valid traces that agree with the summary."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.catalogue import load_profile
from simulator.cli import main
from simulator.experiments.compare import compare
from simulator.experiments.run_store import load_run
from simulator.timeline import write_timeline

CASES = ("cake", "poisson", "plato", "churn", "tiers", "cut_off", "apart")
SERVED = tuple(case for case in CASES if case != "churn")

REQUIRED = {
    "M": {"pid", "name", "args"},
    "X": {"pid", "tid", "name", "ts", "dur", "args"},
    "C": {"pid", "name", "ts", "args"},
    "s": {"pid", "tid", "name", "cat", "id", "ts"},
    "f": {"pid", "tid", "name", "cat", "id", "ts", "bp"},
}
"""Keys of an event by its phase."""


def numbers(value: Any) -> list[float]:
    """Return all numbers within."""
    if isinstance(value, dict):
        return [number for it in value.values() for number in numbers(it)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("case", CASES)
def test_every_event_has_what_the_format_asks_for(timeline: Any, case: str) -> None:
    trace = timeline(case)
    run = trace.run
    assert trace.data.keys() == {"displayTimeUnit", "otherData", "traceEvents"}
    assert trace.data["otherData"]["scenario"] == run.scenario.name
    assert trace.data["otherData"]["seed"] == run.scenario.seed
    end_us = 1e6 * run.manifest["simulated_s"] + 1
    for it in trace.events:
        assert it.keys() == REQUIRED[it["ph"]] | {"ph"} | ({"tid"} & it.keys())
        assert all(math.isfinite(number) for number in numbers(it))
        if it["ph"] == "M":
            assert it["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
            continue
        assert isinstance(it["ts"], int) and 0 <= it["ts"] <= end_us
        if it["ph"] == "X":
            assert isinstance(it["dur"], int) and 0 <= it["dur"] <= end_us - it["ts"]
        if it["ph"] == "C":
            assert len(it["args"]) == 1
    named = {(it["pid"], it["tid"]) for it in trace.events if it["name"] == "thread_name"}
    assert {(it["pid"], it["tid"]) for it in trace.events if it["ph"] in "Xsf"} <= named
    assert len(named) == len([it for it in trace.events if it["name"] == "thread_sort_index"])


@pytest.mark.parametrize("case", CASES)
def test_slices_of_a_track_nest_or_are_disjoint(timeline: Any, case: str) -> None:
    last: dict[Any, int] = defaultdict(int)
    for it in timeline(case).events:
        if it["ph"] in "Xsf":
            track = (it["pid"], it["tid"])
            assert it["ts"] >= last[track], "in the order of time"
            last[track] = it["ts"]
    for slices in timeline(case).tracks().values():
        open_until: list[int] = []
        for it in slices:
            end = it["ts"] + it["dur"]
            while open_until and open_until[-1] <= it["ts"]:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


@pytest.mark.parametrize("case", CASES)
def test_counters_are_in_order_and_end_at_0(timeline: Any, case: str) -> None:
    counters = timeline(case).counters()
    assert counters
    for (_, name), points in counters.items():
        assert [time for time, _ in points] == sorted({time for time, _ in points})
        assert all(value >= 0 for _, value in points)
        if name not in ("temperature", "battery"):
            assert points[-1][1] == 0


@pytest.mark.parametrize("case", CASES)
def test_arrows_lead_from_within_a_slice_to_the_start_of_one(timeline: Any, case: str) -> None:
    trace = timeline(case)
    tracks = trace.tracks()
    ends: dict[int, dict[str, Any]] = defaultdict(dict)
    for it in trace.events:
        if it["ph"] in "sf":
            assert it["ph"] not in ends[it["id"]]
            ends[it["id"]][it["ph"]] = it
    assert bool(ends) == (case in ("cake", "plato", "tiers", "cut_off"))
    for pair in ends.values():
        begin, end = pair["s"], pair["f"]
        assert begin["ts"] <= end["ts"] and begin["name"] == end["name"]
        assert any(
            it["ts"] <= begin["ts"] < it["ts"] + it["dur"] for it in tracks[begin["pid"], begin["tid"]]
        )
        assert any(it["ts"] == end["ts"] for it in tracks[end["pid"], end["tid"]])


@pytest.mark.parametrize("case", SERVED)
def test_engine_steps_are_those_of_the_run(timeline: Any, case: str) -> None:
    trace = timeline(case)
    run = trace.run
    steps = [it["args"] for it in trace.slices("engine steps")]
    cache = run.summary["services"]["chat"]["cache"]
    assert sum(it["prefill_tokens"] for it in steps) == cache["computed_tokens"]
    assert (
        sum(it["tokens"] for it in (s["args"] for s in trace.slices("KV compute (front)")))
        == (cache["computed_tokens"])
    )
    if case != "cut_off":
        tokens = run.generations["output_tokens"] if case == "plato" else run.requests["output_tokens"]
        assert sum(it["steps"] * it["decodes"] for it in steps) == tokens.sum() - len(tokens)


@pytest.mark.parametrize("case", SERVED)
def test_energy_is_that_of_the_gpus(timeline: Any, case: str) -> None:
    trace = timeline(case)
    run = trace.run
    service = run.scenario.llm_services["chat"]
    device = run.scenario.devices["gpu"]
    processes = [
        it for it in trace.events if it["name"] == "process_name" and "replica" in it["args"]["name"]
    ]
    gpus = device.count or len(processes) * service.tensor_parallel
    end_s = run.manifest["simulated_s"]
    slices = [*trace.slices("engine steps")]
    busy_s = sum(it["dur"] for it in slices) / 1e6 * service.tensor_parallel
    idle_j = load_profile(device.profile).idle_w * (gpus * end_s - busy_s)
    in_all_j = run.summary["energy_j"]["devices"]["gpu"]
    assert sum(it["args"]["energy_j"] for it in slices) + idle_j == pytest.approx(in_all_j, rel=1e-4)
    spare_j = load_profile(device.profile).idle_w * end_s * (gpus - len(processes) * service.tensor_parallel)
    assert trace.integral("power") + spare_j == pytest.approx(in_all_j, rel=1e-3)


@pytest.mark.parametrize("case", ["cake", "tiers"])
def test_loads_are_those_of_the_summary(timeline: Any, case: str) -> None:
    trace = timeline(case)
    summary = trace.run.summary
    loads = [it["args"] for it in trace.slices("KV load (back)")]
    for tier, tokens in summary["services"]["chat"]["cache"]["loaded_tokens"].items():
        reads = [it["args"] for it in trace.slices("reads", within=f"{tier}: storage")]
        assert sum(it["tokens"] for it in loads if it["tier"] == tier) == tokens > 0
        assert sum(it["tokens"] for it in reads) == tokens
        assert sum(it["bytes"] for it in reads) == pytest.approx(summary["storage"][tier]["read_bytes"])
    moved = sum(it["read_bytes"] for it in summary["storage"].values())
    assert trace.integral("read bandwidth") * 1e9 == pytest.approx(moved, rel=1e-3)


def test_both_pointers_of_a_cake_request_cover_its_prompt_and_meet_once(timeline: Any) -> None:
    trace = timeline("cake")
    racing, rest = (it["args"] for it in trace.slices("KV compute (front)"))
    [load] = (it["args"] for it in trace.slices("KV load (back)"))
    assert racing["from_token"] == 0
    assert load["from_token"] <= racing["to_token"] == load["met_front_at_token"]
    assert racing["to_token"] - load["from_token"] < 128 + 512, "an operation and a step at most"
    assert (rest["from_token"], rest["to_token"]) == (load["to_token"], 16384)


def test_pointers_cover_every_prompt_and_overlap_only_where_they_meet(timeline: Any) -> None:
    trace = timeline("tiers")
    requests = trace.run.requests.set_index("request")
    front, back = (
        {name: [it["args"] for it in trace.slices(track) if it["name"] == name] for name in names}
        for track, names in (
            ("KV compute (front)", [f"chat/{it}" for it in requests.index]),
            ("KV load (back)", {it["name"] for it in trace.slices("KV load (back)")}),
        )
    )
    tiers = set()
    for name, computed in front.items():
        request = requests.loc[int(name.rpartition("/")[2])]
        reached = int(request["resident_tokens"])
        if name in back:
            racing = computed.pop(0)
            loads = back[name]
            assert racing["from_token"] == reached
            for one, next_one in pairwise(loads):
                assert one["from_token"] == next_one["to_token"], "from the end to the front"
                assert "met_front_at_token" not in one
            assert loads[-1]["from_token"] <= racing["to_token"] == loads[-1]["met_front_at_token"]
            reached = loads[0]["to_token"]
            tiers.add(tuple(it["tier"] for it in loads))
        [rest] = computed
        assert (rest["from_token"], rest["to_token"]) == (reached, request["input_tokens"])
    assert tiers == {("dram",), ("disk",), ("dram", "disk")}


def test_what_is_under_way_at_the_horizon_is_shown(timeline: Any) -> None:
    trace = timeline("cut_off")
    run = trace.run
    loads = [it for it in trace.slices("KV load (back)") if it["ts"] + it["dur"] == 4_100_000]
    assert [it["name"] for it in loads] == ["chat/11"]
    [load] = (it["args"] for it in loads)
    assert load["tokens"] > 0 and load["tokens"] % 128 == 0, "whole operations"
    ended = sum(run.summary["services"]["chat"]["cache"]["loaded_tokens"].values())
    assert sum(it["args"]["tokens"] for it in trace.slices("KV load (back)")) == ended + load["tokens"]
    unfinished = run.requests[run.requests["status"] == 0]
    ends = [it["name"] for it in trace.slices("requests") if it["ts"] + it["dur"] == 4_100_000]
    assert set(ends) == {f"chat/{number}" for number in unfinished["request"]}


@pytest.mark.parametrize("case", ["cake", "poisson", "tiers", "cut_off"])
def test_every_request_is_there_with_its_phases(timeline: Any, case: str) -> None:
    trace = timeline(case)
    slices = [*trace.slices("requests")]
    assert sorted(it["name"] for it in slices) == sorted(f"chat/{it}" for it in trace.run.requests["request"])
    decoded_us = sum(it["dur"] for t in trace.tracks().values() for it in t if it["name"] == "decode")
    rows = trace.run.requests
    rows = rows[(rows["status"] == 1) & (rows["output_tokens"] > 1)]
    if case in ("poisson", "tiers"):
        expected_s = (rows["finish_s"] - rows["first_token_s"]).sum()
        steps_us = sum(it["dur"] for it in trace.slices("engine steps") if it["name"] == "decode")
        assert decoded_us - steps_us == pytest.approx(1e6 * expected_s, abs=len(rows))


def test_a_request_is_where_it_is_prefilled_and_where_it_is_decoded(timeline: Any) -> None:
    trace = timeline("apart")
    rows = trace.run.requests
    here = [it["name"] for it in trace.slices("requests")]
    assert sorted(here) == sorted(2 * [f"chat/{it}" for it in rows["request"]])
    phases = dict.fromkeys(("transfer", "handed over", "waits for room"), 0.0)
    for track in trace.tracks().values():
        for it in track:
            if it["name"] in phases:
                phases[it["name"]] += it["dur"] / 1e6
    moved_s = (rows["transfer_end_s"] - rows["transfer_start_s"]).sum()
    assert phases["transfer"] == pytest.approx(moved_s, abs=1e-6 * len(rows))
    waited_s = (rows["transfer_start_s"] - rows["first_token_s"]).sum()
    assert phases["waits for room"] == pytest.approx(waited_s, abs=1e-6 * len(rows))
    assert phases["handed over"] == pytest.approx(moved_s + waited_s, abs=2e-6 * len(rows))


def test_generations_are_there_with_arrows_to_those_that_wait(timeline: Any) -> None:
    trace = timeline("plato")
    rows = trace.run.generations
    names = {f"{it.workload}/{it.request}/{it.generation}" for it in rows.itertuples()}
    assert {it["name"] for it in trace.slices("generations")} == names
    assert len([*trace.slices("answers")]) == len(trace.run.requests)
    waits = sum(len(after.split()) for after in rows["after"])
    begins = [it for it in trace.events if it["ph"] == "s" and it["name"] == "goes on from"]
    assert len(begins) == waits > 0


def test_chunks_are_in_their_pipeline(timeline: Any) -> None:
    trace = timeline("churn")
    chunks = trace.run.chunks
    made = chunks[chunks["sr_end_s"] > chunks["sr_start_s"]]
    for track in ("decode", "SR", "encode"):
        assert len([*trace.slices(track)]) == len(made)
    downloads = chunks.drop_duplicates(["session", "chunk", "downloader"])
    assert len([*trace.slices("download")]) == len(downloads)
    per_phone = made.groupby("processor", observed=True).size()
    for phone, count in per_phone.items():
        assert len([*trace.slices("SR", within=f"{phone}:")]) == count


def test_helpers_have_their_pipeline_on_the_simulations_clock(timeline: Any) -> None:
    trace = timeline("helper")
    chunks, viewers = trace.run.chunks, trace.run.viewers
    helped = chunks[chunks["processor"] == "edge"]
    assert len(helped) and len([*trace.slices("SR", within="edge (helper):")]) == len(helped)
    for session, rows in helped.groupby("session"):
        begins = [
            it["ts"] / 1e6 for it in trace.slices("SR", within=f"edge (helper): video, session {session}")
        ]
        np.testing.assert_allclose(sorted(begins), sorted(rows["sr_start_s"]), atol=1e-5)
        assert min(begins) >= viewers[viewers["session"] == session]["session_start_s"].iloc[0]
    assert viewers["session_start_s"].min() > 0.0


def test_viewers_and_phones_are_those_of_the_summary(timeline: Any) -> None:
    trace = timeline("churn")
    run = trace.run
    viewed = [*trace.slices("viewer")]
    assert sum(it["name"] == "playing" for it in viewed) == len(run.viewing)
    alive = run.viewers[run.viewers["complete"] == 1]
    for row in alive.itertuples():
        process = f"{row.phone}: video, session {row.session}"
        stalls = [it["dur"] for it in trace.slices("viewer", process) if it["name"] == "stalled"]
        assert sum(stalls) / 1e6 == pytest.approx(row.rebuffer_s, abs=1e-4)
    assert trace.integral("power") == pytest.approx(run.viewers["energy_j"].sum(), rel=1e-3)


def test_the_same_folder_gives_the_same_bytes(timeline: Any, tmp_path: Path) -> None:
    trace = timeline("tiers")
    write_timeline(trace.run.folder, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == trace.file.read_bytes()


SCENARIO = """\
version: 1
name: tiny
devices: {gpu: {profile: a100-80g-sxm}}
services: {chat: {kind: llm, model: llama-2-7b, gpus: gpu}}
workloads: {chat: {trace: synthetic, service: chat, arrivals: at_once, requests: 1, input_tokens: 9, output_tokens: 2}}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A scenario file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SCENARIO)
    return path


def test_the_command(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tiny, {}, out=tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    output = tmp_path / "new" / "timeline.json"
    assert main(["timeline", str(folder), "-o", str(output)]) == 0
    assert capsys.readouterr() == ("", f"written: {output}\n")
    assert main(["timeline", str(folder), "-o", str(output), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert [it.name for it in output.parent.iterdir()] == ["timeline.json"]


def test_a_run_that_has_not_recorded_says_which_field_to_set(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(tiny, {}, ["record_intervals=false"], out=tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    assert len(load_run(folder).pointers) == 0
    assert main(["timeline", str(folder), "-o", str(tmp_path / "t.json")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"{folder}: record_intervals: is false") and "needed: true" in message
    assert not (tmp_path / "t.json").exists()


def test_a_comparison_names_its_runs(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(tiny, {"workloads.chat.requests": ["1", "2"]}, out=tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    assert main(["timeline", str(folder), "-o", str(tmp_path / "t.json")]) == 2
    message = capsys.readouterr().err
    assert "holds several runs; allowed: one of its run folders (" in message
    runs = [it.name for it in folder.iterdir() if it.is_dir()]
    assert len(runs) == 2 and all(name in message for name in runs)


def test_what_cannot_be_read_or_written_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["timeline", str(tmp_path / "none"), "-o", str(tmp_path / "t.json")]) == 2
    assert "is no run folder" in capsys.readouterr().err
    compare(tiny, {}, out=tmp_path / "runs")
    [folder] = (tmp_path / "runs").iterdir()
    assert main(["timeline", str(folder), "-o", str(tiny / "t.json")]) == 2
    assert main(["timeline", str(folder), "-o", str(tmp_path / "runs")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[0] for line in errors] == [
        f"{tiny / 't.json'}: cannot be written",
        f"{tmp_path / 'runs'}",
    ]
    (folder / "pointers.parquet").unlink()
    assert main(["timeline", str(folder), "-o", str(tmp_path / "t.json")]) == 2
    assert f"{folder / 'pointers.parquet'}: no such file" in capsys.readouterr().err
    assert sorted(it.name for it in tmp_path.iterdir()) == ["runs", "tiny.yaml"]
