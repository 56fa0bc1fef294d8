"""`--dask ADDRESS` against a real scheduler and two real workers, one of which is killed in mid-sweep."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.experiments.executors import worker_pool
from simulator.experiments.sweep import plan, run_sweep
from simulator.experiments.sweep_file import load_sweep

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")

RUNS = 60
WAIT_S = 60


class Cluster:
    """A scheduler and its workers, on free ports of the loopback interface."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self._start("scheduler", "--port", "0")
        with distributed.Client(scheduler_file=self._file, timeout=WAIT_S, set_as_default=False) as client:
            self.address = str(client.scheduler.address)
        self.fill_up()

    @property
    def _file(self) -> str:
        return str(self._folder / "scheduler.json")

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        folder = self._folder / str(len(self._processes))  # a working directory of its own
        folder.mkdir()
        command = [sys.executable, "-m", "dask", kind, "--scheduler-file", self._file, "--host", "127.0.0.1"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--no-dashboard", *options], cwd=folder, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def fill_up(self) -> None:
        """Start workers until there are two, and wait until the scheduler has just these."""
        self.workers = {pid: worker for pid, worker in self.workers.items() if worker.poll() is None}
        while len(self.workers) < 2:
            options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(self._folder))
            worker = self._start("worker", *options)
            self.workers[worker.pid] = worker
        with distributed.Client(self.address, timeout=WAIT_S, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=WAIT_S)

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    it = Cluster(tmp_path_factory.mktemp("cluster"))
    yield it
    it.stop()


def write(folder: Path) -> Path:
    """Return a sweep of `RUNS` runs of some 20 ms."""
    rates = [f"{rate / 10}/s" for rate in range(1, RUNS + 1)]
    data = {
        "version": 1,
        "name": "test",
        "base": str(SHIPPED / "bench" / "poisson.yaml"),
        "set": ["workloads.chat.requests=300"],
        "axes": {"workloads.chat.rate": rates},
    }
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of that sweep, made in this process."""
    folder = tmp_path_factory.mktemp("serial")
    sweep = load_sweep(write(folder))
    path = run_sweep(sweep, plan(sweep), folder / "out")
    assert path is not None
    return path.read_bytes()


def start(sweep: Path, cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start ``hetsim sweep``, with a relative folder for the results."""
    command = [sys.executable, "-m", "simulator.cli", "sweep", sweep.name, "--dask", cluster.address]
    with (sweep.parent / "log").open("ab") as log:
        return subprocess.Popen([*command, "--out", "out"], cwd=sweep.parent, stdout=log, stderr=log)


def watch(driver: subprocess.Popen[bytes], until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not until():
        assert driver.poll() is None
        assert time.monotonic() < deadline


def times_done(folder: Path) -> Counter[str]:
    """Return how often each run stands in the results files."""
    return Counter(
        json.loads(line)["key"]
        for path in folder.glob("results-*.jsonl")
        for line in path.read_bytes().split(b"\n")[:-1]
    )


def assert_whole(folder: Path, table: bytes) -> None:
    assert (folder / "results.parquet").read_bytes() == table
    done = times_done(folder)
    assert (len(done), done.total()) == (RUNS, RUNS)  # nothing lost, nothing repeated
    assert not list(folder.glob(".driver-*"))


def test_one_process_several_and_a_cluster_make_the_same_table(cluster, table, tmp_path, monkeypatch):
    sweep = load_sweep(write(tmp_path))
    pool = run_sweep(sweep, plan(sweep), tmp_path / "pool", jobs=2)
    assert pool is not None
    assert pool.read_bytes() == table
    monkeypatch.chdir(tmp_path)
    with worker_pool(1, cluster.address) as executor:
        assert run_sweep(sweep, plan(sweep), Path("dask"), executor=executor) == Path("dask/results.parquet")
    assert_whole(tmp_path / "dask", table)
    assert {path.name.split("-")[1] for path in Path("dask").glob("results-*")} <= {
        *map(str, cluster.workers)
    }


def test_a_worker_that_is_killed_costs_no_run(cluster, table, tmp_path):
    folder = tmp_path / "out" / "test-sweep"
    driver = start(write(tmp_path), cluster)
    victim = next(iter(cluster.workers))

    def has_begun() -> bool:
        return times_done(folder).total() >= 10 and any(folder.glob(f"results-{victim}-*"))

    watch(driver, has_begun)
    cluster.workers[victim].send_signal(signal.SIGKILL)
    assert times_done(folder).total() < RUNS
    assert driver.wait(WAIT_S) == 0
    cluster.fill_up()
    assert_whole(folder, table)


def test_a_driver_that_is_killed_goes_on_where_it_was(cluster, table, tmp_path):
    folder = tmp_path / "out" / "test-sweep"
    sweep = write(tmp_path)
    for target in (8, 25):
        driver = start(sweep, cluster)
        watch(driver, lambda target=target: times_done(folder).total() >= target)
        driver.kill()
        driver.wait()
        assert times_done(folder).total() < RUNS
    before = times_done(folder)
    assert start(sweep, cluster).wait(WAIT_S) == 0
    assert_whole(folder, table)
    assert before <= times_done(folder)


def test_comparisons_are_the_same_on_a_cluster(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    vary = ["--vary", "services.chat.policies.kv_loading=io_only,cake", "--replications", "2"]
    command = ["compare", str(SHIPPED / "cake" / "single.yaml"), *vary, "--json", "--quiet"]
    texts: list[Any] = []
    for where in ([], ["--dask", cluster.address]):
        assert main([*command, *where, "--out", f"out{len(where)}"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    names = [sorted(str(path.relative_to(out)) for path in Path(out).rglob("*")) for out in ("out0", "out2")]
    assert names[0] == names[1]


def test_a_dry_run_counts_the_workers(cluster, tmp_path, capsys):
    command = ["sweep", str(write(tmp_path)), "--dry-run", "--out", str(tmp_path / "out")]
    assert main([*command, "--dask", cluster.address]) == 0
    assert "left with 2 processes" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "carrier-pigeon://host:1"])
def test_a_wrong_address_is_bad_input(tmp_path, capsys, monkeypatch, address):
    monkeypatch.setattr("simulator.experiments.executors.CONNECT_S", 0.5)
    assert main(["sweep", str(write(tmp_path)), "--dask", address, "--out", str(tmp_path / "out")]) == 2
    assert f"--dask: there is no scheduler at {address!r}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
