"""The plot of an assistant's questions, and what else is made of runs with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.errors import InputError
from simulator.experiments.compare import compare
from simulator.experiments.run_store import load_run
from simulator.viz import plot

SCENARIO = Path(__file__).parents[3] / "scenarios/cluster/placement.yaml"
POLICIES = ["device_only", "edge_only", "latency_threshold"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    vary = {"services.ask.policies.placement": POLICIES}
    found = compare(SCENARIO, vary, ["workloads.questions.requests=40"], out=out)
    assert found.folder is not None
    return found.folder


def test_placement_bars(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "bars.svg"
    figure = plot(folder, "placement_bars", file)
    text = file.read_text(encoding="utf-8")
    for word in (*POLICIES, "device", "edge", "cloud", "chip", "radio", "least possible E2E"):
        assert f">{word}<" in text
    shares, latency, *_ = figure.axes
    drawn = [bar.get_width() for bar in shares.patches]
    assert drawn[:2] == [100.0, 0.0]
    assert sum(drawn) == pytest.approx(300.0)
    assert all(bar.get_width() > 0.0 for bar in latency.patches)
    plot(folder, "placement_bars", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == file.read_bytes()


def test_it_needs_an_assistant(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of kind llm, but placement_bars shows one of kind assistant"):
        plot(folder, "placement_bars", tmp_path / "x.png", "edge")


def test_a_run_folder_holds_every_question(folder: Path) -> None:
    for path in sorted(folder.glob("placement-*")):
        run = load_run(path)
        assert len(run.asks) == 40
        assert set(run.asks["service"].astype(str)) == {"ask"}
        assert run.recomputed_summary() == run.summary
