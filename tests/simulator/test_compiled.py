"""The compiled engine: the same bytes as the interpreted one, and never one that differs from its sources."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from devices.errors import InputError, SimulatorError
from simulator import compiled
from simulator.compiled import MODULES, NOTE, ROOT, check, compile_engine, copy_packages, is_compiled, remove

CASES = {
    "bench/poisson": ["workloads.chat.requests=300", "services.chat.replicas=2"],
    "cake/single": ["services.chat.policies.kv_loading=cake"],
    "cake/mooncake": ["workloads.chat.requests=250", "services.chat.policies.kv_loading=cake"],
    "cake/fluctuation": [],
    "cake/agents": ["services.chat.policies.kv_loading=io_only"],
    "cluster/placement": ["workloads.questions.requests=200"],
    "plato/load": ["workloads.questions.requests=60", "services.chat.policies.decoding=plato"],
    "plato/memory": ["workloads.questions.requests=60"],
    "plato/mixed": [],
    "faults/gpu_failure": ["workloads.chat.requests=600"],
    "faults/disk_failure": [],
    "faults/straggler": [],
    "oasis/churn": [],
    "oasis/heat": [],
    "oasis/policies": ["services.video.policies.collaboration=mpbond"],
}
"""Shipped scenarios and what is changed in them."""

SCRIPT = """
import hashlib, json, sys
import simulator.serving.replica as replica
from simulator.commands.scenarios import SHIPPED
from simulator.scenario.load import load, resolver
from simulator.world import simulate

def digest(table):
    return hashlib.sha256(bytes(table._rows)).hexdigest()

found = {"compiled": not replica.__file__.endswith(".py")}
for name, overrides in json.load(sys.stdin).items():
    path = SHIPPED / f"{name}.yaml"
    result = simulate(load(path, overrides), 0, resolver(path))
    tables = [*result.requests.values(), *result.intervals.values(), *result.generations.values()]
    tables += [*result.viewers.values(), *result.asks.values()]
    for sessions in result.sessions.values():
        tables += [table for _, it in sorted(sessions.items()) for table in (it.chunks, it.viewing, it.intervals)]
    found[name] = [json.dumps(result.summary()), *map(digest, tables)]
print(json.dumps(found))
"""


def results(root: Path) -> dict[str, list[str]]:
    """Return what the engine below `root` makes of `CASES`."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(CASES),
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_both_engines_give_the_same_bytes(tmp_path):
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler to be found")
    root = copy_packages(tmp_path)
    plain = results(root)
    compile_engine(root)
    made = results(root)
    assert (plain.pop("compiled"), made.pop("compiled")) == (False, True)
    assert made == plain
    assert remove(root)
    assert not results(root)["compiled"]
    assert not list(root.glob("**/*.so"))


@pytest.mark.parametrize("changed", ["serving/run.py", "core/environment.py"])  # compiled, and copied from
def test_sources_that_have_changed_are_refused(tmp_path, changed):
    root = copy_packages(tmp_path)
    assert not is_compiled(root)
    assert not remove(root)
    note = root / NOTE
    library = root / f"hetsim__mypyc{EXTENSION_SUFFIXES[0]}"
    binary = root / "simulator" / "serving" / f"run{EXTENSION_SUFFIXES[0]}"
    of_another_python = root / "simulator" / "serving" / "gone.cpython-30-other.so"
    for file in (library, binary, of_another_python):
        file.touch()
    assert is_compiled(root)
    with pytest.raises(SimulatorError, match="has changed since"):  # nobody says what it was made from
        check(root)
    note.write_text(json.dumps(compiled._digests(root)))
    check(root)
    source = root / "simulator" / changed
    source.write_text(source.read_text() + "\n")
    with pytest.raises(SimulatorError, match=rf"{changed} has changed since .* hetsim compile"):
        check(root)
    done = subprocess.run(
        [sys.executable, "-m", "simulator.cli", "compile", "--remove"],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(path.exists() for path in (note, library, binary, of_another_python))


@pytest.mark.slow
def test_what_cannot_be_compiled_is_said(tmp_path):
    root = copy_packages(tmp_path)
    source = root / "simulator" / "serving" / "run.py"
    source.write_text(source.read_text() + "\nwrong: int = 'text'\n")
    with pytest.raises(SimulatorError, match="Incompatible types in assignment"):
        compile_engine(root)
    assert not is_compiled(root)


def test_without_a_compiler_it_is_said_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hetsim\[compile\]'"):
        compile_engine(tmp_path)


def test_every_module_is_there():
    assert all((ROOT / Path(*name.split(".")).with_suffix(".py")).is_file() for name in MODULES)
