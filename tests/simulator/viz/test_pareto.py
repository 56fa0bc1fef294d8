"""Pareto plots: which points are on the front, and what is drawn from folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from devices.errors import InputError
from simulator.cli import main
from simulator.metrics.catalogue import HIGHER, LOWER
from simulator.viz import plot
from simulator.viz.pareto import front, pareto

SCENARIO = """
version: 1
name: place
devices: {gpu: {profile: a100-80g-sxm, count: 1}}
services: {chat: {kind: llm, model: llama-3.1-8b, gpus: gpu, reader: {ttft: 20 ms, tokens_per_s: 100/s}}}
workloads:
  chats: {trace: synthetic, service: chat, rate: 20/s, requests: 40, input_tokens: 500, output_tokens: 50}
accounting: {prices: {gpu: 2}}
"""
BUSY = "services.chat.gpu_busy_share"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pareto")
    (folder / "place.yaml").write_text(SCENARIO)
    return folder


@pytest.fixture(scope="module")
def compared(base: Path) -> Path:
    vary = ["--vary", "devices.gpu.count=1,2,4", "--replications", "2"]
    assert main(["compare", str(base / "place.yaml"), *vary, "--out", str(base / "runs"), "--quiet"]) == 0
    [folder] = (base / "runs").iterdir()
    return folder


def drawn(figure: Figure) -> list[str]:
    """Return the names beside the points."""
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30),
    st.sampled_from((HIGHER, LOWER)),
    st.sampled_from((HIGHER, LOWER)),
)
def test_no_point_of_the_front_is_beaten(points: list[tuple[int, int]], x_better: str, y_better: str) -> None:
    costs = [(-x if x_better == HIGHER else x, -y if y_better == HIGHER else y) for x, y in points]
    expected = [
        not any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in costs)
        for own in costs
    ]
    x, y = zip(*points, strict=True)
    assert front(x, y, x_better, y_better).tolist() == expected


@pytest.mark.parametrize("x_better", [HIGHER, LOWER])
@pytest.mark.parametrize("y_better", [HIGHER, LOWER])
def test_the_line_runs_through_the_front_alone(x_better: str, y_better: str) -> None:
    x = [1.0, 2.0, 3.0, 2.5]
    y = [1.0, 2.0, 3.0, 2.2]
    if x_better == y_better:  # else one point would beat all
        y = [3.0, 2.0, 1.0, 2.2]
    points = pd.DataFrame({"name": list("abcd"), "x": x, "y": y})
    points = points.assign(**{f"{of}_{end}": np.nan for of in ("x", "y") for end in ("low", "high")})
    best = front(x, y, x_better, y_better)
    figure = pareto(points, "x", "y", x_better, y_better)
    axes = figure.axes[0]
    [line] = [it for it in axes.lines if it.get_linestyle() == "-" and len(it.get_xydata()) > 2]
    corners = {tuple(map(float, it)) for it in line.get_xydata()}
    assert [it in corners for it in zip(x, y, strict=True)] == best.tolist()
    assert best.sum() >= 3
    assert ("→" if x_better == HIGHER else "←") in axes.get_xlabel()
    assert ("→" if y_better == HIGHER else "←") in axes.get_ylabel()


def test_variants_by_cost_and_qoe(compared: Path) -> None:
    figure = plot(compared, "pareto", None)
    axes = figure.axes[0]
    assert drawn(figure) == ["1", "2", "4"]
    assert axes.get_xlabel().startswith("Cost per hour total")
    assert axes.get_ylabel().startswith("QoE mean")
    texts = [it.get_text() for it in figure.legends[0].get_texts()]
    assert "95 % interval over replications" in texts


def test_any_two_figures(compared: Path) -> None:
    axes = plot(compared, "pareto", None, x="energy_j.total", y="services.chat.ttft_s.p99").axes[0]
    assert axes.get_xlabel().startswith("Energy total (J)")
    assert axes.get_ylabel().startswith("TTFT p99 (s)")


def test_points_of_a_sweep(base: Path) -> None:
    axes = {"devices.gpu.count": [1, 2], "workloads.chats.rate": [f"{it}/s" for it in range(10, 17)]}
    data = {"version": 1, "name": "sw", "base": "place.yaml", "axes": axes, "replications": 1}
    (base / "sweep.yaml").write_text(json.dumps(data))
    assert main(["sweep", str(base / "sweep.yaml"), "--out", str(base), "--quiet"]) == 0
    figure = plot(base / "sw-sweep", "pareto", None, y="throughput.requests_per_s")
    shown = [it for it in figure.axes[0].lines if it.get_marker() == "o"]
    assert len(shown) >= 14
    frame = pd.read_parquet(base / "sw-sweep" / "results.parquet")
    best = front(
        frame["accounting.cost_per_hour.total"],
        frame["services.chat.throughput.requests_per_s"],
        LOWER,
        HIGHER,
    )
    rates, counts = frame["workloads.chats.rate"][best], frame["devices.gpu.count"][best]
    assert sorted(drawn(figure)) == sorted(
        f"count {a:g}, rate {b}" for a, b in zip(counts, rates, strict=True)
    )


def test_what_cannot_be_weighed_is_refused(compared: Path, base: Path) -> None:
    with pytest.raises(InputError, match=f"of {BUSY} neither higher nor lower values are better"):
        plot(compared, "pareto", None, x=BUSY)
    with pytest.raises(InputError, match=r"unknown figure 'qeo\.mean'; allowed: hetsim list metrics"):
        plot(compared, "pareto", None, y="qeo.mean")
    with pytest.raises(InputError, match="less than two variants or points have both"):
        plot(next(it for it in compared.iterdir() if it.is_dir()), "pareto", None)
