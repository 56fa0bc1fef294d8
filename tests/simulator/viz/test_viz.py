"""Plots: every kind shows something with units, policies keep their look, what cannot be drawn is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import imread

from devices.errors import InputError
from simulator.commands.scenarios import SHIPPED
from simulator.core import Table
from simulator.experiments.compare import COMPARISON, compare
from simulator.experiments.identity import Identity
from simulator.experiments.run_store import FORMAT, MANIFEST, Effort, Failure, write_run
from simulator.policies.registry import find
from simulator.scenario.spec import DeviceSpec, LlmPolicies, LlmService, Scenario
from simulator.serving.build import INTERVALS
from simulator.serving.service import request_schema
from simulator.totals import DeviceTotals
from simulator.viz import FORMATS, PLOT_KINDS, plot
from simulator.viz.folder import draw
from simulator.viz.latency import latency_bars, latency_cdf
from simulator.viz.load import BINS, queue_and_kv
from simulator.viz.metric_bars import metric_bars
from simulator.viz.resources import energy_bars, tier_traffic
from simulator.viz.study import speedup_heatmap, ttft_against_bandwidth
from simulator.viz.style import KNOWN, looks, save
from simulator.workloads.spec import WorkloadSpec
from simulator.world import RunResult

POLICIES = ("compute_only", "io_only", "cake", "oracle")
BANDWIDTHS = (7.0, 32.0, 100.0)
ALONE = (
    "metric_bars",
    "ttft_cdf",
    "tpot_cdf",
    "e2e_cdf",
    "latency_bars",
    "queue_and_kv",
    "tier_traffic",
    "energy_bars",
)
"""Kinds that one run is enough for."""
SWEEP_KINDS = ("sweep_lines", "sweep_effects", "effects", "goodput", "pareto")
PLACEMENT_KINDS = ("placement_bars",)
"""Kinds that show an assistant: see `test_placement_viz`."""
STREAMING_KINDS = ("playback", "pipeline", "qoe_and_energy_by_phones", "stalls_by_skew", "streaming_bars")
"""Kinds that show a streaming service: see `test_streaming_viz`."""
GRAPH_KINDS = ("answer_gantt", "speedup_by_category", "speedup_against_load", "quality_against_speed")
"""Kinds that show how answers were decoded: see `test_graph_viz`."""


def study() -> pd.DataFrame:
    compute_s = {"1 × slow": 4.0, "1 × fast": 1.5}
    rows = []
    for gpu, compute in compute_s.items():
        for bandwidth in BANDWIDTHS:
            load = 100.0 / bandwidth
            best = 1.0 / (1.0 / compute + 1.0 / load)
            for policy, ttft in zip(POLICIES, (compute, load, best + 0.05, best), strict=True):
                rows.append({"gpu": gpu, "policy": policy, "bandwidth_gbit_per_s": bandwidth, "ttft_s": ttft})
    return pd.DataFrame(rows)


def intervals(replicas: int = 2) -> pd.DataFrame:
    """Busy from 0 s to 1 s and from 3 s to 4 s on each replica."""
    return pd.DataFrame(
        [
            {
                "replica": replica, "start_s": start, "end_s": start + 1.0, "steps": 10, "decodes": 4,
                "prefill_tokens": 2000, "waiting": 2 + replica, "admitted": 5, "kv_used_blocks": 300,
                "energy_j": 1.0,
            }
            for replica in range(replicas)
            for start in (0.0, 3.0)
        ]
    )  # fmt: skip


def traffic() -> pd.DataFrame:
    frame = pd.DataFrame(
        [
            (variant, tier, read, 2e9, rate)
            for variant in ("io_only", "cake")
            for tier, read, rate in (("gpu", np.nan, 0.1), ("dram", 5e9, 0.3), ("disk", 9e9, 0.2))
        ],
        columns=["variant", "tier", "read_bytes", "written_bytes", "hit_rate"],
    )
    for name in ("read_bytes", "written_bytes", "hit_rate"):
        frame[f"{name}_low"], frame[f"{name}_high"] = 0.9 * frame[name], 1.1 * frame[name]
    return frame


def statistics(scale: float) -> dict[str, dict[str, float | None]]:
    ttft: dict[str, float | None] = {
        "mean": 2.0 * scale,
        "p50": scale,
        "p90": 3.0 * scale,
        "p99": 9.0 * scale,
    }
    return {"ttft_s": ttft, "tpot_s": {"mean": 0.03, "p50": 0.03, "p90": 0.04, "p99": None}, "e2e_s": ttft}


LATENCIES_S = {"cake": np.geomspace(0.1, 9.0, 300), "io_only": [1.0, 2.0], "none": []}
MEANS = pd.DataFrame(
    {
        "label": ["io_only", "cake", "none"],
        "value": [2.0, 1.0, np.nan],
        "value_low": [1.8, np.nan, np.nan],
        "value_high": [2.2, np.nan, np.nan],
    }
)
FIGURES = {
    **{f"{it}_cdf": partial(latency_cdf, f"{it}_s", LATENCIES_S) for it in ("ttft", "tpot", "e2e")},
    "metric_bars": lambda: metric_bars(MEANS, "chat.cache.hit_rate.gpu"),
    "ttft_against_bandwidth": lambda: ttft_against_bandwidth(study()),
    "speedup_heatmap": lambda: speedup_heatmap(study()),
    "queue_and_kv": lambda: queue_and_kv(intervals()),
    "latency_bars": lambda: latency_bars(
        {"cake": statistics(1.0), "io_only": statistics(2.0)}, {"cake": {"ttft_s": {"mean": (1.5, 2.5)}}}
    ),
    "tier_traffic": lambda: tier_traffic(traffic()),
    "energy_bars": lambda: energy_bars({"cake": {"gpu": 3e6, "disk": 2e5}, "io_only": {"gpu": 4e6}}),
}
UNITS = {
    "ttft_cdf": ["TTFT (s)"],
    "tpot_cdf": ["TPOT (s)"],
    "e2e_cdf": ["E2E (s)"],
    "metric_bars": ["chat.cache.hit_rate.gpu"],
    "ttft_against_bandwidth": ["TTFT (s)", "Storage bandwidth (Gbit/s)"],
    "speedup_heatmap": ["Storage bandwidth (Gbit/s)", "TTFT speed-up (×, log)"],
    "queue_and_kv": ["Waiting\n(requests)", "KV in use\n(blocks)", "Decode\n(tokens/step)", "GPU busy\n(%)"],
    "latency_bars": ["TTFT (s)", "TPOT (s)", "E2E (s)"],
    "tier_traffic": ["Read (GB)", "Written (GB)", "Hit rate (% of prompt tokens)"],
    "energy_bars": ["Energy (MJ)"],
}


def axis_labels(figure: Figure) -> set[str]:
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}


def colours(figure: Figure) -> dict[str, str]:
    """Return the colour of each entry of a figure's legend, by the first word of its text."""
    [legend] = figure.legends
    found = {}
    for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
        raw = handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()
        found[text.get_text().split(":")[0]] = mpl.colors.to_hex(raw)
    return found


