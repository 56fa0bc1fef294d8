"""Sweeps: designs, resuming after a kill, shards, lost workers, tables that do not tell who made them."""

from __future__ import annotations

import ast
import itertools
import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from devices.errors import Fault, InputError, SimulatorError
from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.experiments import sweep_chunk as working
from simulator.experiments import sweep_dispatch
from simulator.experiments.comparison import flatten
from simulator.experiments.executors import InProcess
from simulator.experiments.stored_sweep import load_sweep_folder
from simulator.experiments.sweep import plan, run_sweep
from simulator.experiments.sweep_chunk import Chunk
from simulator.experiments.sweep_claims import charge, claim, release
from simulator.experiments.sweep_dispatch import overrides_of
from simulator.experiments.sweep_file import Span, Sweep, load_sweep
from simulator.experiments.sweep_store import Planned, Writer, read_results

LOADING, BANDWIDTH = "services.chat.policies.kv_loading", "devices.disk.bandwidth"
GRID = {LOADING: ["compute_only", "io_only", "cake"], BANDWIDTH: ["7 Gbit/s", "32 Gbit/s"]}


def write(folder: Path, axes: Any = None, base: str = "cake/single.yaml", **head: Any) -> Path:
    data = {
        "version": 1,
        "name": "test",
        "base": str(SHIPPED / base),
        "axes": GRID if axes is None else axes,
    } | head
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(data))
    return path


def in_two_processes(path: Path, out: Path) -> list[str]:
    """Return the command that does a sweep."""
    return [sys.executable, "-m", "simulator.cli", "sweep", str(path), "--jobs", "2", "--out", str(out)]


def folder_of(out: Path) -> Path:
    (folder,) = out.iterdir()
    return folder


def lines(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in folder.glob("results-*.jsonl") for line in path.read_text().splitlines()
    ]


def test_a_grid_has_every_combination_in_order(tmp_path):
    sweep = load_sweep(write(tmp_path, replications=2))
    assert [tuple(point.values()) for point in sweep.points] == list(itertools.product(*GRID.values()))
    runs = plan(sweep)
    assert [run.number for run in runs] == list(range(12))
    assert len({run.key for run in runs}) == 12
    assert runs == plan(load_sweep(write(tmp_path, replications=2)))


def test_zip_pairs_values(tmp_path):
    axes = {LOADING: ["io_only", "cake"], BANDWIDTH: ["7 Gbit/s", "32 Gbit/s"]}
    points = load_sweep(write(tmp_path, axes, design="zip")).points
    assert [tuple(point.values()) for point in points] == [("io_only", "7 Gbit/s"), ("cake", "32 Gbit/s")]


@pytest.mark.parametrize("design", ["latin_hypercube", "sobol"])
def test_sampled_designs_fill_the_range(tmp_path, design):
    axes = {
        BANDWIDTH: {"low": "1 Gbit/s", "high": "100 Gbit/s", "scale": "log"},
        LOADING: ["io_only", "cake"],
    }
    sweep = load_sweep(write(tmp_path, axes, design=design, samples=32, seed=3))
    values = [float(point[BANDWIDTH].removesuffix(" Gbit/s")) for point in sweep.points]
    assert len(values) == 32
    # even in the logarithm: a quarter of the points in each quarter
    for low in (1.0, 10**0.5, 10.0, 10**1.5):
        assert sum(low <= value <= low * 10**0.5 for value in values) == 8
    assert 8 <= sum(point[LOADING] == "cake" for point in sweep.points) <= 24
    assert sweep.points == load_sweep(write(tmp_path, axes, design=design, samples=32, seed=3)).points
    assert sweep.points != load_sweep(write(tmp_path, axes, design=design, samples=32, seed=4)).points


