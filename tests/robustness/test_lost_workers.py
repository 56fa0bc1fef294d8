"""A worker that is killed, for instance for its memory, takes its own run with it and no other."""

import json
import subprocess
import sys

import pytest

LETHAL = """
import os, signal, sys
from simulator.experiments import execution
from simulator.cli import main

execute = execution.execute

def lethal(job):
    if job.scenario.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(job)

execution.execute = lethal
sys.exit(main(sys.argv[1:]))
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="workers inherit the patched function by fork"
)


def lethal(desk, *argv):
    done = subprocess.run(
        [sys.executable, "-c", LETHAL, *argv],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("seeds", [["1", "2", "3", "4", "5"], ["3"]])
def test_a_comparison_keeps_the_runs_that_were_not_lost(desk, valid, seeds):
    desk.write("s.yaml", valid["scenario"])
    argv = [
        "compare",
        "s.yaml",
        "--vary",
        f"seed={','.join(seeds)}",
        "--replications",
        "2",
        "--jobs",
        "2",
        "--json",
    ]
    status, said, errors = lethal(desk, *argv, "--out", "runs", "--quiet")
    assert status == 1, errors
    assert "Traceback" not in errors
    assert "execute: BrokenProcessPool: its process was lost" in errors
    rows = json.loads(said)
    assert len(rows) == len(seeds)
    for row, seed in zip(rows, seeds, strict=True):
        assert bool(row.get("failures")) is (seed == "3")
    (folder,) = (desk.folder / "runs").glob("*-compare-*")
    found = [json.loads(it.read_text())["status"] for it in folder.glob("[!.]*/manifest.json")]
    assert (found.count("failed"), len(found)) == (2, 2 * len(seeds))
    assert desk.hetsim("report", str(folder), "-o", "out.html")[0] == 0
