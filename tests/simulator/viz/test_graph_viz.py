"""Plots of how answers are decoded: what they show follows from the records, and what they lack is said."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from devices.errors import InputError
from simulator.cli import main
from simulator.experiments.run_store import load_run
from simulator.metrics.quality_surrogate import WHAT
from simulator.policies.registry import policies
from simulator.viz import PLOT_KINDS, plot
from simulator.viz.answers import OVER, quality_against_speed, speedup_against_load, speedup_by_category
from simulator.viz.gantt import Bar, Condition, answer_gantt, bars, critical_path
from simulator.viz.graph_folder import GRAPH_FIGURES, REQUEST_FIGURES
from simulator.viz.pairs import loads_of, paired
from simulator.viz.runs import GRAPHS, load_study, policy_label
from simulator.viz.speedup import by_factors, crossing, speedup, verdict
from simulator.viz.style import KNOWN, looks

SCENARIO = """
version: 1
name: tiny
devices: {gpu: {profile: a100-80g-sxm, count: 1}}
services:
  chat: {kind: llm, model: llama-2-7b, gpus: gpu, engine: vllm-0.6, policies: {decoding: plato}}
workloads:
  ask: {trace: questions, service: chat, requests: 24, arrivals: {process: closed, concurrency: 1}}
"""

DECODING = "services.chat.policies.decoding"
CONCURRENCY = "workloads.ask.arrivals.concurrency"
RATE = "workloads.ask.rate"
POISSON = "workloads.ask={trace: questions, service: chat, requests: 24, rate: 1/s}"
ASK = "ask: {trace: questions, service: chat, requests: 24, arrivals: {process: closed, concurrency: 1}}"
CHATS = (
    "chats: {trace: synthetic, service: chat, requests: 5, rate: 1/s, input_tokens: 50, output_tokens: 20}"
)

Runs = Callable[..., Path]


def drawn(folder: Path, kind: str, into: Path, **options: object) -> str:
    """Draw twice, assert that the bytes agree, and return the SVG's text."""
    plot(folder, kind, into / "first.svg", **options)  # type: ignore[arg-type]
    plot(folder, kind, into / "second.svg", **options)  # type: ignore[arg-type]
    text = (into / "first.svg").read_bytes()
    assert text == (into / "second.svg").read_bytes()
    return text.decode()


def figure_of(folder: Path, kind: str) -> Figure:
    study = load_study(folder, None, kind, GRAPHS)
    return REQUEST_FIGURES[kind](study, None) if kind in REQUEST_FIGURES else GRAPH_FIGURES[kind](study)


def legend_labels(figure: Figure) -> list[str]:
    [legend] = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def e2e_s(folder: Path) -> pd.Series[float]:
    requests = load_run(folder).requests
    return (requests["finish_s"] - requests["arrival_s"]).set_axis(requests["request"])


# ---------------------------------------------------------------- one answer


def generation(
    number: int, node: int, times_s: tuple[float, ...], tokens: int, after: str = ""
) -> dict[str, object]:
    names = ("ready_s", "admitted_s", "first_token_s", "finish_s")
    return {
        "service": "chat", "request": 0, "workload": "ask", "generation": number, "node": node, "decoded_by": "chat",
        "status": int(times_s[-1] >= 0.0), "output_tokens": tokens, "plans": int(node < 0), "after": after,
        **dict(zip(names, times_s, strict=True)),
    }  # fmt: skip


ANSWER = pd.DataFrame(
    [
        generation(2, 1, (14.6, 14.6, 14.7, 17.0), 24, "0:20 1:30"),
        generation(0, -1, (10.0, 10.1, 10.2, 12.2), 21),
        generation(1, 0, (11.3, 11.4, 11.5, 14.5), 30, "0:10"),
    ]
)
"""A plan, a node that starts beside it, and one that waits for both; calls take 0.1 s."""


def test_bars_tell_what_was_waited_for_and_when_it_was_there() -> None:
    plan, first, second = bars(ANSWER, arrival_s=10.0, call_overhead_s=0.1)
    assert [bar.label for bar in (plan, first, second)] == ["plan", "node 0", "node 1"]
    assert (plan.ready_s, plan.finish_s, plan.after) == (0.0, pytest.approx(2.2), ())
    [entry] = first.after  # nothing else kept it back: the entry was there when it could start
    assert (entry.earlier, entry.tokens, entry.whole) == (0, 10, False)
    assert entry.met_s == pytest.approx(1.2)
    part, whole = second.after
    assert part.met_s == pytest.approx(
        0.2 + 2.0 * 19 / 20
    )  # interpolated between the first and the last token
    assert whole == Condition(1, 30, pytest.approx(4.5), True)
    assert second.last is whole
    assert critical_path([plan, first, second]) == [0, 1, 2]


