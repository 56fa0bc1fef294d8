"""The same scenario, seed and version give the same bytes: in any process, after any other run, with any executor."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devices.document import dump_yaml
from simulator.experiments.compare import compare
from simulator.experiments.executors import process_pool
from simulator.experiments.run_store import MANIFEST
from simulator.scenario.load import load_text, resolver, to_data
from simulator.world import simulate

PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("shipped", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
names = module.NAMES[:: int(sys.argv[2])]
for name in names:
    print(name, module.Shipped.fingerprint(module.Shipped.run(name, module.Shipped.load(name))))
"""


@pytest.fixture(scope="module")
def prints(shipped: Any) -> dict[str, str]:
    """Fingerprints of all scenarios, run one after the other in this process."""
    return {name: shipped.fingerprint(shipped.run(name, shipped.load(name))) for name in shipped.names}


def in_a_new_process(hash_seed: str) -> dict[str, str]:
    """Return the fingerprints from a process whose sets of text have another order, in reverse order of scenarios."""
    conftest = Path(__file__).parents[1] / "conftest.py"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(conftest), "-1"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in done.stdout.splitlines())  # type: ignore[misc]


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_any_process_gives_the_same_bytes(prints: dict[str, str], hash_seed: str) -> None:
    assert in_a_new_process(hash_seed) == prints


def test_any_order_of_runs_gives_the_same_bytes(shipped: Any, prints: dict[str, str]) -> None:
    """A, B, A for many pairs: whatever ran before leaves nothing behind."""
    rng = random.Random(1)
    names = [name for name in shipped.names for _ in range(2)]
    rng.shuffle(names)
    for name in names:
        assert shipped.fingerprint(shipped.run(name, shipped.load(name))) == prints[name], name


def test_another_seed_gives_other_bytes(shipped: Any, prints: dict[str, str]) -> None:
    """Or the fingerprint would say nothing."""
    name = "bench/poisson.yaml"
    assert shipped.fingerprint(shipped.run(name, shipped.load(name, ["seed=1"]))) != prints[name]


def test_what_is_written_back_gives_the_same_bytes(
    shipped: Any, prints: dict[str, str], shipped_name: str
) -> None:
    """The resolved scenario of a run folder is the scenario, defaults written out."""
    path = shipped.folder / shipped_name
    again = load_text(dump_yaml(to_data(shipped.load(shipped_name))), folder=path.parent)
    assert shipped.fingerprint(simulate(again, resolve=resolver(path))) == prints[shipped_name]


def files_of(shipped: Any, names: list[str], folder: Path, executor: Executor | None) -> dict[str, bytes]:
    """Run two replications of each scenario; return the files that are left, all but those that tell times."""
    for name in names:
        compare(shipped.folder / name, {}, shipped.small(name), replications=2, executor=executor, out=folder)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_any_executor_leaves_the_same_files(shipped: Any, tmp_path: Path, every: int) -> None:
    """In this process, in threads, in other processes; tests/simulator/experiments/test_dask.py has a cluster."""
    names = shipped.names[1::every]
    here = files_of(shipped, names, tmp_path / "here", None)
    assert len(here) > 4 * len(names)
    with ThreadPoolExecutor(2) as threads:
        assert files_of(shipped, names, tmp_path / "threads", threads) == here
    with process_pool(2) as processes:
        assert files_of(shipped, names, tmp_path / "processes", processes) == here
