"""Plots of sweeps and of capacity searches: what is drawn from their folders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from devices.errors import InputError
from simulator.cli import main
from simulator.commands.scenarios import SHIPPED
from simulator.viz import FORMATS, plot
from simulator.viz.bands import estimates
from simulator.viz.folder import draw
from simulator.viz.sweep_folder import axis_of

KINDS = ("sweep_lines", "sweep_effects", "effects", "goodput")
RATE, BUDGET = "workloads.chat.rate", "services.chat.policies.batching"


def sweep(folder: Path, **head: object) -> Path:
    file = folder / "sweep.yaml"
    axes = {RATE: ["2/s", "4000 /h", "8/s"], BUDGET: ["chunked_prefill", "fluctuating_budget"]}
    data = {"version": 1, "name": "rates", "base": str(SHIPPED / "bench" / "poisson.yaml"), "axes": axes}
    file.write_text(json.dumps(data | {"set": ["workloads.chat.requests=60"], "replications": 3} | head))
    assert main(["sweep", str(file), "--out", str(folder), "--quiet"]) == 0
    return folder / "rates-sweep"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep(tmp_path_factory.mktemp("swept"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("searched")
    arguments = [
        "capacity",
        str(SHIPPED / "bench" / "poisson.yaml"),
        "--slo",
        "ttft_s.p99<=0.3,tpot_s.p99<=0.05",
    ]
    arguments += ["--set", "workloads.chat.requests=150", "--vary", "services.chat.replicas=1,2"]
    assert main([*arguments, "--loads", "1,2", "--replications", "2", "--out", str(out), "--quiet"]) == 0
    [folder] = out.iterdir()
    return folder


def lines_of(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each line by the name in the legend."""
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    lines = [[*map(tuple, line.get_xydata())] for line in figure.axes[0].lines]
    return dict(zip(names, [line for line in lines if len(line) > 2], strict=False))  # the others are marks


def test_a_line_holds_the_means_over_replications(swept: Path) -> None:
    figure = draw(swept, "sweep_lines", None, x=RATE, y="ttft_s.p90")
    frame = pd.read_parquet(swept / "results.parquet")
    lines = lines_of(figure)
    assert len(lines) == 2
    for policy in ("chunked_prefill", "fluctuating_budget"):
        rows = frame[frame[BUDGET] == policy].groupby(RATE, sort=False)["services.chat.ttft_s.p90"].mean()
        # 4,000 per hour lie below two per second, on one axis
        expected = [(4000 / 3600, rows["4000 /h"]), (2.0, rows["2/s"]), (8.0, rows["8/s"])]
        assert lines[policy] == [pytest.approx(point, rel=1e-9) for point in expected]
    assert figure.axes[0].get_xlabel() == f"{RATE} (/s)"
    assert figure.axes[0].get_ylabel() == "TTFT p90 (s)"


def test_bands_are_the_intervals_of_the_mean() -> None:
    frame = pd.DataFrame({"line": ["a"] * 3 + ["b"], "value": [1.0, 2.0, 3.0, 5.0]})
    rows = estimates(frame, ["line"], "value").set_index("line")
    half = 4.302652729911275 / 3**0.5  # Student's t for two degrees of freedom, standard deviation 1
    assert rows.loc["a"].tolist() == pytest.approx([2.0, 2.0 - half, 2.0 + half])
    assert rows.loc["b", "value"] == 5.0
    assert rows.loc["b", ["value_low", "value_high"]].isna().all()


def test_effects_have_a_panel_per_axis(swept: Path) -> None:
    figure = draw(swept, "sweep_effects", None)
    assert [axes.get_xlabel() for axes in figure.axes] == [f"{RATE} (/s)", BUDGET]
    assert len(figure.axes[0].lines[0].get_xdata()) == 18, "every run is a point"
    assert len(draw(swept, "sweep_effects", None, x=BUDGET).axes) == 1