def test_the_gantt_chart_draws_every_generation_and_condition() -> None:
    drawn_bars = bars(ANSWER, arrival_s=10.0, call_overhead_s=0.1)
    figure = answer_gantt(drawn_bars, "plato: math")
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["plan", "node 0", "node 1"]
    assert axes.yaxis_inverted()
    spans = {
        (round(it.get_x(), 6), round(it.get_x() + it.get_width(), 6))
        for it in axes.patches
        if it.get_width() > 0
    }
    assert {(0.2, 2.2), (1.5, 4.5), (4.7, 7.0)} <= spans  # decode
    assert {(0.0, 0.1), (1.3, 1.4)} <= spans  # waiting
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 3
    [path] = [line for line in axes.lines if line.get_gid() == "critical path"]
    assert list(path.get_xdata()) == pytest.approx([0.0, 1.2, 1.3, 4.5, 4.6, 7.0])
    assert axes.get_title() == "plato: math"
    assert {"waiting", "plan: prefill", "waited for its plan entry", "critical path"} <= set(
        legend_labels(figure)
    )


def test_what_was_cut_off_goes_on_to_the_end() -> None:
    cut = pd.DataFrame(
        [generation(0, -1, (0.0, 0.0, 1.0, 2.0), 5), generation(1, 0, (2.0, 2.5, -1.0, -1.0), 0, "0:5")]
    )
    _, node = bars(cut, until_s=4.0)
    assert (node.first_token_s, node.finish_s, node.done) == (4.0, 4.0, False)
    assert "cut off" in legend_labels(answer_gantt(bars(cut, until_s=4.0), ""))


def test_a_bar_without_anything_to_wait_for_has_no_last_condition() -> None:
    assert Bar(0, "trunk", False, 1, 0.0, 0.0, 0.0, 1.0, (), True).last is None


@pytest.mark.parametrize("policy", sorted(set(policies("decoding")) - {"autoregressive"}))
def test_an_answer_is_drawn_under_any_policy(policy: str, runs: Runs, tmp_path: Path) -> None:
    folder = runs(overrides=(f"{DECODING}={policy}",))
    text = drawn(folder, "answer_gantt", tmp_path)
    assert f">{policy}: request " in text
    assert (">plan<" in text) == (policy.startswith("plato") or policy == "sot")
    run = load_run(folder)
    row = run.requests[run.requests["generations"] > 1].iloc[0]
    assert f"E2E {row['finish_s'] - row['arrival_s']:.3g} s" in text


def test_the_critical_path_is_as_long_as_the_latency(runs: Runs) -> None:
    run = load_run(runs())
    for request, rows in run.generations.groupby("request"):
        row = run.requests.set_index("request").loc[request]
        each = {bar.number: bar for bar in bars(rows, row["arrival_s"])}
        path = critical_path(list(each.values()))
        for earlier, later in pairwise(path):
            last = each[later].last
            assert last is not None
            assert last.earlier == earlier
            assert last.met_s == pytest.approx(each[later].ready_s)
        assert each[path[0]].ready_s == pytest.approx(0.0)
        assert each[path[-1]].finish_s == pytest.approx(row["finish_s"] - row["arrival_s"])


def test_another_request_can_be_asked_for(runs: Runs, tmp_path: Path) -> None:
    folder, output = runs(), tmp_path / "figure.svg"
    assert main(["plot", str(folder), "answer_gantt", "--request", "3", "-o", str(output)]) == 0
    assert "plato: request 3, " in output.read_text(encoding="utf-8")


def test_requests_that_cannot_be_shown(runs: Runs, tmp_path: Path) -> None:
    output = tmp_path / "figure.png"
    forks = runs(overrides=(f"{DECODING}=apar_fork",))
    requests = load_run(forks).requests
    whole = int(requests["request"][requests["generations"] == 1].iloc[0])
    for folder, request, message in (
        (runs(), 24, "has no request 24; allowed: 0 to 23"),
        (forks, whole, f"request {whole} was not decoded in several generations; those that were: "),
        (
            runs(overrides=(f"{DECODING}=autoregressive",)),
            None,
            r"several generations \(decoding: autoregressive\)",
        ),
        (
            runs({DECODING: ["autoregressive", "plato"]}),
            None,
            r"several runs; allowed: one of its run folders",
        ),
    ):
        with pytest.raises(InputError, match=message) as caught:
            plot(folder, "answer_gantt", output, request=request)
        assert caught.value.faults[0].file == str(folder)
    with pytest.raises(InputError, match=r"speedup_by_category shows no single request; .*: answer_gantt"):
        plot(runs(), "speedup_by_category", output, request=0)
    assert not output.exists()


