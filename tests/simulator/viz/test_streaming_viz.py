"""Plots of streaming services: what they show follows from the records, and what they lack is said."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from devices.errors import InputError
from simulator.experiments.run_store import load_run
from simulator.streaming.group import Component
from simulator.viz import OF_A_SESSION, plot
from simulator.viz.groups import components, qoe_and_energy_by_phones, stalls_by_skew, streaming_bars
from simulator.viz.pipeline import STAGES, bars, pipeline
from simulator.viz.playback import playback
from simulator.viz.runs import described, load_study
from simulator.viz.skew import phones_of, skews
from simulator.viz.streaming_folder import SESSION_FIGURES, STREAMING_FIGURES
from simulator.viz.style import COMPONENT_COLOURS, KNOWN, save
from simulator.viz.viewers import courses

SCENARIO = """
version: 1
name: tiny
devices:
  fast:
    profile: galaxy-s20-ultra
    phone: {sr_rates: {180p-720p: 30/s, 360p-1080p: 15/s}, wwan: {trace: steady, bandwidth: 3 Mbit/s}}
  slow:
    profile: pixel-5
    count: 2
    phone: {sr_rates: {180p-720p: 15/s, 360p-1080p: 10/s}, wwan: {trace: steady, bandwidth: 1.5 Mbit/s}}
services:
  video:
    kind: streaming
    phones: [fast, slow]
    super_resolution: [180p-720p, 360p-1080p]
workloads:
  watch: {trace: video, service: video, segments: 20, sessions: 2, variation: 0.1}
"""

POLICY = "services.video.policies.collaboration"
COUNT = "devices.slow.count"
SESSIONS = "workloads.watch.sessions"
ALONE = (
    "devices={fast: {profile: galaxy-s20-ultra, phone: {wwan: {trace: steady, bandwidth: 3 Mbit/s}}}}",
    "services.video.phones=[fast]",
)
HIGH = "{name: mpbond, input_height: 360, output_height: 1080}"

Runs = Callable[..., Path]


def drawn(folder: Path, kind: str, into: Path, **options: object) -> str:
    """Draw twice, assert that the bytes agree, and return the SVG's text."""
    plot(folder, kind, into / "first.svg", **options)  # type: ignore[arg-type]
    plot(folder, kind, into / "second.svg", **options)  # type: ignore[arg-type]
    text = (into / "first.svg").read_bytes()
    assert text == (into / "second.svg").read_bytes()
    return text.decode()


def tables(folder: Path, session: int = 0) -> dict[str, pd.DataFrame]:
    run = load_run(folder)
    frames = {name: getattr(run, name) for name in ("viewing", "viewers", "phones", "chunks")}
    return {name: frame[frame["session"] == session] for name, frame in frames.items()}


def axis_labels(figure: Figure) -> set[str]:
    return {label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel())}


def legend_labels(figure: Figure) -> list[str]:
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


# ---------------------------------------------------------------- one session


@pytest.mark.parametrize("kind", OF_A_SESSION)
@pytest.mark.parametrize("phones", [1, 3, 7])
def test_a_session_is_drawn_for_any_number_of_phones(
    kind: str, phones: int, runs: Runs, tmp_path: Path
) -> None:
    overrides = (f"{COUNT}={phones - 1}",) if phones > 1 else ALONE
    text = drawn(runs(overrides=overrides), kind, tmp_path)
    assert "Session 0 of 2" in text
    assert ">fast<" in text
    assert (">slow-6<" in text) == (phones == 7)


@pytest.mark.parametrize("policy", ["local_only", "no_collaboration", "no_sr", "microcast"])
@pytest.mark.parametrize("kind", OF_A_SESSION)
def test_a_session_is_drawn_under_any_policy(kind: str, policy: str, runs: Runs, tmp_path: Path) -> None:
    text = drawn(runs(overrides=(f"{POLICY}={policy}",)), kind, tmp_path)
    if kind == "pipeline":
        assert (">super-resolve<" in text) == (policy != "no_sr")
        assert (">broadcast<" in text) == (policy in ("no_sr", "microcast"))