@pytest.fixture(scope="module")
def factorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three axes of two values, the last one of policies with parameters, and one that stays."""
    axes = {
        RATE: ["2/s", "8/s"],
        "services.chat.prefix_cache": [True, False],
        BUDGET: [{"name": "chunked_prefill", "token_budget": 256}, "chunked_prefill"],
        "seed": [3],
    }
    return sweep(tmp_path_factory.mktemp("factorial"), axes=axes, set=["workloads.chat.requests=30"])


def test_effects_of_factors_have_a_row_each(factorial: Path) -> None:
    figures = "ttft_s.mean,energy_j.total,services.chat.requests.arrived"
    figure = draw(factorial, "effects", None, y=figures)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        f"Change of {name}" for name in ("TTFT mean (s)", "Energy total (J)", "Requests arrived")
    ]
    rows = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_yticklabels()]
    factors = ["rate 8/s", "prefix_cache false", "chunked_prefill"]
    assert rows[:3] == factors
    assert rows[3:6] == [
        f"{a} × {b}"
        for a, b in ((factors[0], factors[1]), (factors[0], factors[2]), (factors[1], factors[2]))
    ]
    assert rows[6:] == [" × ".join(factors), "all together"]
    frame = pd.read_parquet(factorial / "results.parquet")
    means = frame.groupby([RATE, "services.chat.prefix_cache", BUDGET], sort=False)[
        "services.chat.ttft_s.mean"
    ].mean()
    assert means.size == 8
    shown = figure.axes[0].texts[-1].get_text()
    together = means.iloc[-1] - means.iloc[0]
    assert float(shown.partition(" ±")[0].replace("−", "-")) == pytest.approx(together, rel=5e-3)
    assert "rate 8/s: instead of rate 2/s" in str(figure.get_supxlabel())
    assert "chunked_prefill: instead of chunked_prefill, token_budget 256" in str(figure.get_supxlabel())
    assert len(draw(factorial, "effects", None).axes) == 1


def test_one_factor_has_one_effect(tmp_path: Path) -> None:
    folder = sweep(tmp_path, axes={RATE: ["2/s", "4/s"]}, replications=1, set=["workloads.chat.requests=5"])
    figure = draw(folder, "effects", None)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["rate 4/s"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["better", "worse", "not told from 0"]


def test_effects_say_which_replications_they_stand_on(factorial: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(factorial / "results.parquet")
    frame.loc[0, "status"] = "failed"
    frame.loc[0, "services.chat.e2e_s.mean"] = None
    frame.to_parquet(tmp_path / "results.parquet")
    (tmp_path / "manifest.json").write_bytes((factorial / "manifest.json").read_bytes())
    assert "On 2 of 3 replications" in str(draw(tmp_path, "effects", None).get_supxlabel())
    frame["services.chat.e2e_s.mean"] = None
    frame.to_parquet(tmp_path / "results.parquet")
    with pytest.raises(InputError, match="no replication has"):
        draw(tmp_path, "effects", None)


def test_values_become_places() -> None:
    assert axis_of("a", [1.0, 2.0]).places([2.0]) == [2.0]
    axis = axis_of("a", ["7 Gbit/s", "500 Mbit/s"])
    assert (axis.unit, axis.places(["500 Mbit/s", "7 Gbit/s"])) == ("Gbit/s", [0.5, 7.0])
    mixed = axis_of("a", ["7 Gbit/s", "3 s"])
    assert mixed.named
    assert mixed.places(["3 s", "7 Gbit/s"]) == [1.0, 0.0]


def test_goodput_is_what_stays_within_every_limit(searched: Path) -> None:
    figure = draw(searched, "goodput", None)
    found = json.loads((searched / "capacity.json").read_text())
    lines = lines_of(figure)
    assert [name.partition(":")[0] for name in lines][:2] == ["replicas 1", "replicas 2"]
    for entry, points in zip(found, lines.values(), strict=True):
        probes = {probe["load"]: probe for probe in entry["probes"]}
        assert {1.0, 2.0} <= probes.keys(), "loads that were asked for"
        assert len(points) == len(probes)
        for load, rate in points:
            assert rate == pytest.approx(probes[load]["goodput_per_s"]["mean"])
        for probe in entry["probes"]:
            assert 0.0 <= probe["attainment"]["mean"] <= 1.0
            served = probe["figures"]["throughput.requests_per_s"]
            assert probe["goodput_per_s"]["mean"] <= served * (1.0 + 1e-12)
            assert probe["goodput_per_s"]["mean"] == pytest.approx(
                served * probe["attainment"]["mean"], rel=0.02
            )
    assert figure.axes[0].get_ylabel() == "Goodput (requests/s)"


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_folders_give_equal_bytes(
    kind: str, ending: str, swept: Path, searched: Path, factorial: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    for file in (first, second):
        plot({"goodput": searched, "effects": factorial}.get(kind, swept), kind, file)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 4000


def test_what_cannot_be_drawn_is_refused(swept: Path, searched: Path, tmp_path: Path) -> None:
    def refused(folder: Path, kind: str, **options: str) -> str:
        with pytest.raises(InputError) as error:
            plot(folder, kind, tmp_path / "x.png", **options)  # type: ignore[arg-type]
        return str(error.value)

    assert "holds a capacity, not a sweep" in refused(searched, "sweep_lines")
    assert "holds a sweep, not a capacity" in refused(swept, "goodput")
    assert "nearest: services.chat.ttft_s.mean" in refused(
        swept, "sweep_lines", y="services.chat.ttft_s.maen"
    )
    assert f"has no axis 'rate'; allowed: {RATE}, {BUDGET}" in refused(swept, "sweep_lines", x="rate")
    assert f"axes of two values, off and on; {RATE} has 3" in refused(swept, "effects")
    assert "effects takes no x; those that do: sweep_lines" in refused(swept, "effects", x=RATE)
    assert "ttft_cdf takes no x" in refused(swept, "ttft_cdf", x=RATE)
    assert "ttft_cdf takes no y; those that do: sweep_lines, sweep_effects, metric_bars" in refused(
        swept, "ttft_cdf", y="qoe.mean"
    )
    (tmp_path / "results.parquet").write_bytes(b"PAR1")
    (tmp_path / "manifest.json").write_bytes((swept / "manifest.json").read_bytes())
    assert "cannot be read" in refused(tmp_path, "sweep_lines")
    (tmp_path / "results.parquet").unlink()
    assert "runs left to do" in refused(tmp_path, "sweep_lines")


def test_more_lines_than_can_be_told_apart_are_refused(tmp_path: Path) -> None:
    axes = {RATE: ["2/s", "4/s"], "seed": list(range(13))}
    folder = sweep(tmp_path, axes=axes, replications=1, set=["workloads.chat.requests=5"])
    with pytest.raises(InputError, match="13 lines against"):
        plot(folder, "sweep_lines", tmp_path / "x.png")
    plot(folder, "sweep_effects", tmp_path / "x.png")


def test_failed_runs_are_told(swept: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(swept / "results.parquet")
    frame.loc[0, "status"] = "failed"
    frame.loc[0, "services.chat.e2e_s.mean"] = None
    frame.to_parquet(tmp_path / "results.parquet")
    (tmp_path / "manifest.json").write_bytes((swept / "manifest.json").read_bytes())
    assert "Without 1 of 18 runs" in str(draw(tmp_path, "sweep_lines", None).get_supxlabel())


@pytest.mark.parametrize("replications", [1, 2])
def test_a_sweep_with_one_axis_is_one_line(replications: int, tmp_path: Path) -> None:
    axes = {RATE: ["2/s", "4/s"]}
    folder = sweep(tmp_path, axes=axes, replications=replications, set=["workloads.chat.requests=5"])
    figure = draw(folder, "sweep_lines", None)
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2]
    assert figure.axes[0].get_ylabel() == "E2E mean (s)"
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == ["95 % interval over replications"] * (replications > 1)
    draw(folder, "sweep_effects", None)