# ---------------------------------------------------------------- numbers


def test_a_speed_up_is_a_ratio_of_means_whose_interval_knows_that_requests_are_paired() -> None:
    rng = np.random.default_rng(0)
    own = rng.uniform(1.0, 9.0, 200)
    exact = speedup(pd.DataFrame({"replication": 0, "own_s": own, "base_s": 1.5 * own}))
    assert list(exact.values()) == pytest.approx([1.5, 1.5, 1.5])
    base = 1.5 * own + rng.normal(0.0, 0.5, 200)
    found = speedup(pd.DataFrame({"replication": 0, "own_s": own, "base_s": base}))
    assert found["speedup"] == pytest.approx(base.mean() / own.mean())
    half = found["speedup_high"] - found["speedup"]
    assert half == pytest.approx(1.97 * 0.5 / math.sqrt(200) / own.mean(), rel=0.15)
    assert all(
        math.isnan(it) for it in speedup(pd.DataFrame(columns=["replication", "own_s", "base_s"])).values()
    )


def test_with_replications_the_interval_is_over_them() -> None:
    pairs = pd.DataFrame({"replication": [0, 0, 1, 1], "own_s": 1.0, "base_s": [1.0, 3.0, 1.5, 2.5]})
    assert list(speedup(pairs).values()) == pytest.approx([2.0, 2.0, 2.0])  # both replications say 2


def test_the_load_at_which_a_speed_up_falls_below_one() -> None:
    assert crossing([1.0, 2.0, 3.0], [1.4, 1.2, 0.8]) == pytest.approx(2.5)
    assert crossing([3.0, 1.0, 2.0], [0.8, 1.4, 1.2]) == pytest.approx(2.5)
    assert crossing([1.0, 2.0, 3.0], [1.4, math.nan, 0.6]) == pytest.approx(2.0)
    assert crossing([1.0, 4.0, 16.0], [1.4, 1.2, 0.8]) == pytest.approx(8.0)  # loads by factors
    assert crossing([1.0, 2.0], [1.5, 1.0]) is None
    assert crossing([1.0, 2.0], [0.9, 0.8]) is None
    assert crossing([], []) is None
    assert by_factors([1.0, 9.0])
    assert not by_factors([0.0, 9.0])


def test_what_the_legend_says_of_a_policy() -> None:
    loads = [1.0, 2.0, 3.0]
    assert verdict(loads, [1.4, 1.2, 0.8], "/s") == "stops paying at 2.5/s"
    assert verdict(loads, [1.4, 1.2, 1.0]) == "pays at every load"
    assert verdict(loads, [0.9, 0.8, 0.7]) == "never pays"
    assert verdict(loads, [0.9, 1.1, 1.2]) == "pays at high load only"
    assert verdict(loads, [math.nan] * 3) == "not known"


# ---------------------------------------------------------------- figures from frames