def test_another_session_and_window_can_be_asked_for(runs: Runs, tmp_path: Path) -> None:
    folder = runs()
    assert "Session 1 of 2" in drawn(folder, "pipeline", tmp_path, session=1, window_s=(4.0, 9.0))
    with pytest.raises(InputError, match="has no session 2; allowed: 0 to 1"):
        plot(folder, "playback", tmp_path / "other.png", session=2)
    with pytest.raises(InputError, match="a window must go from 0 s"):
        plot(folder, "playback", tmp_path / "other.png", window_s=(5.0, 5.0))
    with pytest.raises(InputError, match="streaming_bars shows no single session"):
        plot(folder, "streaming_bars", tmp_path / "other.png", session=0)
    assert not (tmp_path / "other.png").exists()


def test_several_runs_are_no_session(runs: Runs, tmp_path: Path) -> None:
    folder = runs({POLICY: ["oasis", "mpbond"]})
    for kind in OF_A_SESSION:
        with pytest.raises(
            InputError, match=r"several runs; allowed: one of its run folders \(oasis, mpbond\)"
        ):
            plot(folder, kind, tmp_path / "figure.png")


def test_bitrates_are_those_of_the_ladder_and_as_seen(runs: Runs) -> None:
    folder = runs(overrides=(f"{POLICY}={HIGH}",))
    seen = tables(folder)
    viewing = seen["viewing"].assign(nominal_bps=800e3, effective_bps=1.8e6)
    figure = playback(viewing, seen["viewers"], seen["phones"], 25.0)
    quality = figure.axes[0]
    assert [set(line.get_ydata()[~np.isnan(line.get_ydata())]) for line in quality.lines[:2]] == [
        {1.8},
        {0.8},
    ]
    from_folder = load_study(folder, None, "playback", "streaming")
    assert from_folder.only_run().viewers["bitrate_bps"].unique().tolist() == [800e3]
    assert {"Bitrate (Mbit/s)", "Buffer (s)", "Power (W)"} <= axis_labels(figure)
    assert "nominal bitrate" in legend_labels(figure)


def test_nominal_bitrates_of_a_manifest_are_those_of_its_chunks(runs: Runs, tmp_path: Path) -> None:
    manifest = tmp_path / "walk.yaml"
    manifest.write_text(
        "segment: 2 s\nsegments: 10\nvariation: 0\nladder: [{bitrate: 400 kbit/s, height: 180}, {bitrate: 900 kbit/s, "
        "height: 360}, {bitrate: 3 Mbit/s, height: 720}, {bitrate: 5 Mbit/s, height: 1080}]\n"
    )
    video = f"workloads.watch={{trace: video, service: video, path: {manifest}}}"
    folder = runs(overrides=(video, f"{POLICY}={HIGH}"))
    manifest.unlink()
    figure = SESSION_FIGURES["playback"](load_study(folder, None, "playback", "streaming"), None, None)
    nominal = figure.axes[0].lines[1].get_ydata()
    assert nominal[~np.isnan(nominal)] == pytest.approx(0.9)


def test_viewers_that_saw_other_chunks_have_panels_of_their_own(runs: Runs) -> None:
    seen = tables(runs())
    other = seen["viewing"]["phone"] == "slow-2"
    viewing = seen["viewing"].assign(nominal_bps=300e3, effective_bps=np.where(other, 300e3, 450e3))
    figure = playback(viewing, seen["viewers"], seen["phones"])
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["fast, slow-1", "slow-2"]
    assert len(figure.axes) == 5