@pytest.mark.parametrize(
    ("head", "axes", "message"),
    [
        ({"design": "gird"}, None, "nearest: grid"),
        ({"sampels": 3}, None, "sampels"),
        ({"samples": 3}, None, "has no meaning with design grid"),
        ({"design": "sobol"}, None, "samples is missing"),
        ({"replications": 10**8}, None, "runs; allowed: at most"),
        ({}, {}, "a mapping of paths is needed"),
        ({}, {LOADING: "cake"}, "is neither a list"),
        ({}, {LOADING: ["cake", "cake"]}, "more than once"),
        ({}, {BANDWIDTH: {"low": "1 Gbit/s", "high": "2 Gbit/s"}}, "is a range; design grid needs a list"),
        (
            {"design": "sobol", "samples": 4},
            {BANDWIDTH: {"low": "2 Gbit/s", "high": "1 Gbit/s"}},
            "is not below high",
        ),
        (
            {"design": "sobol", "samples": 4},
            {BANDWIDTH: {"low": "1 Gbit/s", "high": "2 Mbit/s"}},
            "different units",
        ),
        (
            {"design": "sobol", "samples": 4},
            {BANDWIDTH: {"low": 0, "high": 2, "scale": "log"}},
            "a logarithmic scale needs values above 0",
        ),
        ({"design": "zip"}, {LOADING: ["cake"], BANDWIDTH: ["1 Gbit/s", "2 Gbit/s"]}, "different lengths"),
    ],
)
def test_a_bad_sweep_file_is_refused(tmp_path, capsys, head, axes, message):
    assert main(["sweep", str(write(tmp_path, axes, **head)), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_bad_value_of_an_axis_is_refused_before_anything_runs(tmp_path, capsys):
    path = write(tmp_path, {LOADING: ["cake", "caek"], BANDWIDTH: ["7 Gbit/s", "7 furlongs"]})
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "nearest: cake" in err
    assert "furlongs" in err
    assert not (tmp_path / "out").exists()


def test_serial_pool_and_any_executor_make_the_same_table(tmp_path):
    path = write(tmp_path, replications=2)
    sweep = load_sweep(path)
    tables = []
    for name, options in (
        ("serial", {}),
        ("pool", {"jobs": 2}),
        ("threads", {"executor": ThreadPoolExecutor(2)}),
    ):
        table = run_sweep(sweep, plan(sweep), tmp_path / name, **options)
        assert table is not None
        tables.append(table.read_bytes())
    assert tables[0] == tables[1] == tables[2]
    frame = pd.read_parquet(tmp_path / "serial" / "results.parquet")
    assert list(frame[LOADING][::4]) == GRID[LOADING]
    assert (frame["status"] == "succeeded").all()
    assert frame["services.chat.ttft_s.mean"].notna().all()
    assert not any("wall" in name for name in frame)


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    path = write(tmp_path)
    out = tmp_path / "out"
    assert main(["sweep", str(path), "--out", str(out), "--quiet"]) == 0
    folder = folder_of(out)
    first = (folder / "results.parquet").read_bytes()
    monkeypatch.setattr(working, "do_run", lambda *a: pytest.fail("done again"))
    assert main(["sweep", str(path), "--out", str(out), "--quiet"]) == 0
    assert (folder / "results.parquet").read_bytes() == first
    monkeypatch.undo()
    # more values: only those are new
    wider = write(tmp_path, {**GRID, BANDWIDTH: [*GRID[BANDWIDTH], "64 Gbit/s"]})
    assert main(["sweep", str(wider), "--out", str(out), "--quiet"]) == 0
    assert len(lines(folder)) == 9
    assert main(["sweep", str(wider), "--out", str(out), "--quiet", "--fresh"]) == 0
    assert len(lines(folder)) == 9


def test_shards_fill_one_table(tmp_path):
    path = write(tmp_path)
    for shard in ("1/3", "2/3"):
        assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--quiet", "--shard", shard]) == 0
    folder = folder_of(tmp_path / "out")
    assert not (folder / "results.parquet").exists()
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--quiet", "--shard", "3/3"]) == 0
    assert len(pd.read_parquet(folder / "results.parquet")) == 6
    assert len(lines(folder)) == 6
    assert main(["sweep", str(path), "--shard", "4/3"]) == 2
    assert main(["sweep", str(path), "--shard", "1/3", "--fresh", "--out", str(tmp_path / "out")]) == 2
    assert len(lines(folder)) == 6


def test_a_dry_run_counts_and_writes_nothing(tmp_path, capsys):
    path = write(tmp_path, replications=3)
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--dry-run", "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert said["left_s"] == pytest.approx(18 * said["run_s"])
    del said["left_s"], said["run_s"]  # no two runs take the same time
    assert said == {"points": 6, "replications": 3, "runs": 18, "done": 0}
    assert "s left" in captured.err
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--dry-run", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "out").exists()


def test_a_failed_run_is_a_row(tmp_path, monkeypatch):
    sweep = load_sweep(write(tmp_path))
    simulate = working.execute

    def fail_one(job: Any) -> Any:
        if "IoOnly" in repr(job.scenario.services["chat"].policies.kv_loading):
            monkeypatch.setattr("simulator.experiments.execution.simulate", lambda *a, **k: 1 / 0)
        outcome = simulate(job)
        monkeypatch.undo()
        monkeypatch.setattr(working, "execute", fail_one)
        return outcome

    monkeypatch.setattr(working, "execute", fail_one)
    table = run_sweep(sweep, plan(sweep), tmp_path / "out")
    frame = pd.read_parquet(table)
    assert list(frame["status"]) == ["succeeded"] * 2 + ["failed"] * 2 + ["succeeded"] * 2
    assert "ZeroDivisionError" in frame["failure"][2]


def test_a_line_that_was_cut_short_does_not_count(tmp_path):
    writer = Writer(tmp_path)
    for key in ("a", "b"):
        writer.append({"key": key, "status": "succeeded"})
    (file,) = tmp_path.glob("results-*.jsonl")
    file.write_bytes(file.read_bytes()[:-5])
    assert set(read_results(tmp_path)) == {"a"}
    Writer(tmp_path).append({"key": "a", "status": "failed"})
    assert read_results(tmp_path)["a"]["status"] == "succeeded"


LETHAL = """
import multiprocessing, os, sys
multiprocessing.set_start_method("fork")
from simulator.experiments import sweep_chunk as working
from simulator.experiments.comparison import flatten
from simulator.experiments.sweep import plan, run_sweep
from simulator.experiments.sweep_file import load_sweep
from pathlib import Path

execute = working.execute

def lethal(job):
    if job.replication == 3:
        os._exit(9)
    return execute(job)

working.execute = lethal
sweep = load_sweep(Path(sys.argv[1]))
run_sweep(sweep, plan(sweep), Path(sys.argv[2]), jobs=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers inherit the patched function by fork")
def test_a_run_that_takes_its_process_with_it_is_a_failed_row_and_the_others_are_done(tmp_path):
    path = write(tmp_path, {LOADING: ["cake"]}, replications=8)
    subprocess.run([sys.executable, "-c", LETHAL, str(path), str(tmp_path / "out")], check=True, timeout=120)
    frame = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert list(frame["status"]) == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 4
    assert "process was lost" in frame["failure"][3]
    keys = [line["key"] for line in lines(tmp_path / "out")]
    assert len(keys) == len(set(keys)) == 8


def test_a_sweep_that_is_killed_loses_nothing_and_repeats_nothing(tmp_path):
    """kill -9 of the whole process group in mid-sweep, twice; then it goes on to its end."""
    path = write(
        tmp_path,
        {"workloads.chat.rate": [f"{rate / 10}/s" for rate in range(1, 61)]},
        base="bench/poisson.yaml",
        set=["workloads.chat.requests=400"],
    )
    command = in_two_processes(path, tmp_path / "out")
    folder = tmp_path / "out" / "test-sweep"
    seen: list[str] = []
    for target in (10, 30):
        process = subprocess.Popen(
            command, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while len(read_results(folder)) < target and process.poll() is None:
            assert time.monotonic() < deadline
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen = list(read_results(folder))
        assert len(seen) < 60
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    keys = [key for path in folder.glob("results-*.jsonl") for key in _keys(path)]
    assert len(keys) == len(set(keys)) == 60
    assert set(seen) <= set(keys)
    frame = pd.read_parquet(folder / "results.parquet")
    assert len(frame) == 60
    again = load_sweep(path)
    whole = run_sweep(again, plan(again), tmp_path / "whole", jobs=2)
    assert whole is not None
    assert whole.read_bytes() == (folder / "results.parquet").read_bytes()


def test_processes_of_a_pool_end_with_their_driver(tmp_path):
    """kill -9 of the driver alone: its processes hold its standard output until they end."""
    path = write(tmp_path, replications=100)
    command = in_two_processes(path, tmp_path)
    folder = tmp_path / "test-sweep"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        deadline = time.monotonic() + 60
        while len(read_results(folder)) < 20 and driver.poll() is None:
            assert time.monotonic() < deadline
        driver.kill()
        assert driver.communicate(timeout=60) == (b"", None)
    assert 20 <= len(lines(folder)) < 600


def _keys(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_bytes().split(b"\n")[:-1]]


def first_chunk(sweep: Sweep, driver: Path) -> Chunk:
    runs = tuple((run.key, run.replication, overrides_of(sweep, run.point)) for run in plan(sweep)[:3])
    return Chunk(driver, "chunk", sweep.base, runs)


def test_whoever_takes_a_chunk_over_does_what_a_lost_worker_has_not(tmp_path):
    sweep = load_sweep(write(tmp_path))
    with charge(tmp_path, (1, 1)) as driver:
        chunk = first_chunk(sweep, driver)
        (one, _, _), (two, _, _), (three, _, _) = chunk.runs
        lost = claim(driver, chunk.identity)
        assert lost is not None
        assert not lost.was_begun
        Writer(tmp_path).append({"key": one, "status": "succeeded"})
        Writer(tmp_path).append({"key": two, "status": "failed", "driver": driver.name})
        Writer(tmp_path).append({"key": three, "status": "failed", "driver": "an earlier one"})
        assert lost.holds
        assert working.do(chunk) is not None
        assert not lost.holds
        # the worker may be lost with its answer: until the driver has that, whoever comes next finds all done
        assert working.do(chunk) is not None
        release(driver, chunk.identity)
        assert not list(driver.iterdir())
    assert [line["key"] for line in lines(tmp_path)].count(three) == 2
    assert len(lines(tmp_path)) == 4
    assert read_results(tmp_path)[three]["status"] == "succeeded"


def test_workers_of_a_driver_that_has_been_replaced_stop_and_write_no_more(tmp_path, monkeypatch):
    sweep = load_sweep(write(tmp_path))
    do_run, newer = working.do_run, ExitStack()
    begun = 0

    def replace_the_driver(*run: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 2:
            newer.enter_context(charge(tmp_path, (1, 1)))
        return do_run(*run)

    monkeypatch.setattr(working, "do_run", replace_the_driver)
    with newer, charge(tmp_path, (1, 1)) as driver, charge(tmp_path, (2, 2)):
        assert not driver.exists()  # the plan was cut anew
    with newer, charge(tmp_path, (1, 2)) as driver, charge(tmp_path, (2, 2)) as neighbour:
        assert driver.exists()
        assert working.do(first_chunk(sweep, driver)) is None
        assert (begun, len(lines(tmp_path))) == (2, 1)
        assert working.do(first_chunk(sweep, driver)) is None
        assert (begun, neighbour.exists()) == (2, False)
    assert not list(tmp_path.glob(".driver-*"))


def test_a_driver_that_has_been_replaced_says_so(tmp_path, monkeypatch):
    path = write(tmp_path)
    sweep, do_run = load_sweep(path), working.do_run

    def start_once_more(*run: Any) -> Any:
        monkeypatch.undo()
        assert run_sweep(sweep, plan(sweep), tmp_path / "test-sweep") is not None
        return do_run(*run)

    monkeypatch.setattr(working, "do_run", start_once_more)
    with pytest.raises(SimulatorError, match="started once more"):
        run_sweep(sweep, plan(sweep), tmp_path / "test-sweep")
    assert len(lines(tmp_path / "test-sweep")) == 6


class Faulty(InProcess):
    """Loses its worker wherever the given run is in a chunk, once that run's turn has come."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.given: list[int] = []

    def submit(self, fn: Any, chunk: Any) -> Any:
        self.given.append(len(chunk.runs))
        before = tuple(itertools.takewhile(lambda run: run[0] != self.key, chunk.runs))
        future = super().submit(fn, replace(chunk, runs=before))
        if before != chunk.runs:
            future = Future()
            future.set_exception(MemoryError("no room"))
        return future


def test_a_chunk_that_comes_to_nothing_is_given_out_run_by_run(tmp_path):
    sweep = load_sweep(write(tmp_path, replications=5))
    runs = plan(sweep)
    executor = Faulty(runs[5].key)
    seen: list[int] = []
    table = run_sweep(
        sweep, runs, tmp_path / "out", executor=executor, progress=lambda now: seen.append(now.done)
    )
    frame = pd.read_parquet(table)
    assert [run.number for run, status in zip(runs, frame["status"], strict=True) if status == "failed"] == [
        5
    ]
    assert frame["failure"][5] == "execute: MemoryError: no room"
    assert executor.given[:3] == [1, 2, 4]  # the fault is in the third
    assert executor.given[3:5] == [1, 1]
    assert len(lines(tmp_path / "out")) == len({line["key"] for line in lines(tmp_path / "out")}) == 30
    assert (seen[-1], seen) == (30, sorted(seen))
    assert run_sweep(sweep, runs, tmp_path / "out") == table  # a failed run is done again
    assert (pd.read_parquet(table)["status"] == "succeeded").all()


def test_each_process_has_one_results_file(tmp_path):
    sweep = load_sweep(write(tmp_path, replications=5))
    for name, jobs in (("serial", 1), ("pool", 2)):
        run_sweep(sweep, plan(sweep), tmp_path / name, jobs=jobs)
        assert 1 <= len(list((tmp_path / name).glob("results-*.jsonl"))) <= jobs
    run_sweep(sweep, plan(sweep)[:1], tmp_path / "serial")
    (file,) = (tmp_path / "serial").glob("results-*.jsonl")
    assert f"-{os.getpid()}-" in file.name


def test_workers_notice_that_they_see_something_else_than_the_driver(tmp_path):
    base = tmp_path / "base.yaml"
    base.write_text((SHIPPED / "cake" / "single.yaml").read_text())
    sweep = load_sweep(write(tmp_path, base=str(base)))
    runs = plan(sweep)
    base.write_text(base.read_text() + "\nseed: 1\n")
    with pytest.raises(InputError, match="has changed since the sweep was planned"):
        run_sweep(sweep, runs, tmp_path / "out", jobs=2)
    assert not list((tmp_path / "out").glob(".driver-*"))
    with pytest.raises(InputError, match="is not seen by a worker"):
        working.do(Chunk(tmp_path / "none" / ".driver-1-of-1-0", "chunk", base, ()))


WORKER = """
import pickle, sys
do, chunk = pickle.load(sys.stdin.buffer)
assert do(chunk) is not None
print(sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_workers_import_lightly(tmp_path):
    with charge(tmp_path, (1, 1)) as driver:
        work = pickle.dumps((working.do, first_chunk(load_sweep(write(tmp_path)), driver)))
        done = subprocess.run(
            [sys.executable, "-c", WORKER], input=work, check=True, capture_output=True, timeout=60
        )
    imported = set(ast.literal_eval(done.stdout.decode()))
    assert "simulator" in imported
    assert not imported & {"pandas", "scipy", "matplotlib", "pyarrow", "jinja2", "distributed"}
    assert len(lines(tmp_path)) == 3


def test_faults_travel_between_processes():
    error = InputError([Fault("is wrong", "a.b", "file.yaml", 3, 4), Fault("too")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.faults) == (str(error), error.faults)


def test_dask_is_an_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = ["--dask", "tcp://127.0.0.1:8786", "--out", str(tmp_path / "out")]
    assert main(["sweep", str(write(tmp_path)), *options]) == 2
    assert "pip install 'hetsim[dask]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_shipped_sweep_is_sound():
    sweep = load_sweep(SHIPPED / "sweeps" / "bandwidth.yaml")
    runs = plan(sweep)
    assert len(runs) == 48
    assert isinstance(runs[0], Planned)


def test_a_sweep_without_a_base_is_refused(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("single.yaml", "singel.yaml"))
    assert main(["sweep", str(path), "--out", str(tmp_path)]) == 2
    with pytest.raises(InputError):
        load_sweep(tmp_path / "none.yaml")


def test_sweep_files_are_validated_like_scenarios(tmp_path, capsys):
    shipped = str(SHIPPED / "sweeps" / "bandwidth.yaml")
    assert main(["validate", shipped, str(SHIPPED / "cake" / "single.yaml")]) == 0
    assert main(["validate", str(write(tmp_path, {LOADING: ["cake", "caek"]})), shipped]) == 2
    assert "nearest: cake" in capsys.readouterr().err


def test_notes_of_runs_are_said_once_with_where_they_hold(tmp_path, capsys):
    """M/M/1-like load far above what the engine can do, and far below."""
    path = write(
        tmp_path,
        {"workloads.chat.rate": ["1/s", "60/s"]},
        "bench/poisson.yaml",
        replications=2,
        set=["workloads.chat.requests=600"],
    )
    assert main(["sweep", str(path), "--out", str(tmp_path / "out")]) == 0
    [note] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert "overloaded" in note
    assert "[60/s" in note


def test_a_row_holds_the_figures_of_the_run_alone(tmp_path, capsys):
    path = write(tmp_path, {BANDWIDTH: ["7 Gbit/s"]})
    assert main(["sweep", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    capsys.readouterr()
    arguments = ["run", "cake/single", "--set", f"{BANDWIDTH}=7 Gbit/s", "--json", "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    alone = flatten(json.loads(capsys.readouterr().out))
    [row] = pd.read_parquet(folder_of(tmp_path / "out") / "results.parquet").to_dict("records")
    assert {name: row[name] for name, value in alone.items() if value is not None} == {
        name: value for name, value in alone.items() if value is not None
    }


YAML = f"""\
version: 1
name: faults
base: {SHIPPED / "cake" / "single.yaml"}
set:
  - seed=1
  - devices.disk.bandwidth=7 furlongs
axes:
  services.chat.policies.kv_loading: [cake, caek]
  services.chat.policies.kv_laoding: [cake]
"""


def faults_of(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(arguments) == 2
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("head", ["", "sampels: 3\n"])
@pytest.mark.parametrize("command", ["sweep", "validate"])
def test_every_fault_has_its_place_in_the_sweep_file(tmp_path, capsys, head, command):
    path = tmp_path / "sweep.yaml"
    path.write_text(YAML + head)
    options = ["--shard", "3/2", "--out", str(tmp_path / "out")] if command == "sweep" else []
    found = faults_of([command, str(path), *options], capsys)

    def one(place: str, *parts: str) -> None:
        [line] = [it for it in found if it.startswith(f"{place}: ")]
        assert all(part in line for part in parts)

    one(f"{path}:6:5", "set.1", "furlongs")
    one(f"{path}:8:38", "axes.services.chat.policies.kv_loading", "nearest: cake")
    one(
        f"{path}:9:38", "axes.services.chat.policies.kv_laoding", "nearest: services.chat.policies.kv_loading"
    )
    if head:
        one(f"{path}:10:1", "sampels")
    if options:
        one("--shard", "is not of the form")
    assert len(found) == 3 + bool(head) + bool(options)


def test_faults_of_what_was_typed_are_said_of_that(tmp_path, capsys):
    arguments = ["sweep", str(write(tmp_path)), "--set", "services.chat.policies.scheduling=fcsf"]
    assert all(line.startswith("--set: ") for line in faults_of(arguments, capsys))


def test_faults_of_a_mapping_name_the_axis():
    base = str(SHIPPED / "cake" / "single.yaml")
    data = {"version": 1, "name": "test", "base": base, "axes": {LOADING: ["caek"]}}
    with pytest.raises(InputError) as error:
        plan(load_sweep(data))
    [fault] = error.value.faults
    assert (fault.file, fault.path) == ("sweep", f"axes.{LOADING}")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_whole_numbers_are_sampled_evenly(tmp_path, scale):
    axes = {"seed": {"low": 1, "high": 4, "whole": True, "scale": scale}}
    points = load_sweep(write(tmp_path, axes, design="latin_hypercube", samples=1000)).points
    seeds = [int(point["seed"]) for point in points]
    for number in range(1, 5):
        share = 1 / 4 if scale == "linear" else math.log((number + 1) / number) / math.log(5)
        assert seeds.count(number) == pytest.approx(1000 * share, abs=1)
    assert Span(1, 4, "", scale == "log", True).at(1.0) == "4"
    assert Span(1, 4, "", scale == "log", True).at(0.0) == "1"
    axes["seed"]["high"] = 4.5
    with pytest.raises(InputError, match="whole: true needs whole numbers"):
        load_sweep(write(tmp_path, axes, design="latin_hypercube", samples=10))


def test_the_seed_of_the_scenarios_can_be_given(tmp_path):
    path = write(tmp_path, {"workloads.chat.requests": [5]}, "bench/poisson.yaml")
    tables = []
    for number, seed in enumerate((["--seed", "7"], ["--set", "seed=7"], [])):
        out = tmp_path / str(number)
        assert main(["sweep", str(path), "--out", str(out), "--quiet", *seed]) == 0
        tables.append((folder_of(out) / "results.parquet").read_bytes())
    assert tables[0] == tables[1] != tables[2]


def test_a_sweep_is_found_by_its_name(capsys):
    assert main(["sweep", "sweeps/bandwidth", "--dry-run", "--quiet"]) == 0
    assert main(["sweep", "sweeps/bandwith"]) == 2
    assert "unknown sweep 'sweeps/bandwith'; nearest: sweeps/bandwidth" in capsys.readouterr().err


def test_a_table_of_another_plan_does_not_stay(tmp_path):
    path, out = write(tmp_path), tmp_path / "out"
    assert main(["sweep", str(path), "--out", str(out), "--quiet"]) == 0
    folder = folder_of(out)
    before = (folder / "results.parquet").read_bytes()
    wider = {**GRID, BANDWIDTH: [*GRID[BANDWIDTH], "64 Gbit/s", "100 Gbit/s"]}
    assert main(["sweep", str(write(tmp_path, wider)), "--out", str(out), "--quiet", "--shard", "1/2"]) == 0
    stored = load_sweep_folder(folder)
    with pytest.raises(InputError, match="has no results yet: the sweep has runs left to do"):
        _ = stored.frame
    assert 6 <= len(stored.ended) < 12
    assert main(["sweep", str(write(tmp_path)), "--out", str(out), "--quiet"]) == 0
    assert (folder / "results.parquet").read_bytes() == before
    assert len(load_sweep_folder(folder).ended) == 6


class WithoutWorkers(InProcess):
    """A cluster that has no workers until that has been noticed."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    @property
    def _client(self) -> Any:
        return SimpleNamespace(status="running", nthreads=dict)

    def submit(self, *work: Any) -> Any:
        self.submitted.append((Future(), *work))
        return self.submitted[-1][0]

    def begin(self) -> None:
        for future, fn, *arguments in self.submitted:
            future.set_result(fn(*arguments))
        self.submit = super().submit


def test_a_cluster_without_workers_is_waited_for_and_that_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_dispatch, "ASK_S", 0.01)
    monkeypatch.setattr(sweep_dispatch, "PATIENCE_S", 0.02)
    executor, said = WithoutWorkers(), []

    def waiting() -> None:
        said.append("waiting")
        executor.begin()

    sweep = load_sweep(write(tmp_path))
    assert run_sweep(sweep, plan(sweep), tmp_path / "out", executor=executor, waiting=waiting) is not None
    assert said == ["waiting"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupted_comparison_leaves_nothing_behind(tmp_path):
    arguments = ["cake/single", "--vary", "seed=" + ",".join(map(str, range(200)))]
    command = [sys.executable, "-m", "simulator.cli", "compare", *arguments, "--jobs", "2", "--quiet"]
    out = tmp_path / "new" / "out"
    process = subprocess.Popen(
        [*command, "--out", str(out)],
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(out.glob(".*.unfinished-*/*/manifest.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1] == b"hetsim: interrupted\n"
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