def speedups(column: str, values: dict[str, dict[object, float]], others: str = "") -> pd.DataFrame:
    rows = [
        {
            "line": line, "others": others, column: at, "requests": 7, "speedup": value, "speedup_low": value - 0.1,
            "speedup_high": value + 0.1,
        }
        for line, of_line in values.items()
        for at, value in of_line.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_bars_by_category_are_the_speed_ups() -> None:
    frame = speedups("category", {"plato": {"all": 1.5, "math": 0.9}, "sot": {"all": 1.8, "math": 1.1}})
    figure = speedup_by_category(frame, "95 % interval")
    [axes] = figure.axes
    assert [bar.get_height() for bar in axes.patches] == [1.5, 0.9, 1.8, 1.1]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["all\nn = 7", "math\nn = 7"]
    assert axes.get_ylabel() == OVER
    assert any(set(line.get_ydata()) == {1.0} for line in axes.lines)
    assert legend_labels(figure) == ["plato", "sot", "autoregressive", "95 % interval"]


def test_further_varied_values_have_panels_of_their_own() -> None:
    values: dict[str, dict[object, float]] = {"plato": {"all": 1.5}}
    frame = pd.concat([speedups("category", values, f"rate {rate}") for rate in (1, 2, 3, 4)])
    by_category = speedup_by_category(frame)
    quality = quality_against_speed(
        frame.assign(net_win_rate=0.4, net_win_rate_low=0.3, net_win_rate_high=0.5)
    )
    for figure in (by_category, quality):
        assert [axes.get_title() for axes in figure.axes] == ["rate 1", "rate 2", "rate 3", "rate 4"]


def test_lines_against_load_say_where_they_cross() -> None:
    frame = speedups("load", {"plato": {1.0: 1.4, 2.0: 1.2, 3.0: 0.8}, "sot": {1.0: 0.9, 2.0: 0.8, 3.0: 0.7}})
    figure = speedup_against_load(frame, "Requests per second", "/s", "95 % interval")
    [axes] = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Requests per second", OVER)
    assert legend_labels(figure) == [
        "plato: stops paying at 2.5/s", "sot: never pays", "autoregressive", "95 % interval",
    ]  # fmt: skip
    curves = [list(line.get_ydata()) for line in axes.lines if len(line.get_ydata()) == 3]
    assert curves == [[1.4, 1.2, 0.8], [0.9, 0.8, 0.7]]
    [mark] = [line for line in axes.lines if line.get_marker() == "|"]
    assert list(mark.get_xdata()) == pytest.approx([2.5])
    assert axes.get_xscale() == "linear"
    wide = speedup_against_load(speedups("load", {"plato": {1.0: 1.4, 64.0: 0.8}}), "", "")
    assert wide.axes[0].get_xscale() == "log"


def test_quality_is_called_a_surrogate_on_axis_and_below() -> None:
    frame = pd.DataFrame(
        [
            ("plato", "", 1.3, 1.2, 1.4, 0.4, 0.35, 0.45),
            ("plato_no_kv_reuse", "", 1.31, 1.2, 1.4, 0.4, 0.35, 0.45),
            ("autoregressive", "", 1.0, np.nan, np.nan, 0.0, np.nan, np.nan),
        ],
        columns=[
            "line", "others", "speedup", "speedup_low", "speedup_high", "net_win_rate", "net_win_rate_low",
            "net_win_rate_high",
        ],
    )  # fmt: skip
    figure = quality_against_speed(frame, "95 % interval")
    [axes] = figure.axes
    assert "surrogate" in axes.get_ylabel().lower()
    assert WHAT in figure.get_supxlabel().replace("\n", " ")
    names = {text.get_text(): text for text in axes.texts if text.get_text()}
    assert set(names) == set(frame["line"])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in names.values()]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    points = [line.get_xydata()[0].tolist() for line in axes.lines if len(line.get_xdata()) == 1]
    assert [1.3, 40.0] in points


# ---------------------------------------------------------------- figures from folders


def test_speed_ups_of_a_comparison_are_paired_by_request(runs: Runs, tmp_path: Path) -> None:
    folder = runs({DECODING: ["autoregressive", "plato", "sot"]})
    base, own = e2e_s(folder / "autoregressive"), e2e_s(folder / "plato")
    figure = figure_of(folder, "speedup_by_category")
    [axes] = figure.axes
    groups = [text.get_text().split("\nn = ")[0] for text in axes.get_xticklabels()]
    plato = dict(zip(groups, [bar.get_height() for bar in axes.patches], strict=False))
    assert plato["all"] == pytest.approx(base.mean() / own.mean())
    requests = load_run(folder / "plato").requests
    chosen = requests["request"][requests["category"] == groups[1]]
    assert plato[groups[1]] == pytest.approx(base[chosen].mean() / own[chosen].mean())
    assert groups == ["all", *sorted(set(requests["category"]))]
    for kind in ("speedup_by_category", "quality_against_speed"):
        text = drawn(folder, kind, tmp_path)
        assert ">plato<" in text
        assert ">sot<" in text


def test_the_surrogate_drawn_is_that_of_the_summary(runs: Runs) -> None:
    folder = runs({DECODING: ["autoregressive", "plato", "sot"]})
    summary = load_run(folder / "sot").summary["services"]["chat"]["decoding"]["quality_surrogate"]
    [axes] = figure_of(folder, "quality_against_speed").axes
    heights = [line.get_ydata()[0] for line in axes.lines if line.get_markersize() == 7.0]
    assert heights == pytest.approx([40.0, 100.0 * summary["net_win_rate_over_ar"], 0.0])


