"""The demonstration's first part is a sweep that the report finds, with the times of the Cake paper's cells."""

from __future__ import annotations

from pathlib import Path

from simulator.demo import POLICIES, SETUPS, single_prompt
from simulator.experiments.cake_cases import cell
from simulator.experiments.reproduce_cake import cell_ttft_s
from simulator.html_report.sweeps import section_of_sweep


def test_one_prompt_is_a_sweep_per_setup(tmp_path: Path) -> None:
    rows = [line.split("  ") for line in single_prompt(tmp_path).splitlines()]
    [shown] = [row for row in rows if row[0] == "1x H100" and "25" in (text.strip() for text in row)]
    times = [cell_ttft_s(cell("longalpaca-13b", "h100-80g-sxm", 1, 25.0), it) for it in (*POLICIES, "oracle")]
    assert [text.strip() for text in shown if text.strip()][2:] == [f"{it:.3f}" for it in times]
    sections = [section_of_sweep(folder, folder.name) for folder in sorted(tmp_path.glob("*-sweep"))]
    assert [it.name for it in sections] == sorted(f"cake on {setup}" for setup in SETUPS)
    assert all("sweep_lines" in [plot.kind for plot in it.plots.drawn] for it in sections)