def session_of_a_late_and_a_hot_phone() -> dict[str, pd.DataFrame]:
    """One phone that joins at 3 s and dies at 7 s; one that is hot, stalls, and waits in vain at the end."""
    rows = [
        {
            "phone": "late",
            "time_s": t,
            "interval_s": 1.0,
            "battery_j": 10.0 * (7.0 - t),
            "present": int(t > 4),
            "heat": 0,
        }
        for t in (4.0, 5.0, 6.0, 7.0)
    ] + [
        {
            "phone": "hot",
            "time_s": t,
            "interval_s": 1.0,
            "battery_j": 99.0,
            "present": 1,
            "heat": int(t > 2) + int(t > 5),
        }
        for t in np.arange(1.0, 11.0)
    ]
    phones = pd.DataFrame(rows).assign(power_w=2.0, buffer_s=1.0)
    viewing = pd.DataFrame(
        [("hot", 0, 1.0, 0.0), ("hot", 1, 2.5, 0.5), ("late", 1, 5.0, 0.0)],
        columns=["phone", "chunk", "play_s", "stall_s"],
    )
    viewers = pd.DataFrame(
        [("late", 0, 0, 2.0, 6.0, 10.0), ("hot", 1, 0, 1.0, 3.5, 10.0)],
        columns=["phone", "alive", "complete", "startup_s", "end_s", "session_end_s"],
    )
    return {"viewing": viewing, "viewers": viewers, "phones": phones}


def test_courses_follow_from_the_records() -> None:
    late, hot = courses(**session_of_a_late_and_a_hot_phone())
    assert (late.here, late.startup, late.away, late.gone) == ((3.0, 7.0), (3.0, 5.0), ((3.0, 5.0),), "died")
    assert hot.stalls == ((2.0, 2.5), (3.5, 10.0))
    assert (hot.throttled, hot.stopped, hot.gone) == (((3.0, 6.0),), ((6.0, 10.0),), "")
    assert late.eventful
    assert hot.eventful


def test_who_left_with_energy_has_not_died() -> None:
    session = session_of_a_late_and_a_hot_phone()
    session["phones"]["battery_j"] += 1.0
    assert courses(**session)[0].gone == "left"


def test_comings_goings_and_heat_are_visible() -> None:
    session = session_of_a_late_and_a_hot_phone()
    times = {
        "assigned_s": 0.0, "download_start_s": 0.0, "download_end_s": 1.0, "forward_end_s": np.nan,
        "decode_start_s": 1.0, "decode_end_s": 1.5, "sr_start_s": 1.0, "sr_end_s": 2.0,
        "encode_start_s": 1.2, "encode_end_s": 2.1, "complete_s": 2.3,
    }  # fmt: skip
    chunk = {"chunk": 0, "iteration": 0, "downloader": "hot", "processor": "hot", **times}
    figure = pipeline(pd.DataFrame([chunk]), courses(**session))
    assert {"hot: slower", "hot: no SR", "out of the group"} <= set(legend_labels(figure))
    assert "died" in [text.get_text() for text in figure.axes[0].texts]
    assert figure.axes[1].get_xlim() == (0.0, 10.0)
    viewing = session["viewing"].assign(nominal_bps=3e5, effective_bps=3e5)
    figure = playback(viewing, session["viewers"], session["phones"])
    assert {"stall", "start-up", "out of the group"} <= set(legend_labels(figure))


def test_helpers_have_lanes_below_the_phones() -> None:
    session = session_of_a_late_and_a_hot_phone()
    times = {
        "assigned_s": 0.0, "download_start_s": 0.0, "download_end_s": 1.0, "forward_end_s": 1.1,
        "decode_start_s": 1.1, "decode_end_s": 1.5, "sr_start_s": 1.5, "sr_end_s": 2.0,
        "encode_start_s": 2.0, "encode_end_s": 2.1, "complete_s": 2.3,
    }  # fmt: skip
    chunk = {"chunk": 0, "iteration": 0, "downloader": "hot", "processor": "edge", **times}
    axes = pipeline(pd.DataFrame([chunk]), courses(**session)).axes[1]
    assert [it.get_text() for it in axes.get_yticklabels()] == ["late", "hot", "edge (helper)"]
    tops = [it.get_y() for it in axes.patches if isinstance(it, Rectangle) and it.get_x() >= 1.1]
    assert len(tops) == 4 and min(tops) > axes.get_yticks()[1], "decode, super-resolve, encode, broadcast"