@pytest.mark.parametrize("replications", [1, 2])
def test_speed_up_against_load(replications: int, runs: Runs, tmp_path: Path) -> None:
    folder = runs(
        {DECODING: ["autoregressive", "plato"], CONCURRENCY: ["1", "12"]}, replications=replications
    )
    text = drawn(folder, "speedup_against_load", tmp_path)
    assert ">Requests in flight<" in text
    assert ("95 % interval over replications" in text) == (replications > 1)
    rates = runs({DECODING: ["autoregressive", "plato"], RATE: ["1/s", "3/s"]}, (POISSON,))
    assert ">Requests per second<" in drawn(rates, "speedup_against_load", tmp_path)
    table = paired(load_study(rates, None, "any", GRAPHS), "any", None)
    assert set(table["others"]) == {"rate 1/s", "rate 3/s"}


def test_requests_without_graphs_are_kept_apart(runs: Runs) -> None:
    folder = runs({DECODING: ["autoregressive", "plato"]}, (f"workloads={{{ASK}, {CHATS}}}",))
    [axes] = figure_of(folder, "speedup_by_category").axes
    names = [text.get_text().replace("\n", " ") for text in axes.get_xticklabels()]
    assert names[0] == "all n = 24"
    assert names[-1] == "chats, no graph n = 5"
    scenario = load_study(folder, None, "any", GRAPHS).runs[0].scenario
    assert loads_of(scenario, "chat") == {"rate": 1.0, "concurrency": 1.0}


def test_requests_without_an_answer_are_left_out_and_counted(runs: Runs) -> None:
    folder = runs({DECODING: ["autoregressive", "plato"]}, ("workloads.ask.output_tokens=60",))
    study = load_study(folder, None, "any", GRAPHS)
    requests = study.variants["plato"][0].requests
    requests.loc[requests["request"] < 4, "status"] = 0
    figure = GRAPH_FIGURES["speedup_by_category"](study)
    assert "Without 4 of 24 pairs of requests" in figure.get_supxlabel()
    requests["status"] = 0
    with pytest.raises(InputError, match="no request was answered under autoregressive and"):
        GRAPH_FIGURES["quality_against_speed"](study)


def test_folders_that_lack_what_a_plot_needs(runs: Runs, tmp_path: Path) -> None:
    output = tmp_path / "figure.png"
    alone = runs({DECODING: ["plato", "sot"]})
    for kind in GRAPH_FIGURES:
        if kind != "speedup_against_load":
            with pytest.raises(
                InputError, match=f"runs under plato, sot; {kind} needs autoregressive and"
            ) as caught:
                plot(alone, kind, output)
            assert caught.value.faults[0].file == str(alone)
    with pytest.raises(InputError, match=r"differ by no load; needed: .*workloads.NAME.rate=1,2,4"):
        plot(alone, "speedup_against_load", output)
    plain = runs(overrides=(f"workloads={{{CHATS}}}", f"{DECODING}=autoregressive"))
    for kind in (*REQUEST_FIGURES, *GRAPH_FIGURES):
        with pytest.raises(
            InputError, match=rf"no service of kind llm with answers as graphs, which {kind} needs"
        ):
            plot(plain, kind, output)
    assert not output.exists()


def test_a_service_that_helps_is_not_the_one_shown(runs: Runs, tmp_path: Path) -> None:
    helper = (
        "devices={gpu: {profile: a100-80g-sxm, count: 1}, other: {profile: a100-80g-sxm, count: 1}}",
        "services={chat: {kind: llm, model: llama-2-7b, gpus: gpu, engine: vllm-0.6}, "
        "small: {kind: llm, model: llama-2-7b, gpus: other, engine: vllm-0.6}}",
        f"{DECODING}={{name: plato, easy_below: 0.5, easy_service: small}}",
    )
    folder = runs(overrides=helper)
    assert " (small)<" in drawn(folder, "answer_gantt", tmp_path)
    scenario = load_run(folder).scenario
    assert policy_label(scenario, "chat") == "plato, easy_below 0.5, easy_service small"
    assert policy_label(scenario, "small") == "compute_only"


# ---------------------------------------------------------------- looks


def test_policies_for_decoding_have_looks_of_their_own() -> None:
    names = [name for name in policies("decoding") if name in KNOWN]
    assert {"autoregressive", "plato", "sot", "graph_oracle"} <= set(names)
    assert len({KNOWN[name].colour for name in names}) == len(names)


def test_a_variant_beside_its_policy_is_not_drawn_like_it() -> None:
    plain, other = looks(["plato", "plato, easy_below 0.5"]).values()
    assert plain.colour == other.colour
    assert (plain.marker, plain.hatch) != (other.marker, other.hatch)


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "plots"]) == 0
    listed = capsys.readouterr().out
    assert {*REQUEST_FIGURES, *GRAPH_FIGURES} <= set(PLOT_KINDS)
    assert all(kind in listed for kind in (*REQUEST_FIGURES, *GRAPH_FIGURES))
