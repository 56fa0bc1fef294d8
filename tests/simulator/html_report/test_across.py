"""What is said across services, in a terminal and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.html_report.across import table_across
from simulator.html_report.page import write_report
from simulator.metrics.catalogue import across

PLACE = """
version: 1
name: place
devices:
  gpu: {profile: a100-80g-sxm, count: 1}
  phone: {profile: pixel-5, phone: {wwan: {trace: synthetic, like: oboe}}}
services:
  chat: {kind: llm, model: llama-3.1-8b, gpus: gpu}
  video: {kind: streaming, phones: [phone]}
workloads:
  chats: {trace: synthetic, service: chat, rate: 4/s, requests: 8, input_tokens: 500, output_tokens: 20}
  watch: {trace: video, service: video, segments: 5}
accounting: {carbon_intensity: 350 g/kWh, prices: {gpu: 2}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("across")
    (place / "place.yaml").write_text(PLACE)
    vary = ["--vary", "devices.gpu.count=1,2"]
    assert main(["compare", str(place / "place.yaml"), *vary, "--out", str(place / "runs"), "--quiet"]) == 0
    [found] = (place / "runs").iterdir()
    return found


def test_terminal_tells_them_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = str(folder.parents[1] / "place.yaml")
    assert main(["run", scenario, "--quiet", "--out", str(folder.parent / "again")]) == 0
    text = capsys.readouterr().out
    heading = text[text.index("Across services") :].splitlines()[1]
    for group in ("QoE chat", "QoE video", "energy per user (kJ)", "cost", "carbon (g)"):
        assert group in heading


def test_page_has_a_section_with_the_pareto_plot_in_it(folder: Path, tmp_path: Path) -> None:
    write_report(folder, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    start = page.index("Across services</h3>")
    section = page[start : page.index("Means per variant</h3>")]
    for title in ("chat: QoE mean ↑", "video: QoE mean ↑", "Cost per hour total ↓", "Carbon total ↓"):
        assert title.lower() in section.lower(), title
    assert "<b>pareto</b>" in section
    assert page.count("<b>pareto</b>") == 1


def test_one_service_without_accounts_is_not_weighed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--set", "workloads.chat.requests=20"]
    bench = str(SHIPPED / "bench" / "poisson.yaml")
    assert main(["run", bench, *small, "--quiet", "--out", str(tmp_path)]) == 0
    assert "Across services" not in capsys.readouterr().out
    assert table_across([], [], [{}]) is None


def test_paths_come_service_by_service() -> None:
    paths = [
        "accounting.cost.total",
        "services.a.qoe.mean",
        "services.b.qoe.mean",
        "services.a.qoe.p10",
        "seed",
    ]
    expected = ["services.a.qoe.mean", "services.a.qoe.p10", "services.b.qoe.mean", "accounting.cost.total"]
    assert across(paths) == expected
    assert across(paths[1:]) == expected[:-1]
    assert across(["services.a.qoe.mean", "energy_j.total"]) == []