def test_bars_are_the_stages_of_each_chunk(runs: Runs) -> None:
    chunks = tables(runs())["chunks"]
    table = bars(chunks)
    assert set(table["stage"]) <= set(STAGES)
    work = table[table["stage"] == "super-resolve"].sort_values("chunk")
    assert work["chunk"].tolist() == list(range(20))
    wanted = (chunks["sr_end_s"] - chunks["sr_start_s"]).sum()
    assert (work["end_s"] - work["start_s"]).sum() == pytest.approx(wanted)
    for _, rows in table.groupby(["phone", "stage"]):
        lane = rows.sort_values("start_s")
        assert (lane["start_s"].to_numpy()[1:] >= lane["end_s"].to_numpy()[:-1] - 1e-9).all()


def test_a_copy_that_waits_for_a_new_assignment_is_not_being_forwarded() -> None:
    chunk = {
        "chunk": 0, "iteration": 0, "downloader": "a", "processor": "b", "assigned_s": 5.0,
        "download_start_s": 0.0, "download_end_s": 1.0, "forward_end_s": 5.2, "decode_start_s": 5.2,
        "decode_end_s": 5.4, "sr_start_s": 5.2, "sr_end_s": 6.0, "encode_start_s": 5.3, "encode_end_s": 6.1,
        "complete_s": 6.2,
    }  # fmt: skip
    table = bars(pd.DataFrame([chunk])).set_index("stage")
    assert table.loc["forward", ["phone", "start_s", "end_s"]].tolist() == ["a", 5.0, 5.2]
    assert table.loc["broadcast", ["phone", "start_s"]].tolist() == ["b", 6.1]


# ---------------------------------------------------------------- comparisons


def test_qoe_and_energy_by_phones(runs: Runs, tmp_path: Path) -> None:
    alone = drawn(runs({COUNT: ["1", "2", "3"]}), "qoe_and_energy_by_phones", tmp_path)
    assert ">oasis<" in alone
    assert ">super-resolution<" in alone
    assert ">4<" in alone
    both = drawn(runs({COUNT: ["1", "3"], POLICY: ["oasis", HIGH]}), "qoe_and_energy_by_phones", tmp_path)
    assert ">mpbond, input_height 360, output_height 1080<" in both
    assert ">super-resolution<" not in both
    with pytest.raises(
        InputError, match=r"its runs all have 3 phones; needed: .* --vary devices.NAME.count=1,2,3"
    ):
        plot(runs(), "qoe_and_energy_by_phones", tmp_path / "figure.png")


def test_two_counts_that_sum_alike_are_lines_of_their_own(runs: Runs, tmp_path: Path) -> None:
    folder = runs({"devices.fast.count": ["1", "2"], COUNT: ["1", "2"]}, (f"{SESSIONS}=1",))
    text = drawn(folder, "qoe_and_energy_by_phones", tmp_path)
    assert ">count 1<" in text
    assert ">count 2<" in text


def test_stalls_by_skew_of_sr_rates(runs: Runs, tmp_path: Path) -> None:
    folder = runs({"devices.fast.phone.sr_scale": ["0.5", "1", "2"], POLICY: ["oasis", "mpbond"]})
    text = drawn(folder, "stalls_by_skew", tmp_path)
    assert "SR rate (180p-720p)" in text
    for tick in ("1", "2", "4"):
        assert f">{tick}<" in text
    assert ">oasis<" in text
    assert ">mpbond<" in text


def test_stalls_by_skew_of_networks(runs: Runs, tmp_path: Path) -> None:
    text = drawn(
        runs({"devices.fast.phone.wwan.bandwidth": ["1.5 Mbit/s", "3 Mbit/s"]}), "stalls_by_skew", tmp_path
    )
    assert "by WWAN bandwidth" in text


