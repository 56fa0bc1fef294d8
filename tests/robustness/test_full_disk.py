"""No room left: a message and exit status 1 or 2, and nothing that looks whole."""

import os
import resource
import subprocess
import sys

import pytest


def on_a_full_disk(folder, argv, room=64):
    """Run hetsim where no file can become larger than `room` bytes."""
    return subprocess.run(
        [sys.executable, "-m", "simulator.cli", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )


@pytest.mark.parametrize("command", ["run", "compare", "sweep", "report", "plot"])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(desk, valid, command):
    desk.write("scenario.yaml", valid["scenario"])
    desk.write("sweep.yaml", valid["sweep"])
    argv = {
        "run": ["run", "scenario.yaml", "--out", "runs"],
        "compare": ["compare", "scenario.yaml", "--vary", "seed=1,2", "--out", "runs"],
        "sweep": ["sweep", "sweep.yaml", "--out", "runs"],
        "report": ["report", "runs", "-o", "out.html"],
        "plot": ["plot", "runs", "goodput", "-o", "out.svg"],
    }[command]
    if command in ("report", "plot"):
        assert (
            desk.hetsim("capacity", "scenario.yaml", "--slo", "ttft_s.p99<=2", "--quiet", "--out", "runs")[0]
            == 0
        )
        (found,) = (desk.folder / "runs").iterdir()
        argv[1] = str(found)
    before = set(desk.folder.rglob("*"))
    done = on_a_full_disk(desk.folder, argv)
    assert done.returncode in (1, 2), done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    left = [it for it in set(desk.folder.rglob("*")) - before if it.is_file()]
    assert [it for it in left if it.stat().st_size] == [] or command == "sweep", left
    assert not [it for it in left if it.name in ("manifest.json", "out.html", "out.svg", "results.parquet")]
