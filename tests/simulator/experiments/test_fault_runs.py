"""The shipped scenarios with faults: their books close, and a stored run gives the same summary again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.cli import main
from simulator.experiments.run_store import StoredRun

SHIPPED = sorted((Path(__file__).parents[3] / "scenarios" / "faults").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_runs_and_is_read_back(path, tmp_path, capsys):
    assert main(["run", str(path), "--json", "--quiet", "--out", str(tmp_path)]) == 0
    summary = json.loads(capsys.readouterr().out)
    (folder,) = tmp_path.iterdir()
    run = StoredRun(folder, json.loads((folder / "manifest.json").read_text()))
    assert run.recomputed_summary() == run.summary == summary
    for service in summary["services"].values():
        if service["kind"] == "llm":
            requests = service["requests"]
            ended = requests["completed"] + requests["failed"] + requests["unfinished"]
            assert requests["arrived"] == ended
            assert requests["unfinished"] == 0
            assert (service["faults"]["failures"] > 0) is (path.stem == "gpu_failure")
            assert len(run.faults) > 0


def test_the_timeline_of_a_run_with_faults_is_written(tmp_path):
    (path,) = (path for path in SHIPPED if path.stem == "gpu_failure")
    assert main(["run", str(path), "--quiet", "--out", str(tmp_path / "runs")]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    target = tmp_path / "timeline.json"
    assert main(["timeline", str(folder), "-o", str(target)]) == 0
    assert json.loads(target.read_text())["traceEvents"]