def test_runs_that_are_alike_or_differ_twice_have_no_skew(runs: Runs, tmp_path: Path) -> None:
    twice = {
        "devices.fast.phone.sr_scale": ["1", "2"],
        "devices.fast.phone.wwan.bandwidth": ["3 Mbit/s", "6 Mbit/s"],
    }
    for folder, message in (
        (
            runs({POLICY: ["oasis", "mpbond"]}),
            r"the same in all of its runs \(2 by SR rate .*, 2 by WWAN bandwidth\); need",
        ),
        (
            runs(twice),
            r"differ by two skews: SR rate \(180p-720p\) and by WWAN bandwidth; needed: .*sr_scale=1,2,4",
        ),
    ):
        with pytest.raises(InputError, match=message):
            plot(folder, "stalls_by_skew", tmp_path / "figure.png")
    assert not (tmp_path / "figure.png").exists()


def test_skew_is_taken_from_the_scenario(runs: Runs) -> None:
    scenario = load_run(runs()).scenario
    known = skews([scenario], "video")
    assert {kind: skew.ratios for kind, skew in known.items()} == {"sr": (2.0,), "wwan": (2.0,)}
    assert phones_of(scenario, "video") == 3


def test_streaming_bars(runs: Runs, tmp_path: Path) -> None:
    text = drawn(runs({POLICY: ["oasis", "mpbond", HIGH]}), "streaming_bars", tmp_path)
    assert "QoE per chunk (Mbit/s)" in text
    assert ">mpbond, input_height 360,<" in text
    assert ">95 % interval over sessions<" in text
    assert ">oasis<" in drawn(runs(), "streaming_bars", tmp_path)
    several = runs({POLICY: ["oasis", "mpbond"]}, replications=2)
    assert ">95 % interval over replications<" in drawn(several, "streaming_bars", tmp_path)


def test_energy_bars_show_streaming_services_too(runs: Runs, tmp_path: Path) -> None:
    text = drawn(runs({POLICY: ["oasis", "mpbond"]}), "energy_bars", tmp_path)
    assert ">oasis<" in text
    assert ">slow<" in text


def test_figures_of_an_llm_service_say_what_they_lack(runs: Runs, tmp_path: Path) -> None:
    for kind in ("ttft_cdf", "queue_and_kv", "speedup_heatmap"):
        with pytest.raises(
            InputError, match=rf"no service of kind llm, which {kind} needs; it has video \(streaming\)"
        ):
            plot(runs(), kind, tmp_path / "figure.png")
        with pytest.raises(
            InputError, match=f"service video is of kind streaming, but {kind} shows one of kind llm"
        ):
            plot(runs(), kind, tmp_path / "figure.png", service="video")


def test_a_bar_is_the_mean_of_the_summary(runs: Runs) -> None:
    folder = runs({POLICY: ["oasis", "mpbond"]})
    study = load_study(folder, None, "streaming_bars", "streaming")
    figure = STREAMING_FIGURES["streaming_bars"](study)
    for axes, path in zip(figure.axes, ("qoe", "rebuffer_s"), strict=False):
        wanted = [study.summaries(label)[0][path]["mean"] for label in ("oasis", "mpbond")]
        assert [patch.get_width() for patch in axes.patches] == pytest.approx(wanted)
    whole = [study.summaries(label)[0]["energy_per_phone_j"]["mean"] for label in ("oasis", "mpbond")]
    ends = [max(patch.get_x() + patch.get_width() for patch in figure.axes[2].patches if round(patch.get_y()) == row)
            for row in (0, 1)]  # fmt: skip
    assert ends == pytest.approx(whole)


# ---------------------------------------------------------------- plain tables