def test_every_kind_has_a_figure_of_its_own() -> None:
    assert set(FIGURES) == set(PLOT_KINDS) - {*PLACEMENT_KINDS, *STREAMING_KINDS, *GRAPH_KINDS, *SWEEP_KINDS}


@pytest.mark.parametrize("kind", FIGURES)
def test_figures_show_something(kind: str, tmp_path: Path) -> None:
    save(FIGURES[kind](), tmp_path / "figure.png")
    pixels = imread(tmp_path / "figure.png")[..., :3]
    assert min(pixels.shape[:2]) > 200
    assert (pixels < 0.9).any(axis=2).mean() > 0.01


@pytest.mark.parametrize("kind", FIGURES)
def test_axes_carry_units(kind: str) -> None:
    assert set(UNITS[kind]) <= axis_labels(FIGURES[kind]())


def test_bars_name_the_baseline_and_what_has_no_value() -> None:
    figure = metric_bars(MEANS, "chat.ttft_s.mean")
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [2.0, 1.0]
    assert [text.get_text() for text in axes.texts] == ["2", "1", "no value"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "baseline: io_only",
        "95 % interval over replications",
    ]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("kind", FIGURES)
def test_equal_figures_give_equal_bytes(kind: str, ending: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first.{ending}", tmp_path / f"second.{ending}"
    save(FIGURES[kind](), first)
    save(FIGURES[kind](), second)
    assert first.read_bytes() == second.read_bytes()


def test_svg_keeps_text_as_text(tmp_path: Path) -> None:
    save(FIGURES["ttft_cdf"](), tmp_path / "figure.svg")
    assert ">TTFT (s)</text>" in (tmp_path / "figure.svg").read_text(encoding="utf-8")


def test_a_policy_has_one_colour_in_all_figures() -> None:
    cdf, bars, curves = (
        colours(FIGURES[kind]()) for kind in ("ttft_cdf", "tier_traffic", "ttft_against_bandwidth")
    )
    for policy in ("cake", "io_only"):
        assert cdf[policy] == bars[policy] == curves[policy] == KNOWN[policy].colour.lower()


def test_looks_are_told_apart_and_stay() -> None:
    names = [*KNOWN, *(f"mine {i}" for i in range(12))]
    given = looks(names)
    assert len(set(given.values())) == len(names)
    assert given == looks(names)
    assert given | KNOWN == given
    assert looks(["mine", "cake"])["mine"].colour != KNOWN["cake"].colour
    several = looks(["cake, 7 Gbit/s", "cake, 32 Gbit/s", "io_only, 7 Gbit/s"])
    assert [look.colour for look in several.values()] == [
        KNOWN[name].colour for name in ("cake", "cake", "io_only")
    ]
    assert len(set(several.values())) == 3


def test_a_long_legend_stays_inside_the_figure() -> None:
    figure = energy_bars({"only": {f"a device with a long name {i}": 1.0 for i in range(14)}})
    figure.draw_without_rendering()
    [legend] = figure.legends
    inside, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= inside.x0 < inside.x1 <= whole.x1
    assert inside.y1 <= whole.y1
    assert figure.axes[0].get_window_extent().y1 < inside.y0


def test_style_leaves_matplotlib_as_it_was() -> None:
    with mpl.rc_context({"font.size": 31.0}):
        figure = FIGURES["energy_bars"]()
        assert mpl.rcParams["font.size"] == 31.0
    assert figure.axes[0].xaxis.label.get_size() < 12.0


def test_time_axis_shows_exact_averages() -> None:
    figure = queue_and_kv(intervals(1))
    curves = {axes.get_ylabel().split("\n")[0]: axes.patches for axes in figure.axes}
    busy = curves["GPU busy"][0].get_data().values
    assert len(busy) == BINS
    assert busy.mean() == pytest.approx(50.0)
    assert (busy[: BINS // 4] == pytest.approx(100.0)) and (
        busy[BINS // 4 : 3 * BINS // 4] == pytest.approx(0.0)
    )
    prefill, decode = (curves[name][0].get_data().values for name in ("Prefill", "Decode"))
    assert prefill[0] == pytest.approx(200.0)
    assert decode[0] == pytest.approx(4.0)


def test_requests_give_the_true_queue_while_the_engine_is_idle() -> None:
    requests = pd.DataFrame(
        {
            "replica": [0, 0, 0],
            "status": [1, 1, 2],
            "arrival_s": [0.0, 2.0, 2.0],
            "admitted_s": [0.0, 2.5, -1.0],
            "finish_s": [1.0, 4.0, -1.0],
        }
    )
    figure = queue_and_kv(intervals(1), requests, capacity_blocks=[600])
    waiting, admitted, kv = (axes.patches[0].get_data().values for axes in figure.axes[:3])
    assert waiting.sum() * 4.0 / BINS == pytest.approx(0.5)  # the refused request never waits
    assert admitted.sum() * 4.0 / BINS == pytest.approx(2.5)
    assert kv[0] == pytest.approx(50.0)
    assert kv[BINS // 2 - 1] == pytest.approx(0.0)


def test_heat_map_cells_are_ratios_of_ttft() -> None:
    figure = speedup_heatmap(study(), over="compute_only")
    [axes] = [axes for axes in figure.axes if axes.get_title() == "cake over compute_only"]
    texts = [text.get_text() for text in axes.texts]
    table = study().pivot_table(
        index="gpu", columns=["policy", "bandwidth_gbit_per_s"], values="ttft_s", sort=False
    )
    for i, gpu in enumerate(("1 × slow", "1 × fast")):
        for j, bandwidth in enumerate(BANDWIDTHS):
            ratio = table.loc[gpu, ("compute_only", bandwidth)] / table.loc[gpu, ("cake", bandwidth)]
            assert texts[3 * i + j] == f"{ratio:.2f}"


def test_heat_map_takes_ready_speedups_and_leaves_holes() -> None:
    cells = pd.DataFrame(
        {
            "share": [0.125, 1.0, 1.0],
            "bandwidth_gbit_per_s": [7, 7, 32],
            "speedup_over_io_only": [1.9, 8.0, 0.9],
        }
    )
    figure = speedup_heatmap(cells, over="io_only")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.90", "–", "8.00", "0.90"]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["12.5 %", "100 %"]


# ---------------------------------------------------------------- folders


def run_folder(folder: Path, policy: str = "cake", gbit_per_s: float = 32.0, failed: bool = False) -> Path:
    """Write the folder of a made-up run: two replicas, twenty requests."""
    service = LlmService(
        kind="llm",
        model="longalpaca-7b",
        gpus="gpu",
        kv_tiers=("disk",),
        policies=LlmPolicies(kv_loading=find("kv_loading", policy)()),
    )
    workloads: dict[str, WorkloadSpec] = {}
    scenario = Scenario(
        version=1,
        name="made-up",
        devices={
            "gpu": DeviceSpec("a100-80g-sxm", count=2),
            "disk": DeviceSpec("nvme-gen4", bandwidth=gbit_per_s * 1e9 / 8),
        },
        services={"chat": service},
        workloads=workloads,
    )
    requests = Table(request_schema(["disk"]))
    for i in range(20):
        first = i + (1 + i % 5) * 10.0 / gbit_per_s
        requests.append(
            i, "chat", i % 2, 1, i, i + 0.1, first, first + 2.0, 4000, 50, 512, 900, 0, 2500, 2500
        )
    steps = Table(INTERVALS)
    for row in intervals().itertuples(index=False):
        steps.append(*row)
    result = RunResult(
        scenario=scenario,
        seed=0,
        replication=0,
        simulated_s=30.0,
        requests={"chat": requests},
        generations={},
        intervals={"chat": steps},
        devices={"gpu": DeviceTotals(4.0, 5e4), "disk": DeviceTotals(3.0, 300.0, 2e10, 1e9)},
        notes=(),
    )
    outcome = Failure("simulate", "ValueError", "made to fail", "") if failed else result
    write_run(folder, scenario, 0, Identity("0" * 64, {}), Effort(1.0, None), ["hetsim"], outcome)
    return folder


def comparison_folder(
    folder: Path, policies: tuple[str, ...] = ("io_only", "cake"), failed: str = ""
) -> Path:
    variants = []
    for policy in policies:
        for speed in BANDWIDTHS:
            name = f"{policy}-{speed:.0f}"
            run_folder(folder / name, policy, speed, failed=name == failed)
            variants.append({"label": f"{policy}, {speed:.0f} Gbit/s", "variant": {}, "runs": [name]})
    manifest = {"format": FORMAT, "kind": "comparison", "name": "made-up", "variants": variants}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / COMPARISON).write_text("[]")
    return folder


@pytest.mark.parametrize("kind", ALONE)
def test_one_run_can_be_plotted(kind: str, tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    plot(folder, kind, tmp_path / "plots" / "figure.svg")
    text = (tmp_path / "plots" / "figure.svg").read_text(encoding="utf-8")
    assert text.count("<path") > 10
    assert kind == "queue_and_kv" or ">cake" in text


@pytest.mark.parametrize("kind", sorted(set(FIGURES) - {"queue_and_kv"}))
def test_a_comparison_can_be_plotted(kind: str, tmp_path: Path) -> None:
    folder = comparison_folder(tmp_path / "comparison")
    plot(folder, kind, tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert ">cake" in text
    assert "io_only" in text
    assert (">32 Gbit/s" in text) or (">32<" in text) or (", 32 Gbit/s" in text)


def test_run_folders_beside_each_other_are_labelled_by_their_names(tmp_path: Path) -> None:
    run_folder(tmp_path / "runs" / "first")
    run_folder(tmp_path / "runs" / "second", "io_only")
    plot(tmp_path / "runs", "energy_bars", tmp_path / "figure.svg")
    text = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert ">first<" in text
    assert ">second<" in text


def test_failed_runs_are_named_below_the_figure(tmp_path: Path) -> None:
    folder = comparison_folder(tmp_path / "comparison", failed="cake-32")
    plot(folder, "ttft_cdf", tmp_path / "figure.svg")
    assert "Without failed runs of: cake, 32 Gbit/s" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="every run in it has failed"):
        plot(run_folder(tmp_path / "failed", failed=True), "ttft_cdf", tmp_path / "other.svg")


def test_bad_arguments_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plot(tmp_path / "absent", "ttft_cfd", tmp_path / "figure.jpg")
    kind, ending, folder = (str(fault) for fault in caught.value.faults)
    assert kind.endswith("nearest: ttft_cdf")
    assert "'.jpg'; allowed: .png, .svg, .pdf" in ending
    assert "is no folder" in folder
    assert not any(tmp_path.iterdir())


def test_folders_that_lack_what_a_plot_needs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run, output = run_folder(tmp_path / "run"), tmp_path / "figure.png"
    comparison = comparison_folder(tmp_path / "comparison", policies=("io_only",))
    for folder, kind, message in (
        (tmp_path / "empty", "ttft_cdf", "is no run"),
        (run, "ttft_against_bandwidth", "no constant storage bandwidth"),
        (comparison, "speedup_heatmap", "needed: cake"),
        (comparison, "queue_and_kv", r"several runs; allowed: one of its run folders \(io_only-7"),
    ):
        with pytest.raises(InputError, match=message):
            plot(folder, kind, output)
    for kind in STREAMING_KINDS:
        with pytest.raises(
            InputError, match=rf"no service of kind streaming, which {kind} needs; it has chat \(llm\)"
        ):
            plot(run, kind, output)
        with pytest.raises(
            InputError, match=r"service chat is of kind llm, but .* shows one of kind streaming"
        ):
            plot(run, kind, output, service="chat")
    with pytest.raises(InputError, match="no service 'chta' in every run; allowed: chat"):
        plot(run, "ttft_cdf", output, service="chta")
    assert not output.exists()


def test_importing_the_package_does_not_import_matplotlib() -> None:
    code = "import sys, simulator.viz; print(sorted({'matplotlib', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


ROOT = Path(__file__).parents[3]


LOADING = {"services.chat.policies.kv_loading": ["cake", "io_only"]}


def single(out: Path, replications: int = 1) -> Path:
    compare(SHIPPED / "cake" / "single.yaml", LOADING, replications=replications, out=out)
    [folder] = out.iterdir()
    return folder


def test_bars_of_replications_have_intervals(tmp_path: Path) -> None:
    folder = single(tmp_path / "three", 3)
    for kind in ("tier_traffic", "energy_bars"):
        figure = draw(folder, kind, None)
        assert any(isinstance(it, ErrorbarContainer) for axes in figure.axes for it in axes.containers)
        assert "95 % interval over replications" in [it.get_text() for it in figure.legends[0].get_texts()]
    once = draw(single(tmp_path / "one"), "energy_bars", None)
    assert not any(isinstance(it, ErrorbarContainer) for it in once.axes[0].containers)


def test_a_plot_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    folder = single(tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        plot(folder, "energy_bars", tmp_path / "file" / "new" / "a.png")
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        plot(folder, "energy_bars", tmp_path / "a.png")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["a.png", "file", "out"]