def estimates(names: list[str], column: str, **more: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame({column: names, **more})
    for name, value in (("qoe", 0.4), ("stall_s", 12.0), ("energy_j", 1500.0)):
        frame[name] = [value * (1 + i) for i in range(len(frame))]
        frame[f"{name}_low"], frame[f"{name}_high"] = 0.9 * frame[name], 1.1 * frame[name]
    return frame.assign(sr_j=0.6 * frame["energy_j"], rest_j=0.4 * frame["energy_j"], upper_bound=2.0)


def test_a_policy_keeps_its_colour_and_the_bound_is_named() -> None:
    lines = estimates(["oasis", "oasis", "mpbond", "mpbond"], "line", phones=[1, 3, 1, 3], skew=[1, 2, 1, 2])
    names = ("oasis", "mpbond")
    for figure in (qoe_and_energy_by_phones(lines), stalls_by_skew(lines, "SR rate")):
        [legend] = figure.legends
        colours = [to_hex(handle.get_color()) for handle in legend.legend_handles[:2]]  # type: ignore[union-attr]
        assert colours == [KNOWN[name].colour.lower() for name in names]
    bars_of = streaming_bars(estimates(["oasis", "mpbond"], "variant"), bound_label="upper bound")
    assert [to_hex(patch.get_facecolor()) for patch in bars_of.axes[0].patches] == [
        KNOWN[name].colour.lower() for name in names
    ]
    assert "upper bound" in legend_labels(bars_of)


# Severe protanopia, deuteranopia and tritanopia on linear RGB (Machado, Oliveira, Fernandes, 2009).
SIGHTS = {
    "all colours": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def seen_as(colour: str, sight: object) -> np.ndarray:
    """Return a colour in CIE L*a*b* as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(sight) @ linear, 0.0, 1.0)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ linear / [0.9505, 1.0, 1.089])
    return np.array([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS)
def test_components_of_the_energy_can_be_told_apart(sight: object) -> None:
    assert set(COMPONENT_COLOURS) == {f"{component.name.lower()}_j" for component in Component}
    assert not set(COMPONENT_COLOURS.values()) & {look.colour for look in KNOWN.values()}
    seen = [seen_as(colour, sight) for colour in COMPONENT_COLOURS.values()]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 20.0
    assert min(np.linalg.norm(one - other) for one, other in pairwise(seen)) > 30.0  # neighbours in a bar


def test_components_have_colours_of_their_own_whatever_else_is_drawn() -> None:
    frame = estimates(["oasis", "mpbond"], "variant")
    for parts in (frame, frame.assign(decode_j=1.0)):
        colours = {to_hex(patch.get_facecolor()).upper() for patch in streaming_bars(parts).axes[2].patches}
        assert colours == {COMPONENT_COLOURS[name] for name in components(parts)}


def test_tables_without_intervals_can_be_drawn(tmp_path: Path) -> None:
    frame = estimates(["a", "b"], "variant", phones=[1, 2])
    frame[[name for name in frame if name.endswith(("_low", "_high"))]] = np.nan
    frame["stall_s"] = 0.0
    figure = streaming_bars(frame, "95 % interval")
    assert "95 % interval" not in legend_labels(figure)
    save(figure, tmp_path / "figure.png")
    save(qoe_and_energy_by_phones(frame.assign(line="a")), tmp_path / "other.png")


def test_policies_are_called_by_what_differs_from_their_defaults(runs: Runs) -> None:
    scenario = load_run(runs(overrides=(f"{POLICY}={{name: no_sr, rule: bola_basic}}",))).scenario
    assert described(scenario.streaming_services["video"].policies.collaboration) == "no_sr, rule bola_basic"


def test_legends_and_labels_stay_inside_the_figure(runs: Runs) -> None:
    study = load_study(runs({POLICY: ["oasis", HIGH]}), None, "streaming_bars", "streaming")
    figure = STREAMING_FIGURES["streaming_bars"](study)
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert legend.get_window_extent().y1 <= figure.bbox.y1
    labels = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(label.x0 >= figure.bbox.x0 for label in labels)
    assert labels[0].y0 > labels[1].y1
